//! Which regions have their own label.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// How many regions get a label that the operator didn't name. Users choose them, and each label lasts as long
/// as the process.
const OTHERS_MAX: usize = 20;

/// The label of each region.
#[derive(Debug, Default)]
pub(super) struct RegionLabels {
    /// Those that the operator named, whichever others came before.
    named: BTreeSet<String>,
    others: Mutex<BTreeSet<String>>,
}

impl RegionLabels {
    pub(super) fn new(named: BTreeSet<String>) -> Self {
        Self {
            named,
            others: Mutex::default(),
        }
    }

    /// The region's name, or `other`.
    pub(super) fn label(&self, region: &str) -> String {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if self.named.contains(region) || others.contains(region) {
            return region.to_owned();
        }
        if others.len() >= OTHERS_MAX {
            return "other".to_owned();
        }
        others.insert(region.to_owned());
        region.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_region_keeps_its_label_whatever_others_came_before() {
        let labels = RegionLabels::new(["cn-hangzhou".to_owned()].into());
        for number in 0..100 {
            labels.label(&format!("made-up-{number}"));
        }
        assert_eq!(labels.label("cn-hangzhou"), "cn-hangzhou");
        assert_eq!(labels.label("made-up-19"), "made-up-19");
        assert_eq!(labels.label("made-up-20"), "other");
        assert_eq!(labels.label("cn-beijing"), "other");
    }
}
