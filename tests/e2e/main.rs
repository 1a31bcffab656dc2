//! The controller as a process of its own, on a real etcd and kube-apiserver, with a simulated
//! task API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod credentials;
mod kubectl;
mod lifecycle;
mod process;
mod specs;
mod world;
