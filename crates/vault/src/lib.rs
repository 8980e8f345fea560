//! Lets HashiCorp Vault's transit engine, or OpenBao's, wrap the tenants' data keys: the master key never leaves it.
//!
//! The crate owns the HTTP calls (`keys`, `encrypt`, `decrypt`, `rewrap`) and nothing else. **Invariant:** no token and
//! no key stands in an error or a log line.
//!
//! Data keys are made by this service and not by `datakey`: an envelope says inside whose it is, which the engine could
//! not write into a key of its own.
//!
//! Entry point: [`VaultProvider`].

mod answer;
mod options;
mod provider;

pub use options::{TokenSource, VaultOptions, VaultOptionsError};
pub use provider::VaultProvider;
