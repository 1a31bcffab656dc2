//! What follows where a list or a watch fails: whether it is tried again, how, and after how long.

use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Verb;

const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// An API server that starts may refuse what it allows a moment later.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    TryAgain,
    /// The same with credentials that are asked for anew.
    RenewCredentials,
    /// The watch is too old, or the list's next page is: all are listed.
    ListAnew,
    /// It won't be otherwise before somebody mends something.
    GiveUp,
}

/// How it went so far.
#[derive(Debug)]
pub struct Retries {
    /// Whether an API server was ever reached.
    is_reached: bool,
    /// What it has ever allowed.
    allowed: Vec<Verb>,
    refused_since: Option<Instant>,
    backoff: Duration,
}

impl Retries {
    pub fn new(is_reached: bool) -> Self {
        Self {
            is_reached,
            allowed: Vec::new(),
            refused_since: None,
            backoff: BACKOFF,
        }
    }

    /// A request was accepted. That doesn't say that what it asks for comes.
    pub fn accepted(&mut self, verb: Verb) {
        self.is_reached = true;
        if !self.allowed.contains(&verb) {
            self.allowed.push(verb);
        }
    }

    /// All were listed.
    pub fn listed(&mut self) {
        self.refused_since = None;
    }

    /// The watch works.
    pub fn watched(&mut self) {
        self.refused_since = None;
        self.backoff = BACKOFF;
    }

    /// How long to wait before the next attempt: ever longer, until one works.
    pub fn pause(&mut self) -> Duration {
        let pause = self.backoff;
        self.backoff = (pause * 2).min(BACKOFF_MAX);
        pause
    }

    /// A request failed: with that answer, or without one.
    pub fn failed(&mut self, code: Option<u16>, verb: Verb, now: Instant) -> Next {
        match code {
            Some(410) => Next::ListAnew,
            Some(400..=405 | 422) => {
                let since = *self.refused_since.get_or_insert(now);
                if !self.allowed.contains(&verb) || now - since > REFUSED_FOR {
                    Next::GiveUp
                } else if code == Some(401) {
                    Next::RenewCredentials
                } else {
                    Next::TryAgain
                }
            }
            None if !self.is_reached => Next::GiveUp,
            Some(_) | None => Next::TryAgain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_failure_depends_on_what_was_allowed_before() {
        use Next::{GiveUp, ListAnew, RenewCredentials, TryAgain};
        // Without an answer, and with a code: before anything was allowed, and after.
        for (code, at_first, later) in [
            (None, GiveUp, TryAgain),
            (Some(401), GiveUp, RenewCredentials),
            (Some(403), GiveUp, TryAgain),
            (Some(404), GiveUp, TryAgain),
            (Some(422), GiveUp, TryAgain),
            (Some(410), ListAnew, ListAnew),
            (Some(429), TryAgain, TryAgain),
            (Some(500), TryAgain, TryAgain),
            (Some(503), TryAgain, TryAgain),
        ] {
            let now = Instant::now();
            let mut retries = Retries::new(false);
            assert_eq!(retries.failed(code, Verb::List, now), at_first, "{code:?}");
            retries.accepted(Verb::List);
            assert_eq!(retries.failed(code, Verb::List, now), later, "{code:?}");
        }
    }

    #[test]
    fn what_made_its_object_goes_on_without_an_api_server() {
        let mut retries = Retries::new(true);
        let now = Instant::now();
        assert_eq!(retries.failed(None, Verb::Watch, now), Next::TryAgain);
        // But not without a permission.
        assert_eq!(retries.failed(Some(403), Verb::Watch, now), Next::GiveUp);
    }

    #[test]
    fn what_is_refused_for_long_is_given_up_unless_it_worked_in_between() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut retries = Retries::new(false);
        retries.accepted(Verb::Watch);
        let failed =
            |retries: &mut Retries, seconds| retries.failed(Some(403), Verb::Watch, at(seconds));
        assert_eq!(failed(&mut retries, 0), Next::TryAgain);
        assert_eq!(failed(&mut retries, 30), Next::TryAgain);
        retries.watched();
        assert_eq!(failed(&mut retries, 31), Next::TryAgain);
        assert_eq!(failed(&mut retries, 61), Next::TryAgain);
        assert_eq!(failed(&mut retries, 62), Next::GiveUp);
    }

    #[test]
    fn the_wait_grows_until_a_watch_works() {
        let mut retries = Retries::new(false);
        let mut waits = || (0..7).map(|_| retries.pause()).collect::<Vec<_>>();
        let grown = waits();
        assert_eq!(grown[0], BACKOFF);
        assert!(grown.is_sorted());
        assert_eq!(grown[6], BACKOFF_MAX);
        retries.listed();
        assert_eq!(retries.pause(), BACKOFF_MAX);
        retries.watched();
        assert_eq!(retries.pause(), BACKOFF);
    }
}
