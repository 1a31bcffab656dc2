//! Many objects at once: created, and edited again and again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use scaleouttask_controller::api::{ScaleOutTask, ScaleOutTaskSpec};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// Requests at the same time.
const AT_ONCE: usize = 16;

/// So many names that begin so.
pub fn names(prefix: &str, count: usize) -> Vec<String> {
    let names = (0..count).map(|number| format!("{prefix}-{number}"));
    names.collect()
}

/// Creates these objects, by name.
pub async fn create_all(
    api: &Api<ScaleOutTask>,
    objects: impl IntoIterator<Item = (String, ScaleOutTaskSpec)>,
) -> kube::Result<()> {
    let create = |(name, spec): (String, ScaleOutTaskSpec)| async move {
        let object = ScaleOutTask::new(&name, spec);
        api.create(&PostParams::default(), &object).await.map(drop)
    };
    stream::iter(objects)
        .map(create)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Edits of objects at a steady rate, one object after the other, until this is dropped.
pub struct Edits {
    made: Arc<AtomicUsize>,
    // Ended when it is dropped.
    _editing: JoinSet<()>,
}

impl Edits {
    /// Merges `patch` into the objects of these names, so many of them a second. It is given the
    /// number of the round: each object is edited once in each.
    pub fn start(
        api: Api<ScaleOutTask>,
        names: Vec<String>,
        per_second: u32,
        patch: impl Fn(usize) -> Value + Send + 'static,
    ) -> Self {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let mut editing = JoinSet::new();
        editing.spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / per_second);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut under_way = JoinSet::new();
            for round in 0.. {
                for name in &names {
                    ticks.tick().await;
                    if under_way.len() >= AT_ONCE {
                        under_way.join_next().await;
                    }
                    while under_way.try_join_next().is_some() {}
                    let patch = Patch::Merge(patch(round));
                    let (api, name, count) = (api.clone(), name.clone(), count.clone());
                    under_way.spawn(async move {
                        let patched = api.patch(&name, &PatchParams::default(), &patch).await;
                        count.fetch_add(patched.is_ok().into(), Ordering::Relaxed);
                    });
                }
            }
        });
        Self {
            made,
            _editing: editing,
        }
    }

    /// How many the API server has taken.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}
