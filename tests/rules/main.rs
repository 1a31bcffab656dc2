//! Tests of the rules against the contract: the status after each answer and each error, the time of the
//! next poll, and what never happens in any history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod access;
mod clusters;
mod conditions;
mod endings;
mod events;
mod failures;
mod fields;
mod fixtures;
mod histories;
mod nodes;
mod polls;
mod properties;
mod sources;
mod timeouts;
mod why;
