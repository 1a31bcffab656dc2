//! Watches every version of an object, on a connection that is never disturbed.

use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::{
    Api,
    runtime::watcher::{self, watcher},
};
use scaleouttask_controller::api::ScaleOutTask;
use testbed::WholeObject;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

/// One version of the object.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    /// `None` once it is deleted.
    pub object: Option<WholeObject>,
}

/// Records all versions of an object. It starts before the object is created.
pub struct Observer {
    seen: watch::Receiver<Vec<Seen>>,
    watching: JoinHandle<()>,
}

impl Observer {
    pub fn start(api: Api<ScaleOutTask>, name: &str) -> Self {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let (sender, seen) = watch::channel(Vec::new());
        let watching = tokio::spawn(async move {
            let mut events = watcher(api, config).boxed();
            while let Some(event) = events.next().await {
                let object = match event {
                    Ok(watcher::Event::Apply(task) | watcher::Event::InitApply(task)) => {
                        Some(WholeObject::from(task))
                    }
                    Ok(watcher::Event::Delete(_)) => None,
                    _ => continue,
                };
                let at = Instant::now();
                sender.send_modify(|seen: &mut Vec<Seen>| seen.push(Seen { at, object }));
            }
        });
        Self { seen, watching }
    }

    /// Waits until the newest version is as `wanted`. Returns the newest version if that takes too long.
    pub async fn until(
        &self,
        limit: Duration,
        wanted: impl Fn(Option<&WholeObject>) -> bool,
    ) -> Result<(), String> {
        let mut seen = self.seen.clone();
        let newest_fits = |seen: &Vec<Seen>| {
            let newest = seen.last();
            newest.is_some_and(|newest| wanted(newest.object.as_ref()))
        };
        let met = timeout(limit, seen.wait_for(newest_fits)).await;
        match met {
            Ok(Ok(_)) => Ok(()),
            _ => Err(format!("the object is {:#?}", self.seen.borrow().last())),
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
