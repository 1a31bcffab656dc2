//! The Helm chart: its templates, what a real API server says to them, its alerts and its dashboard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod credentials;
mod monitoring;
mod network;
mod release;
mod rights;
mod schema;
mod settings;
mod templates;
mod waits;
