//! Watches from now on.

use std::fmt::Debug;

use futures::{StreamExt, stream::BoxStream};
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use testbed::harness::Result;

pub struct Watch<T>(BoxStream<'static, kube::Result<WatchEvent<T>>>);

impl<T: Clone + Debug + DeserializeOwned + 'static> Watch<T> {
    pub async fn begin(api: &Api<T>) -> Result<Self> {
        let version = api.list_metadata(&ListParams::default().limit(1)).await?;
        let version = version.metadata.resource_version.unwrap_or_default();
        let watch = api.watch(&WatchParams::default(), &version).await?;
        Ok(Self(watch.boxed()))
    }

    /// The next object that changed.
    pub async fn modified(&mut self) -> Result<T> {
        loop {
            match self.0.next().await.ok_or("the watch ended early")?? {
                WatchEvent::Modified(object) => return Ok(object),
                WatchEvent::Error(error) => return Err(error.message.into()),
                _ => {}
            }
        }
    }
}
