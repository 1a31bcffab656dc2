//! The rules against their contract: what each answer and each error makes an object show, when it is
//! asked about again, and what never happens whatever the history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod clusters;
mod conditions;
mod endings;
mod events;
mod fields;
mod fixtures;
mod histories;
mod polls;
mod properties;
mod timeouts;
mod trouble;
