//! What is tried.

use std::time::Duration;

use clap::ValueEnum;
use simulator::{Fault, RateLimit};

/// What the throttling account allows.
pub const ALLOWED: u32 = 20;
/// How many objects it has, and how often each is to be polled.
pub const OBJECTS: usize = 1000;
pub const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// The same for the region that doesn't throttle: half of what the controller's own limit lets
/// through, so that nobody waits for that.
pub const FREE_OBJECTS: usize = 50;
pub const FREE_POLL_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// The free region alone, first and last
    A,
    /// The throttling account beside it, its rate known
    B,
    /// Its rate unknown
    C,
    /// Its rate unknown, and its refusals with Retry-After
    D,
    /// Three objects with poll requests without end
    Requests,
    /// A namespace with 5,000 objects polled every second
    Crowd,
    /// A namespace whose Events are refused
    Events,
    /// A namespace whose webhook hangs
    Webhook,
    /// A thousand regions that hang
    Regions,
}

#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: Name,
    pub title: &'static str,
    /// `--requests-per-second`.
    pub rate: u32,
    /// Whether the throttling account has objects.
    pub throttling: bool,
    /// With what `Retry-After` it refuses calls.
    pub retry_after: Option<&'static str>,
}

const BASELINE: Scenario = Scenario {
    name: Name::A,
    title: "A",
    rate: ALLOWED,
    throttling: false,
    retry_after: None,
};

pub const SCENARIOS: [Scenario; 4] = [
    BASELINE,
    Scenario {
        name: Name::B,
        title: "B",
        throttling: true,
        ..BASELINE
    },
    Scenario {
        name: Name::C,
        title: "C",
        rate: 5 * ALLOWED,
        throttling: true,
        ..BASELINE
    },
    Scenario {
        name: Name::D,
        title: "D",
        rate: 5 * ALLOWED,
        throttling: true,
        retry_after: Some("2"),
    },
];

/// A once more: how much one run differs from the other is noise.
pub const BASELINE_AGAIN: Scenario = Scenario {
    title: "A again",
    ..BASELINE
};

impl Scenario {
    pub fn meaning(&self) -> String {
        if !self.throttling {
            return "the free region alone".to_owned();
        }
        let refusals = match self.retry_after {
            Some(seconds) => format!("429 with `Retry-After: {seconds}`"),
            None => "429".to_owned(),
        };
        let rate = self.rate;
        format!("with the throttled objects, `--requests-per-second {rate}`, refused by {refusals}")
    }

    pub fn rate_limit(&self) -> RateLimit {
        let limit = RateLimit::per_second(ALLOWED);
        RateLimit {
            answer: Fault {
                retry_after: self.retry_after.map(str::to_owned),
                ..limit.answer
            },
            ..limit
        }
    }
}
