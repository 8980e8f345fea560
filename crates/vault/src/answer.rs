//! What the engine answers, and what that means.

use clinicx_keys::ProviderError;
use reqwest::StatusCode;
use serde::Deserialize;
use zeroize::Zeroize;

/// How much of the server's own words goes into an error.
const MAX_WORDS: usize = 200;

/// A body whose `data` is what was asked for.
#[derive(Deserialize)]
pub(crate) struct Answer<T> {
    pub(crate) data: T,
}

/// Of `keys/<name>`.
#[derive(Deserialize)]
pub(crate) struct KeyInfo {
    pub(crate) latest_version: u64,
    #[serde(default)]
    pub(crate) supports_encryption: bool,
    #[serde(default)]
    pub(crate) derived: bool,
}

/// Of `encrypt` and `rewrap`.
#[derive(Deserialize)]
pub(crate) struct Ciphertext {
    pub(crate) ciphertext: String,
}

/// Of `decrypt`. Wiped from memory when dropped.
#[derive(Deserialize)]
pub(crate) struct Plaintext {
    pub(crate) plaintext: String,
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

/// A try that failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Another try may succeed.
    ForNow(ProviderError),
    /// It will fail again.
    ForGood(ProviderError),
}

/// Reads a status that is no success. What was sent is a key or an encrypted one, and the server does not repeat it.
pub(crate) fn failed(status: StatusCode, body: &[u8]) -> Failed {
    let words = words(body);
    let said = if words.is_empty() { status.to_string() } else { format!("{status}: {words}") };
    match status.as_u16() {
        403 | 401 => Failed::ForGood(ProviderError::Denied(said)),
        // 412: a node that has not yet seen what another wrote; 429 and 47x: limits and standby nodes.
        412 | 429 | 472 | 473 | 500..=599 => Failed::ForNow(ProviderError::Unavailable(said)),
        300..=399 => Failed::ForGood(ProviderError::Unusable(format!(
            "{status}: it sends requests on to another server, to which no token is sent; name the active one"
        ))),
        _ => Failed::ForGood(ProviderError::Unusable(said)),
    }
}

fn words(body: &[u8]) -> String {
    let errors = serde_json::from_slice(body).map_or_else(|_| Vec::new(), |Errors { errors }| errors);
    let text = errors.join("; ");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_another_try_makes_sense() {
        let check = |status: u16, again: bool| {
            let failed = failed(StatusCode::from_u16(status).unwrap(), br#"{"errors":["no\nway"]}"#);
            match failed {
                Failed::ForNow(error) => {
                    assert!(again && error.to_string().contains("no way"), "{status} {error}")
                }
                Failed::ForGood(_) => assert!(!again, "{status}"),
            }
        };
        for (status, again) in
            [(400, false), (403, false), (404, false), (307, false), (429, true), (503, true)]
        {
            check(status, again);
        }
        assert!(words(&[b'x'; 10_000]).is_empty());
    }
}
