//! The rate limit of the API.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{fault::Fault, values::parse_duration};

/// How many requests are answered. The others are throttled.
#[derive(Debug, Clone)]
pub struct RateLimit {
    /// Requests in each `period`, and the size of a burst.
    pub requests: u32,
    /// The period of `requests`.
    pub period: Duration,
    /// What the limit applies to.
    pub per: Per,
    /// The answer above the limit. By default 429 `Throttling`.
    pub answer: Fault,
}

/// What a rate limit applies to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Each region: the first segment of the path with `regionInPath`, else the `Host` header.
    #[default]
    Region,
    /// Each access key ID in each region.
    Account,
    /// All requests together.
    Overall,
}

impl RateLimit {
    /// This many requests per second in each region. The others get 429 `Throttling`.
    #[must_use]
    pub fn per_second(requests: u32) -> Self {
        Self {
            requests,
            period: Duration::from_secs(1),
            per: Per::default(),
            answer: Fault::error(429, "Throttling"),
        }
    }
}

fn rate<E: Error>(text: &str) -> Result<(u32, Duration), E> {
    let refused = || {
        E::custom(format!(
            "{text:?} is not a rate: write it as 20/s, 100/m or 5/10s"
        ))
    };
    let (requests, period) = text.split_once('/').ok_or_else(refused)?;
    let period = if period.starts_with(|c: char| c.is_ascii_digit()) {
        parse_duration(period)
    } else {
        parse_duration(&format!("1{period}"))
    };
    match (requests.trim().parse(), period) {
        (Ok(requests), Ok(period)) if !period.is_zero() => Ok((requests, period)),
        _ => Err(refused()),
    }
}

struct Rate(u32, Duration);

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        rate(&text).map(|(requests, period)| Self(requests, period))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Map {
    rate: Rate,
    #[serde(default)]
    per: Per,
    answer: Option<Fault>,
}

struct Form;

impl<'de> Visitor<'de> for Form {
    type Value = RateLimit;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a rate such as 20/s, or a map with rate, per and answer")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RateLimit, E> {
        let (requests, period) = rate(text)?;
        Ok(RateLimit {
            requests,
            period,
            ..RateLimit::per_second(requests)
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RateLimit, A::Error> {
        let Map {
            rate: Rate(requests, period),
            per,
            answer,
        } = Map::deserialize(MapAccessDeserializer::new(map))?;
        let usual = RateLimit::per_second(requests);
        Ok(RateLimit {
            requests,
            period,
            per,
            answer: answer.unwrap_or(usual.answer),
        })
    }
}

impl<'de> Deserialize<'de> for RateLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

/// Token buckets, which are full at first.
#[derive(Debug)]
pub(crate) struct Limiter {
    pub(crate) limit: RateLimit,
    buckets: HashMap<String, (f64, Instant)>,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            buckets: HashMap::new(),
        }
    }

    /// Whether a request is within the limit.
    pub(crate) fn admits(&mut self, region: &str, account: &str, now: Instant) -> bool {
        let key = match self.limit.per {
            Per::Region => region.to_owned(),
            Per::Account => format!("{region} {account}"),
            Per::Overall => String::new(),
        };
        let full = f64::from(self.limit.requests);
        let (tokens, since) = self.buckets.entry(key).or_insert((full, now));
        let share = now.duration_since(*since).as_secs_f64() / self.limit.period.as_secs_f64();
        *tokens = (*tokens + share * full).min(full);
        *since = now;
        let admitted = *tokens >= 1.0;
        if admitted {
            *tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills_at_its_rate_and_each_region_has_its_own() {
        let mut limiter = Limiter::new(RateLimit::per_second(2));
        let start = Instant::now();
        let mut admits =
            |region, millis| limiter.admits(region, "", start + Duration::from_millis(millis));
        assert_eq!(
            [admits("a", 0), admits("a", 0), admits("a", 0)],
            [true, true, false]
        );
        assert!(admits("b", 0));
        assert_eq!(
            [admits("a", 499), admits("a", 501), admits("a", 501)],
            [false, true, false]
        );
    }
}
