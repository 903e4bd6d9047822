//! One value for each knob.

use std::fmt;

/// One value for each knob, in the order of the plan. Values are text: what an environment takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Setting(Vec<(String, String)>);

// === impl Setting ===

impl Setting {
    /// Knobs and their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(knob, value)| (knob.as_str(), value.as_str()))
    }

    /// The value of a knob; none where it has no such knob.
    #[must_use]
    pub fn get(&self, knob: &str) -> Option<&str> {
        self.iter().find(|(name, _)| *name == knob).map(|(_, value)| value)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Setting {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(knob, value)| (knob.into(), value.into())).collect())
    }
}

impl fmt::Display for Setting {
    /// `PG_POOL_MAX=8 UV_THREADPOOL_SIZE=4`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (knob, value)) in self.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{knob}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_an_environment_does() {
        let setting: Setting = [("PG_POOL_MAX", "8"), ("UV_THREADPOOL_SIZE", "4")].into_iter().collect();
        assert_eq!(setting.to_string(), "PG_POOL_MAX=8 UV_THREADPOOL_SIZE=4");
        assert_eq!((setting.get("UV_THREADPOOL_SIZE"), setting.get("uv")), (Some("4"), None));
        assert_eq!(Setting::default().to_string(), "");
    }
}
