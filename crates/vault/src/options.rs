//! Where the engine is and how it is asked.

use std::{fmt, path::PathBuf, time::Duration};

use url::Url;
use zeroize::Zeroizing;

/// Where the transit engine is and how it is asked.
#[derive(Clone, Debug)]
pub struct VaultOptions {
    /// The server's address, such as `https://vault.internal:8200`.
    pub address: Url,
    /// The path at which the transit engine is mounted.
    pub mount: String,
    /// The name of the transit key that wraps.
    pub key: String,
    /// The namespace, where the server has them.
    pub namespace: Option<String>,
    /// Where the token comes from.
    pub token: TokenSource,
    /// The certificates (PEM) that the server's must come from; those of the system when absent.
    pub ca_pem: Option<Vec<u8>>,
    /// How long one try may take.
    pub timeout: Duration,
    /// How often it is tried in all when the server does not answer.
    pub attempts: u32,
}

/// Where the token comes from.
#[derive(Clone)]
pub enum TokenSource {
    /// It is this one.
    Given(Zeroizing<String>),
    /// It stands in a file, which is read for every request: an agent keeps it good.
    File(PathBuf),
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Why the options can't be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultOptionsError {
    /// The address is none of a web server.
    #[error("the address must begin with https:// (or http:// on this machine) and name a host")]
    Address,
    /// The mount or the key is no plain name.
    #[error("{0:?} must be letters, digits, dots, hyphens and underscores, of a mount with slashes between")]
    Name(String),
    /// There is no certificate, or one that can't be read.
    #[error("the file of certificates holds none in PEM")]
    Certificates,
    /// The HTTP client can't be made.
    #[error("the HTTP client can't be made")]
    Client(#[source] reqwest::Error),
}

/// Refuses what would change the path of a request.
pub(crate) fn check_name(name: &str) -> Result<(), VaultOptionsError> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if name.split('/').all(plain) { Ok(()) } else { Err(VaultOptionsError::Name(name.to_owned())) }
}

/// Tells whether a token may be sent there: encrypted, or not leaving the machine.
pub(crate) fn is_safe(address: &Url) -> bool {
    match (address.scheme(), address.host()) {
        ("https", Some(_)) => true,
        ("http", Some(url::Host::Domain(name))) => name == "localhost",
        ("http", Some(url::Host::Ipv4(ip))) => ip.is_loopback(),
        ("http", Some(url::Host::Ipv6(ip))) => ip.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_in_clear_to_this_machine_alone() {
        let check =
            |address: &str, expected| assert_eq!(is_safe(&address.parse().unwrap()), expected, "{address}");
        check("https://vault.internal:8200", true);
        check("http://127.0.0.1:8200", true);
        check("http://[::1]:8200", true);
        check("http://localhost:8200", true);
        check("http://vault.internal:8200", false);
        check("http://127.0.0.1.example:8200", false);
        check("ftp://127.0.0.1", false);
    }

    #[test]
    fn a_name_can_not_change_the_path() {
        for good in ["transit", "team/transit", "clinicx-1.a_b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "/transit", "transit/", "a//b", "..", "a/../b", "a?b", "a#b", "a b", "ä"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let given = TokenSource::Given("hvs.secret".to_owned().into());
        assert_eq!(format!("{given:?}"), "Given");
    }
}
