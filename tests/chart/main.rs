//! The Helm chart: its templates, what a real API server says to them, its alerts and its dashboard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../e2e/controller.rs"]
#[allow(dead_code)]
mod controller;
mod credentials;
mod monitoring;
mod network;
mod release;
mod render;
mod rights;
mod schema;
mod settings;
mod templates;
mod waits;
#[path = "../e2e/witness.rs"]
mod witness;
#[path = "../e2e/world.rs"]
#[allow(dead_code)]
mod world;
