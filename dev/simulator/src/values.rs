//! Durations in scripts.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// Parses a duration in the format of Go: `15s`, `1m30s`, `0.5h`, `200ms`, `0`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is not a duration: write it as 15s, 1m30s or 200ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit() && c != '.');
        let (unit, after) = split_where(after, |c| c.is_ascii_digit() || c == '.');
        let number: f64 = number.parse().map_err(|_| refused())?;
        seconds += number * seconds_of(unit).ok_or_else(refused)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(refused());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refused())
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "h" => 3600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    })
}

struct ParsedDuration(Duration);

impl<'de> Deserialize<'de> for ParsedDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(Self).map_err(D::Error::custom)
    }
}

pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    ParsedDuration::deserialize(deserializer).map(|written| written.0)
}

pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    Option::<ParsedDuration>::deserialize(deserializer)
        .map(|written| written.map(|written| written.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_in_the_format_of_go() {
        assert_eq!(parse_duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0.5h"), Ok(Duration::from_mins(30)));
        assert_eq!(parse_duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn invalid_durations_are_refused() {
        for text in ["", "15", "s", "-1s", "1.2.3s", "1 s", "1d", "1e400s"] {
            assert!(parse_duration(text).is_err(), "{text:?} was accepted");
        }
    }
}
