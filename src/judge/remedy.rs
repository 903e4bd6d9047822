//! What to do about a generator that did not keep up, by what held it back.
//!
//! Three things can: a limit on its CPU, its own work on all the cores that it has, or others who had the CPU while it was ready
//! to run. In the first two a lower rate helps, and how low it must be follows from what an iteration cost; in the
//! third nothing helps but a core of its own.

use super::fidelity::FidelityInput;
use std::fmt;
use std::time::Duration;

/// What held a generator back, and what helps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Remedy {
    cause: Cause,
    /// The rate at which it would have CPU to spare, iterations a second. None where there is no rate to lower.
    rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    /// A limit on its CPU.
    Throttled(Duration),
    /// Its own work.
    Busy { used: f64, cores: f64 },
    /// Others, or somebody who stopped it.
    Others { used: f64, cores: f64 },
    /// Nobody knows: it was not measured.
    Unknown,
}

/// A generator that leaves less than this to spare is late now and then.
const SPARE: f64 = 0.7;
/// With less of its cores used it was not its own work that held it back.
const WORKED: f64 = 0.75;
/// Throttling of less than this, and less than this share of the time, is not the reason for anything.
const LEAST_THROTTLED: Duration = Duration::from_millis(50);
const LEAST_SHARE: f64 = 0.01;

// === impl Remedy ===

impl Remedy {
    pub(super) fn of(input: &FidelityInput) -> Self {
        let generator = &input.generator;
        let (lasted, cpu) = (generator.lasted.as_secs_f64(), generator.cpu.as_secs_f64());
        let (used, cores) = (if lasted > 0.0 { cpu / lasted } else { 0.0 }, generator.cores);
        let least = LEAST_THROTTLED.as_secs_f64().max(LEAST_SHARE * lasted);
        let cause = if input.throttled.as_secs_f64() >= least {
            Cause::Throttled(input.throttled)
        } else if lasted <= 0.0 || cores <= 0.0 {
            Cause::Unknown
        } else if generator.busy() > WORKED {
            Cause::Busy { used, cores }
        } else {
            Cause::Others { used, cores }
        };
        // Under a limit it used what it was given; else all cores can be had.
        let available = match cause {
            Cause::Throttled(_) => used,
            Cause::Busy { cores, .. } => cores,
            Cause::Others { .. } | Cause::Unknown => 0.0,
        };
        let rate = if cpu > 0.0 { input.started as f64 / cpu * available * SPARE } else { 0.0 };
        Self { cause, rate: (generator.open && rate >= 1.0).then_some(rate) }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Throttled(time) => {
                let time = time.as_secs_f64();
                write!(f, "CPU throttling held it back for {time:.1} s: raise or remove its CPU limit")?;
            }
            Cause::Busy { used, cores } => write!(f, "it used {used:.1} of {cores} cores: give it another core")?,
            Cause::Others { used, cores } => write!(
                f,
                "it used only {used:.1} of {cores} cores, so others had the CPU or it was stopped: \
                 give it a core of its own"
            )?,
            Cause::Unknown => f.write_str("give it more CPU, or split the load over several")?,
        }
        match (self.rate, self.cause) {
            (Some(rate), _) => write!(f, ", or lower the rate to {}/s", thousands(rounded(rate))),
            (None, Cause::Busy { .. }) => f.write_str(", or lower the load"),
            (None, _) => Ok(()),
        }
    }
}

/// Down to two digits: more would be a promise.
fn rounded(rate: f64) -> u64 {
    let unit = 10_f64.powf(rate.log10().floor() - 1.0).max(1.0);
    ((rate / unit).floor() * unit) as u64
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::fidelity::Generator;

    fn input(cpu: f64, open: bool, throttled: Duration) -> FidelityInput {
        let generator = Generator {
            lasted: Duration::from_secs(10),
            cpu: Duration::from_secs_f64(cpu),
            cores: 2.0,
            open,
            ..Generator::default()
        };
        FidelityInput { started: 60_000, throttled, generator, ..FidelityInput::default() }
    }

    #[test]
    fn its_own_work_asks_for_a_core_or_a_rate_that_leaves_some() {
        let text = Remedy::of(&input(20.0, true, Duration::ZERO)).to_string();
        assert_eq!(text, "it used 2.0 of 2 cores: give it another core, or lower the rate to 4,200/s");
        let closed = Remedy::of(&input(20.0, false, Duration::ZERO)).to_string();
        assert!(closed.ends_with("another core, or lower the load"), "{closed}");
    }

    #[test]
    fn a_limit_is_named_first() {
        let text = Remedy::of(&input(2.0, true, Duration::from_secs(8))).to_string();
        assert!(
            text.starts_with("CPU throttling held it back for 8.0 s: raise or remove its CPU limit, or lower"),
            "{text}"
        );
        let hardly = Remedy::of(&input(20.0, true, Duration::from_millis(20))).to_string();
        assert!(!hardly.contains("throttling"), "{hardly}");
    }

    #[test]
    fn where_others_had_the_cpu_no_rate_helps() {
        let text = Remedy::of(&input(2.0, true, Duration::ZERO)).to_string();
        assert_eq!(
            text,
            "it used only 0.2 of 2 cores, so others had the CPU or it was stopped: give it a core of its own"
        );
    }

    #[test]
    fn rates_are_written_for_people() {
        assert_eq!(thousands(rounded(4_249.0)), "4,200");
        assert_eq!(thousands(rounded(1_234_567.0)), "1,200,000");
        assert_eq!(thousands(rounded(7.9)), "7");
    }
}
