//! Durations as Go writes them, which is what the API server's `duration()` accepts.

use std::time::Duration;

use thiserror::Error;

/// A text that is no duration that Go's `time.ParseDuration` would take, or a negative one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// Not a number followed by a unit, once or more often.
    #[error("is not a duration: write a number and a unit, such as 15s, 1m30s or 0.5h")]
    Malformed,
    /// More than Go's 64-bit nanoseconds hold, about 292 years.
    #[error("is too long a duration: 292 years are the most")]
    TooLong,
    /// Less than zero.
    #[error("is negative: a duration must be at least 0s")]
    Negative,
}

/// Parses a non-negative duration such as `15s`, `1m30s`, `.5h` or `0`.
///
/// The grammar is that of Go's [`time.ParseDuration`](https://pkg.go.dev/time#ParseDuration).
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let nanos = if unsigned == "0" {
        0
    } else {
        parse_terms(unsigned)?
    };
    if text.starts_with('-') && nanos > 0 {
        return Err(DurationError::Negative);
    }
    Ok(Duration::from_nanos(nanos))
}

fn parse_terms(mut rest: &str) -> Result<u64, DurationError> {
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (term, after) = parse_term(rest)?;
        total = total.checked_add(term).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    if total > i64::MAX.unsigned_abs() {
        return Err(DurationError::TooLong);
    }
    Ok(total)
}

/// One number and its unit, in nanoseconds, and what follows.
fn parse_term(text: &str) -> Result<(u64, &str), DurationError> {
    let number_end = text
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .ok_or(DurationError::Malformed)?;
    let (number, rest) = text.split_at(number_end);
    let unit_end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let unit = unit_nanos(unit).ok_or(DurationError::Malformed)?;

    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(DurationError::Malformed);
    }
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().map_err(|_| DurationError::TooLong)?
    };
    let nanos = whole.checked_mul(unit).ok_or(DurationError::TooLong)?;
    let nanos = nanos
        .checked_add(fraction_nanos(fraction, unit))
        .ok_or(DurationError::TooLong)?;
    Ok((nanos, rest))
}

/// `0.fraction` of `unit`, rounded down.
fn fraction_nanos(fraction: &str, unit: u64) -> u64 {
    // More digits than these are below a nanosecond of an hour.
    let digits = fraction.get(..18).unwrap_or(fraction);
    let scale = 10_u128.pow(u32::try_from(digits.len()).unwrap_or(18));
    let numerator = digits.parse::<u128>().unwrap_or(0) * u128::from(unit);
    u64::try_from(numerator / scale).unwrap_or(u64::MAX)
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let rows = [
            ("0", 0),
            ("15s", 15_000_000_000),
            ("1m30s", 90_000_000_000),
            ("0.5h", 1_800_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+2ms", 2_000_000),
            ("-0s", 0),
            ("1h1m1s1ms1us1ns", 3_661_001_001_001),
            ("3\u{b5}s4\u{3bc}s", 7_000),
            ("0.333333333333333333333h", 1_199_999_999_999),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ];
        for (text, nanos) in rows {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_nanos(nanos)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        let malformed = [
            "", "+", "5", "s", "5 s", "5x", ".s", "1..2s", "1s5", "15S", "1d", "٣s",
        ];
        for text in malformed {
            assert_eq!(
                parse_duration(text),
                Err(DurationError::Malformed),
                "{text}"
            );
        }
        for text in [
            "9223372036854775808ns",
            "99999999999999999999999s",
            "3000000h",
            "2562047h48m",
        ] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong), "{text}");
        }
        for text in ["-1s", "-0.5h"] {
            assert_eq!(parse_duration(text), Err(DurationError::Negative), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn whole_numbers_of_each_unit_are_exact(n in 0_u64..2_000_000, unit in 0_usize..6) {
            let unit = ["ns", "us", "ms", "s", "m", "h"][unit];
            let parsed = parse_duration(&format!("{n}{unit}")).unwrap();
            let nanos = unit_nanos(unit).unwrap();
            prop_assert_eq!(parsed, Duration::from_nanos(n * nanos));
        }
    }
}
