//! The provider against a transit engine: one that the test serves itself, and a real server where there is one.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test can't do without has failed")]

mod engine;
mod fault;
mod real;
mod wrapping;

use std::time::Duration;

use clinicx_vault::{TokenSource, VaultOptions, VaultProvider};

/// The token of the engines under test.
pub(crate) const TOKEN: &str = "a-test-token";

/// Options for an engine at an address.
pub(crate) fn options(address: &str) -> VaultOptions {
    VaultOptions {
        address: address.parse().unwrap(),
        mount: "transit".to_owned(),
        key: "clinicx".to_owned(),
        namespace: None,
        token: TokenSource::Given(TOKEN.to_owned().into()),
        ca_pem: None,
        timeout: Duration::from_secs(5),
        attempts: 3,
    }
}

pub(crate) fn provider(options: VaultOptions) -> VaultProvider {
    VaultProvider::new(options).unwrap()
}
