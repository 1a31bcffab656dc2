//! The controller behind a proxy that disturbs single requests, on a real etcd and kube-apiserver:
//! killed at each, with each failing in each way, and with the API server away for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bench;
#[path = "../e2e/controller.rs"]
#[allow(dead_code)]
mod controller;
mod crash;
mod each_request;
mod fence;
mod fleet;
mod matrix;
mod observer;
mod outage;
mod outcome;
mod proxy;
#[path = "../chart/render.rs"]
#[allow(dead_code)]
mod render;
mod run;
mod scenario;
mod stage;
mod verbs;
#[path = "../e2e/witness.rs"]
mod witness;
#[path = "../e2e/world.rs"]
#[allow(dead_code)]
mod world;
