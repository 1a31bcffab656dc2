//! What GitOps tools make of an object: Argo CD by its health script, Flux by its expressions, and
//! kstatus by its own rules.
//!
//! Script and expressions are those of `docs/gitops`, unchanged, in a real Lua and a real CEL.
//! [`check`] says whether an object keeps what `docs/gitops/README.md` promises.

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
