//! Whether the API takes the credentials, as far as its latest answers tell.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// How long an answer counts: somewhat longer than the longest poll interval.
const COUNTS_FOR: Duration = Duration::from_mins(65);
/// The vendor has fewer regions.
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

impl Answer {
    fn counts(self) -> bool {
        self.at.elapsed() < COUNTS_FOR
    }
}

impl Acceptance {
    /// Notes an answer of a region.
    pub(super) fn note(&mut self, region: &str, accepted: bool) {
        let by_region = &mut self.by_region;
        by_region.retain(|_, answer| answer.counts());
        if by_region.len() >= REGIONS_MAX && !by_region.contains_key(region) {
            // Objects name regions: one that takes the credentials goes last.
            let first = by_region
                .iter()
                .min_by_key(|(_, answer)| (answer.accepted, answer.at));
            if let Some(first) = first.map(|(region, _)| region.clone()) {
                by_region.remove(&first);
            }
        }
        let at = Instant::now();
        by_region.insert(region.to_owned(), Answer { accepted, at });
    }

    /// Whether each region that answered lately refused them, and one did. One that does so alone may have its own
    /// reasons.
    pub(super) fn is_refused(&self) -> bool {
        let mut latest = self.by_region.values().filter(|answer| answer.counts());
        latest
            .next()
            .is_some_and(|first| !first.accepted && latest.all(|answer| !answer.accepted))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn credentials_are_refused_where_some_region_did_lately_and_none_took_them() {
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
        assert!(!acceptance.is_refused(), "nothing is known");
        acceptance.note("cn-odd", false);
        assert!(acceptance.is_refused());
        advance(COUNTS_FOR).await;
        assert!(!acceptance.is_refused(), "an old refusal says nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_regions_take_the_place_of_none_that_takes_the_credentials() {
        let mut acceptance = Acceptance::default();
        acceptance.note("cn-hangzhou", true);
        for number in 0..1000 {
            acceptance.note(&format!("r{number}"), false);
            assert!(!acceptance.is_refused());
        }
        assert_eq!(acceptance.by_region.len(), REGIONS_MAX);
        acceptance.note("cn-beijing", true);
        acceptance.note("cn-hangzhou", false);
        assert!(!acceptance.is_refused());
    }
}
