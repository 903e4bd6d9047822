//! The request that undoes a step, compiled.

use crate::plan::{self, HttpSettings, Spanned};
use crate::workflow::header::Headers;
use crate::workflow::site::Site;
use crate::workflow::url::Url;
use http::Method;

/// The request that undoes a step.
#[derive(Debug)]
pub(crate) struct Undo {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Those of the step itself, but for what describes its body.
    pub(crate) headers: Headers,
}

// === impl Undo ===

impl Undo {
    /// Compiles a step's `undo`, which may use what the step itself captures.
    pub(crate) fn compile(
        document: &plan::Step,
        base: Option<&str>,
        http: &HttpSettings,
        site: &mut Site<'_, '_>,
    ) -> Option<Self> {
        let undo = document.undo.as_ref()?;
        // The plan's reader has seen to it that both are there.
        let (method, url) = undo.trim().split_once([' ', '\t'])?;
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
        // No check is counted for it.
        let counted = site.counted.take();
        let absence_fails = std::mem::replace(&mut site.absence_fails, false);
        let url = Url::compile(&Spanned::new(url.trim().to_owned(), undo.span), base, site);
        let headers = Headers::compile(&http.headers, document.auth.as_ref(), &document.headers, None, site);
        (site.counted, site.absence_fails) = (counted, absence_fails);
        Some(Self { method, url, headers })
    }
}
