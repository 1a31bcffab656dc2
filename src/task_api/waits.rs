//! How long an answer asks to wait, by any of the headers that say so.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::rules::RETRY_AFTER_MAX;

/// Milliseconds. The vendor's own SDKs take any error with it as throttled.
const ACS_RETRY_AFTER: &str = "x-acs-retry-after";
/// Of older gateways, such as `Limit:1,Remain:0,TimeLeft:2000,Reset:1234`: `TimeLeft` is in
/// milliseconds.
const RATE_LIMITS: [&str; 2] = ["x-ratelimit-user-api", "x-ratelimit-user"];

/// What the headers of an answer say of waiting. Zero, negative numbers and garbage count as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    acs: Option<Duration>,
    retry_after: Option<Duration>,
    rate_limit: Option<Duration>,
}

impl Waits {
    /// Reads them; dates are compared with the answer's own, and with `now` where it has none.
    pub fn of(headers: &HeaderMap, now: SystemTime) -> Self {
        let now = date(headers).unwrap_or(now);
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let rate_limits = RATE_LIMITS.into_iter().filter_map(text);
        Self {
            acs: text(ACS_RETRY_AFTER).and_then(millis),
            retry_after: text(RETRY_AFTER.as_str()).and_then(|text| seconds_or_date(text, now)),
            rate_limit: rate_limits.filter_map(time_left).max(),
        }
    }

    /// Whether the API asks for fewer calls, whatever the error is.
    pub fn is_throttled(self) -> bool {
        self.acs.is_some()
    }

    /// How long to wait, at most five minutes. Rate limits count on a throttled answer only.
    pub fn wait(self, is_throttled: bool) -> Option<Duration> {
        let rate_limit = self.rate_limit.filter(|_| is_throttled);
        let wait = self.acs.or(self.retry_after).or(rate_limit);
        wait.map(|wait| wait.min(RETRY_AFTER_MAX))
    }
}

/// When an answer was made, by the clock of who made it.
pub fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date = headers.get(DATE)?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()
}

fn millis(text: &str) -> Option<Duration> {
    positive(text).map(Duration::from_millis)
}

/// A number of seconds, or a date in one of the three forms of RFC 9110, section 5.6.7.
fn seconds_or_date(text: &str, now: SystemTime) -> Option<Duration> {
    let seconds = positive(text).map(Duration::from_secs);
    let date = || httpdate::parse_http_date(text.trim()).ok();
    let wait = seconds.or_else(|| date()?.duration_since(now).ok());
    wait.filter(|wait| !wait.is_zero())
}

fn time_left(text: &str) -> Option<Duration> {
    let parts = text.split(',').filter_map(|part| part.split_once(':'));
    let mut left = parts.filter(|(name, _)| name.trim().eq_ignore_ascii_case("TimeLeft"));
    millis(left.next()?.1)
}

/// A number that doesn't fit is a large one.
fn positive(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().unwrap_or(u64::MAX));
    number.filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// Sun, 06 Nov 1994 08:49:30 GMT.
    const NOW: Duration = Duration::from_secs(784_111_770);

    fn waits(headers: &[(&str, &str)]) -> Waits {
        let header = |(name, value): &(&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        Waits::of(
            &headers.iter().map(header).collect(),
            SystemTime::UNIX_EPOCH + NOW,
        )
    }

    fn millis_of(headers: &[(&str, &str)]) -> Option<u128> {
        let wait = waits(headers).wait(true);
        wait.map(|wait| wait.as_millis())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_five_minutes() {
        let rows = [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("0", None),
            ("000", None),
            ("301", Some(300)),
            ("99999999999999999999999999", Some(300)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", None),
            ("Sun, 06 Nov 1994 08:49:00 GMT", None),
            ("Mon, 06 Nov 2094 08:49:37 GMT", None),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(300)),
            ("-7", None),
            ("+7", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, seconds) in rows {
            let wait = millis_of(&[("retry-after", value)]);
            assert_eq!(wait, seconds.map(|seconds| seconds * 1000), "{value:?}");
        }
    }

    #[test]
    fn the_vendors_header_is_milliseconds_and_means_throttled_where_it_is_positive() {
        let rows = [
            ("1500", Some(1500)),
            (" 1 ", Some(1)),
            ("300001", Some(300_000)),
            ("99999999999999999999999999", Some(300_000)),
            ("0", None),
            ("-1500", None),
            ("1500ms", None),
            ("1.5", None),
            ("", None),
        ];
        for (value, millis) in rows {
            let headers = [("x-acs-retry-after", value)];
            assert_eq!(millis_of(&headers), millis, "{value:?}");
            assert_eq!(
                waits(&headers).is_throttled(),
                millis.is_some(),
                "{value:?}"
            );
        }
    }

    #[test]
    fn the_larger_rate_limit_counts_on_a_throttled_answer_only() {
        let api = (
            "x-ratelimit-user-api",
            "Limit:1,Remain:0,TimeLeft:2000,Reset:1234",
        );
        let user = ("x-ratelimit-user", "limit:1, timeleft: 3000 ");
        assert_eq!(millis_of(&[api]), Some(2000));
        assert_eq!(millis_of(&[user]), Some(3000));
        assert_eq!(millis_of(&[api, user]), Some(3000));
        assert_eq!(waits(&[api, user]).wait(false), None);
        for garbage in [
            "",
            "TimeLeft",
            "TimeLeft:",
            "TimeLeft:0",
            "TimeLeft:-1",
            "2000",
            "Reset:9",
        ] {
            assert_eq!(
                millis_of(&[("x-ratelimit-user", garbage)]),
                None,
                "{garbage}"
            );
            assert_eq!(millis_of(&[api, ("x-ratelimit-user", garbage)]), Some(2000));
        }
        assert_eq!(
            millis_of(&[("x-ratelimit-user", "TimeLeft:9999999")]),
            Some(300_000)
        );
    }

    #[test]
    fn the_vendors_header_comes_first_then_retry_after_then_rate_limits() {
        let acs = ("x-acs-retry-after", "1500");
        let standard = ("retry-after", "7");
        let limit = ("x-ratelimit-user", "TimeLeft:2000");
        assert_eq!(millis_of(&[limit, standard, acs]), Some(1500));
        assert_eq!(millis_of(&[limit, standard]), Some(7000));
        assert_eq!(millis_of(&[limit, ("retry-after", "0")]), Some(2000));
        assert_eq!(
            millis_of(&[limit, standard, ("x-acs-retry-after", "0")]),
            Some(7000)
        );
        assert_eq!(
            waits(&[limit, standard]).wait(false),
            Some(Duration::from_secs(7))
        );
    }
}
