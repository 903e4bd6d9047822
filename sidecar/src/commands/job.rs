//! An Indexed Job of Kubernetes: worker i of N plays the segment i/N:(i+1)/N by itself, without a shell.
//!
//! Kubernetes tells a pod its index (`JOB_COMPLETION_INDEX`) and not of how many; the manifest says that in
//! `JOB_COMPLETIONS`. A worker that does not know it would play the whole of the load, N times in all: it is refused.

/// Which of how many this worker is.
const INDEX: &str = "JOB_COMPLETION_INDEX";
/// Of how many.
const COMPLETIONS: &str = "JOB_COMPLETIONS";

/// The segment that this worker plays: the flag's; where there is none, what an Indexed Job says.
///
/// # Errors
/// The message for the user where the Job does not say enough.
pub(crate) fn segment(flag: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    if let Some(flag) = flag.filter(|flag| !flag.trim().is_empty()) {
        return Ok(Some(flag.to_owned()));
    }
    let read = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
    let Some(index) = read(INDEX) else { return Ok(None) };
    let Some(completions) = read(COMPLETIONS) else {
        return Err(format!(
            "{INDEX} is {index}: this is a worker of an Indexed Job, and {COMPLETIONS} does not say of how many\n    \
             hint: set {COMPLETIONS} to the Job's `completions`, or give --execution-segment"
        ));
    };
    let number = |name: &str, text: &str| -> Result<u64, String> {
        text.trim().parse().map_err(|_| format!("{name}: {text:?} is not a whole number"))
    };
    let (at, of) = (number(INDEX, &index)?, number(COMPLETIONS, &completions)?);
    if at >= of {
        return Err(format!("{INDEX} is {at}, and {COMPLETIONS} only {of}"));
    }
    Ok(Some(format!("{at}/{of}:{}/{of}", at + 1)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(flag: Option<&str>, index: &str, completions: &str) -> Result<Option<String>, String> {
        segment(flag, |name| Some(if name == INDEX { index } else { completions }.to_owned()))
    }

    #[test]
    fn a_worker_of_an_indexed_job_plays_its_part() {
        assert_eq!(of(None, "1", "3").unwrap().as_deref(), Some("1/3:2/3"));
        assert_eq!(of(None, "0", "1").unwrap().as_deref(), Some("0/1:1/1"));
        assert_eq!(of(Some("0:1/2"), "1", "3").unwrap().as_deref(), Some("0:1/2"), "the flag goes first");
        assert_eq!(of(None, "", "3").unwrap(), None);
        assert_eq!(of(Some(""), "2", "4").unwrap().as_deref(), Some("2/4:3/4"));
    }

    #[test]
    fn a_job_that_does_not_say_of_how_many_is_refused() {
        for (index, completions) in [("0", ""), ("3", "3"), ("x", "3"), ("0", "many"), ("-1", "3"), ("0", "0")] {
            assert!(of(None, index, completions).is_err(), "{index} of {completions}");
        }
    }
}
