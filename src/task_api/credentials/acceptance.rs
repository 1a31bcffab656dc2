//! Whether the API takes the credentials, as far as its latest answers tell.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// How long an answer counts: somewhat longer than the longest poll interval.
const COUNTS_FOR: Duration = Duration::from_mins(65);
/// The vendor has fewer regions. Objects name them, and only those that answer are kept.
const REGIONS_MAX: usize = 64;

/// The latest answer of each region.
#[derive(Debug, Default)]
pub(super) struct Acceptance {
    by_region: HashMap<String, Answer>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    accepted: bool,
    at: Instant,
}

impl Acceptance {
    /// Notes an answer of a region.
    pub(super) fn note(&mut self, region: &str, accepted: bool) {
        let at = Instant::now();
        if let Some(answer) = self.by_region.get_mut(region) {
            *answer = Answer { accepted, at };
            return;
        }
        let by_region = &mut self.by_region;
        by_region.retain(|_, answer| answer.at.elapsed() < COUNTS_FOR);
        if by_region.len() < REGIONS_MAX {
            by_region.insert(region.to_owned(), Answer { accepted, at });
        }
    }

    /// Whether each region that answered lately refused them. One that does so alone may have its own reasons.
    pub(super) fn is_refused(&self) -> bool {
        let mut latest = self.by_region.values().peekable();
        latest.peek().is_some()
            && latest.all(|answer| !answer.accepted || answer.at.elapsed() >= COUNTS_FOR)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn credentials_are_refused_where_no_region_took_them_lately() {
        let mut acceptance = Acceptance::default();
        assert!(!acceptance.is_refused());
        acceptance.note("cn-odd", false);
        assert!(acceptance.is_refused());
        acceptance.note("cn-hangzhou", true);
        assert!(!acceptance.is_refused());
        acceptance.note("cn-hangzhou", false);
        assert!(acceptance.is_refused());
        acceptance.note("cn-hangzhou", true);
        advance(COUNTS_FOR).await;
        acceptance.note("cn-odd", false);
        assert!(acceptance.is_refused());
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_regions_take_no_more_than_their_places() {
        let mut acceptance = Acceptance::default();
        acceptance.note("cn-hangzhou", true);
        for number in 0..1000 {
            acceptance.note(&format!("r{number}"), false);
        }
        assert_eq!(acceptance.by_region.len(), REGIONS_MAX);
        assert!(!acceptance.is_refused());
    }
}
