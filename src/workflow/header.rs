//! The headers of a step: what the plan alone gives is ready, the rest is filled in.

use super::escape::Escape;
use super::site::Site;
use super::template::Template;
use super::variable::{Context, Missing};
use crate::measure::CheckId;
use crate::plan::{Auth, Text};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The headers of a step.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    pub(crate) fixed: HeaderMap,
    pub(crate) filled: Vec<Filled>,
}

/// A header that is filled in.
#[derive(Debug)]
pub(crate) struct Filled {
    name: HeaderName,
    value: Value,
    /// The check that fails where the value cannot be a header's.
    invalid: Option<CheckId>,
}

#[derive(Debug)]
enum Value {
    Plain(Template),
    Bearer(Template),
    Basic { user: Template, password: Template },
}

// === impl Headers ===

impl Headers {
    /// Compiles a step's headers: the plan's, `auth` over them, the step's own over both.
    pub(crate) fn compile(
        of_plan: &[(Text, Text)],
        auth: Option<&Auth>,
        of_step: &[(Text, Text)],
        content_type: Option<&'static str>,
        site: &mut Site<'_, '_>,
    ) -> Self {
        let mut this = Self::default();
        if let Some(content_type) = content_type {
            this.fixed.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in of_plan {
            this.plain(name, value, site);
        }
        match auth {
            Some(Auth::Bearer(token)) => {
                let value = Value::Bearer(Template::compile(token, site));
                this.add(AUTHORIZATION, value, token, site);
            }
            Some(Auth::Basic { user, password }) => {
                let value =
                    Value::Basic { user: Template::compile(user, site), password: Template::compile(password, site) };
                this.add(AUTHORIZATION, value, user, site);
            }
            None => {}
        }
        for (name, value) in of_step {
            this.plain(name, value, site);
        }
        this
    }

    /// Fills in what is not fixed.
    pub(crate) fn fill(&self, context: Context<'_>, scratch: &mut Vec<u8>, out: &mut HeaderMap) -> Result<(), Missing> {
        for header in &self.filled {
            scratch.clear();
            header.value.write(context, scratch)?;
            let value = value(&header.name, scratch).ok_or(Missing(header.invalid))?;
            out.insert(header.name.clone(), value);
        }
        Ok(())
    }

    fn plain(&mut self, name: &Text, value: &Text, site: &mut Site<'_, '_>) {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            site.error(name.span, format!("`{}` cannot be the name of a header", name.value), None);
            return;
        };
        if header == CONTENT_LENGTH || header == TRANSFER_ENCODING {
            site.problems.warning(name.span, format!("`{header}` follows from the body; it is left out"));
            return;
        }
        let template = Template::compile(value, site);
        self.add(header, Value::Plain(template), value, site);
    }

    fn add(&mut self, name: HeaderName, value: Value, text: &Text, site: &mut Site<'_, '_>) {
        self.fixed.remove(&name);
        self.filled.retain(|header| header.name != name);
        if !value.is_constant() {
            let invalid = site.check(name.as_str());
            self.filled.push(Filled { name, value, invalid });
            return;
        }
        let mut out = Vec::new();
        let written = value.write_constant(&mut out);
        match self::value(&name, &out).filter(|_| written) {
            Some(value) => {
                self.fixed.insert(name, value);
            }
            None => site.error(text.span, format!("the value of the header `{name}` holds a line break or NUL"), None),
        }
    }
}

// === impl Value ===

impl Value {
    fn is_constant(&self) -> bool {
        match self {
            Self::Plain(template) | Self::Bearer(template) => template.constant().is_some(),
            Self::Basic { user, password } => user.constant().is_some() && password.constant().is_some(),
        }
    }

    fn write_constant(&self, out: &mut Vec<u8>) -> bool {
        let (variables, world) = Default::default();
        self.write(Context { variables: &variables, world: &world }, out).is_ok()
    }

    fn write(&self, context: Context<'_>, out: &mut Vec<u8>) -> Result<(), Missing> {
        match self {
            Self::Plain(template) => template.render(context, Escape::None, out),
            Self::Bearer(template) => {
                out.extend_from_slice(b"Bearer ");
                template.render(context, Escape::None, out)
            }
            Self::Basic { user, password } => {
                let mut pair = Vec::new();
                user.render(context, Escape::None, &mut pair)?;
                pair.push(b':');
                password.render(context, Escape::None, &mut pair)?;
                out.extend_from_slice(b"Basic ");
                out.extend_from_slice(BASE64_STANDARD.encode(pair).as_bytes());
                Ok(())
            }
        }
    }
}

/// A header's value, kept out of logs and compression tables where it is a secret.
fn value(name: &HeaderName, bytes: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(bytes).ok()?;
    value.set_sensitive(*name == AUTHORIZATION || *name == COOKIE || *name == PROXY_AUTHORIZATION);
    Some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn what_cannot_be_a_value_is_none_and_secrets_are_marked() {
        for bad in ["a\r\nb", "a\nb", "a\0b", "\u{7f}"] {
            assert!(value(&AUTHORIZATION, bad.as_bytes()).is_none());
        }
        assert!(value(&AUTHORIZATION, b"x").unwrap().is_sensitive());
        assert!(!value(&CONTENT_TYPE, "ä\t".as_bytes()).unwrap().is_sensitive());
    }
}
