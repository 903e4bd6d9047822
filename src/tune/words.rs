//! Figures as sentences say them.

/// A number with three digits that count, and no zeros at its end.
#[must_use]
pub(crate) fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A share in percent: `33 %`, `4.2 %`, `0.008 %`.
#[must_use]
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let text = if percent.abs() >= 10.0 { format!("{percent:.0}") } else { figure(rounded(percent)) };
    format!("{text} %")
}

/// A count with commas: 36,000.
#[must_use]
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 trial`, `2 trials`.
#[must_use]
pub(crate) fn counted(n: u64, one: &str) -> String {
    format!("{} {one}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Names as a sentence lists them: `a, b and c`.
#[must_use]
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Two digits that count.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(1 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_say_them() {
        for (value, want) in [(0.0, "0"), (0.784_321, "0.784"), (123.456, "123"), (12.3456, "12.3"), (0.8, "0.8")] {
            assert_eq!(figure(value), want);
        }
        for (share, want) in [(0.334, "33 %"), (0.0424, "4.2 %"), (3.0 / 36_000.0, "0.0083 %"), (1.2, "120 %")] {
            assert_eq!(percent(share), want);
        }
        assert_eq!((count(36_000), count(999), count(1_234_567)), ("36,000".into(), "999".into(), "1,234,567".into()));
        assert_eq!((counted(1, "trial"), counted(12, "trial")), ("1 trial".to_owned(), "12 trials".to_owned()));
        assert_eq!(listed(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
