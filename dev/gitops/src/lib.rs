//! How GitOps tools judge an object: Argo CD by its health script, Flux by its expressions, and kstatus
//! by its own rules.
//!
//! The script and the expressions are those of `docs/gitops`, unchanged, and run in a real Lua and a
//! real CEL. [`check`] checks an object against the promises of `docs/gitops/README.md`.

mod argocd;
mod error;
mod field;
mod flux;
mod health;
mod kstatus;
mod promise;

pub use argocd::{ArgoCd, argocd};
pub use error::Error;
pub use flux::flux;
pub use health::Health;
pub use kstatus::kstatus;
pub use promise::{Verdicts, check, verdicts};
