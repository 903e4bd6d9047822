//! k6's human figures: durations, bytes, shares and plain numbers, to the character.

use crate::measure::Contains;

/// A figure of a metric, in its unit.
#[must_use]
pub fn value(value: f64, contains: Contains) -> String {
    match contains {
        Contains::Time => duration(value),
        Contains::Data => bytes(value),
        Contains::Default => trimmed(value, 6),
    }
}

/// A share (0 to 1) in percent, cut off rather than rounded after two decimals: 99.999 % is not all.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.2}%", (share * 100.0 * 100.0).trunc() / 100.0)
}

/// A time in milliseconds, in the unit that suits it.
#[must_use]
pub fn duration(ms: f64) -> String {
    if ms < 0.0 {
        return format!("-{}", duration(-ms));
    }
    if ms == 0.0 {
        return "0s".to_owned();
    }
    if ms < 0.001 {
        return format!("{}ns", (ms * 1e6).trunc());
    }
    if ms < 1.0 {
        return format!("{}µs", truncated(ms * 1e3, 2));
    }
    if ms < 1000.0 {
        return format!("{}ms", truncated(ms, 2));
    }
    let seconds = truncated((ms % 60_000.0) / 1000.0, if ms > 60_000.0 { 0 } else { 2 });
    let minutes = (ms / 60_000.0).trunc();
    let hours = (minutes / 60.0).trunc();
    match (hours, minutes) {
        (_, minutes) if minutes < 1.0 => format!("{seconds}s"),
        (hours, minutes) if hours < 1.0 => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{}m{seconds}s", minutes % 60.0),
    }
}

/// A number of bytes, in the decimal unit that suits it.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    if bytes < 10.0 {
        return format!("{bytes} B");
    }
    let power = (bytes.ln() / 1000_f64.ln()).floor().clamp(0.0, 8.0);
    let scaled = (bytes / 1000_f64.powf(power) * 10.0 + 0.5).floor() / 10.0;
    let unit = UNITS.get(power as usize).copied().unwrap_or("YB");
    format!("{} {unit}", fixed(scaled, if scaled < 10.0 { 1 } else { 0 }))
}

/// A number with at most so many decimals, and no zeros at their end.
#[must_use]
pub fn trimmed(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// As [`trimmed`], cut off rather than rounded.
fn truncated(value: f64, decimals: usize) -> String {
    let scale = 10_f64.powi(i32::try_from(decimals).unwrap_or(0));
    trimmed((scale * value).trunc() / scale, decimals)
}

/// A number with so many decimals. A tie goes away from zero, as in JavaScript, which writes k6's summary.
fn fixed(value: f64, decimals: usize) -> String {
    // A tie ends one digit further on, so a float's exact digits show it.
    let exact = format!("{value:.60}");
    let rest = exact.split_once('.').and_then(|(_, digits)| digits.get(decimals..)).unwrap_or_default();
    let tie = rest.starts_with('5') && rest.trim_end_matches('0') == "5";
    match tie {
        true if value > 0.0 => format!("{:.decimals$}", value.next_up()),
        true => format!("{:.decimals$}", value.next_down()),
        false => format!("{value:.decimals$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_k6_prints_them() {
        // What k6 1.1.0 printed for what it exported.
        for (ms, want) in [
            (0.0, "0s"),
            (0.000_731, "731ns"),
            (0.003_99, "3.99µs"),
            (0.331_42, "331.42µs"),
            (0.833_439, "833.43µs"),
            (47.574_022_794_721_394, "47.57ms"),
            (56.166_181, "56.16ms"),
            (51.900_048, "51.9ms"),
            (164.0, "164ms"),
            (144.126_745_9, "144.12ms"),
            (0.05, "50µs"),
            (999.999, "999.99ms"),
            (1000.0, "1s"),
            (1234.5, "1.23s"),
            (59_999.0, "59.99s"),
            (60_000.0, "1m0s"),
            (61_500.0, "1m1s"),
            (3_600_000.0, "1h0m0s"),
            (90_061_000.0, "25h1m1s"),
        ] {
            assert_eq!(duration(ms), want, "{ms}");
        }
    }

    #[test]
    fn bytes_read_as_k6_prints_them() {
        for (count, want) in [
            (0.0, "0 B"),
            (9.0, "9 B"),
            (443.0, "443 B"),
            (670.4, "670 B"),
            (910.0, "910 B"),
            (5_826.272_906_536_64, "5.8 kB"),
            (7_390.0, "7.4 kB"),
            (12_751.65, "13 kB"),
            (28_556.0, "29 kB"),
            (62_499.0, "63 kB"),
            (1_500_000.0, "1.5 MB"),
        ] {
            // 62,499 is 62.5 after the first rounding, and a tie goes up.
            assert_eq!(bytes(count), want, "{count}");
        }
    }

    #[test]
    fn shares_are_cut_off_and_numbers_rounded() {
        for (share, want) in [
            (0.949_115_044_247_787_6, "94.91%"),
            (0.067_448_680_351_906_15, "6.74%"),
            (0.0, "0.00%"),
            (1.0, "100.00%"),
            (0.999_999, "99.99%"),
        ] {
            assert_eq!(percent(share), want);
        }
        for (number, want) in [
            (113.0, "113"),
            (92.221_437_358, "92.221437"),
            (0.002_503_391, "0.002503"),
            (0.002, "0.002"),
            (9.379_221_917, "9.379222"),
            (0.007_812_5, "0.007813"),
            (2.660_56, "2.66056"),
            (-0.000_000_1, "0"),
        ] {
            assert_eq!(trimmed(number, 6), want);
        }
    }
}
