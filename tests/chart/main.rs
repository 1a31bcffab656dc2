//! The Helm chart: its templates, releases on a real API server, alerts and the dashboard.

// For a set of all values as one literal.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod admission;
mod artifact_hub;
mod cluster;
mod credentials;
mod handover;
mod lint;
mod monitoring;
mod network;
mod openshift;
mod parent;
mod readme;
mod release;
mod rights;
mod schema;
mod settings;
mod sources;
mod templates;
mod waits;
