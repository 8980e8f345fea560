//! The provider that asks the engine.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use clinicx_keys::{KeyProvider, ProviderError, Wrapped};
use rand::RngExt;
use reqwest::{Certificate, Client, Method, redirect::Policy};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    answer::{Answer, Ciphertext, Failed, KeyInfo, Plaintext, failed},
    options::{TokenSource, VaultOptions, VaultOptionsError, check_name, is_safe},
};

/// How long to wait before a second try; each further wait is twice as long, give or take a half.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// Wraps keys with a transit key of a Vault or OpenBao server.
#[derive(Clone)]
pub struct VaultProvider {
    options: VaultOptions,
    client: Client,
}

impl VaultProvider {
    /// Its name in `tenant_keys`.
    pub const NAME: &'static str = "vault";

    /// Makes one; nothing is asked yet.
    ///
    /// # Errors
    /// [`VaultOptionsError`].
    pub fn new(options: VaultOptions) -> Result<Self, VaultOptionsError> {
        if !is_safe(&options.address) {
            return Err(VaultOptionsError::Address);
        }
        check_name(&options.mount)?;
        check_name(&options.key)?;
        if options.key.contains('/') {
            return Err(VaultOptionsError::Name(options.key));
        }
        // A redirect would take the token along to wherever it points.
        let mut client = Client::builder().redirect(Policy::none()).no_proxy().timeout(options.timeout);
        if let Some(pem) = &options.ca_pem {
            let certificates = Certificate::from_pem_bundle(pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(VaultOptionsError::Certificates);
            }
            client = client.tls_certs_only(certificates);
        }
        Ok(Self { client: client.build().map_err(VaultOptionsError::Client)?, options })
    }

    async fn key_info(&self) -> Result<KeyInfo, ProviderError> {
        let info: KeyInfo = self.ask(Method::GET, "keys", &self.options.key, None).await?;
        if info.supports_encryption && !info.derived {
            return Ok(info);
        }
        let key = &self.options.key;
        Err(ProviderError::Unusable(format!("the transit key {key} is derived, or does not encrypt")))
    }

    /// Asks, again and again while the server does not answer.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        operation: &str,
        key: &str,
        body: Option<Value>,
    ) -> Result<T, ProviderError> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            match self.ask_once(method.clone(), operation, key, body.as_ref()).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::ForNow(error)) if attempt >= self.options.attempts => return Err(error),
                Err(Failed::ForNow(error)) => {
                    tracing::debug!(operation, attempt, error = %error, "the key service does not answer yet");
                }
            }
            attempt += 1;
            let stretch = rand::rng().random_range(0.5..1.5);
            tokio::time::sleep(pause.mul_f64(stretch)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn ask_once<T: DeserializeOwned>(
        &self,
        method: Method,
        operation: &str,
        key: &str,
        body: Option<&Value>,
    ) -> Result<T, Failed> {
        let VaultOptions { address, mount, namespace, .. } = &self.options;
        let base = address.as_str().trim_end_matches('/');
        let token = self.token().await.map_err(Failed::ForGood)?;
        let mut request = self
            .client
            .request(method, format!("{base}/v1/{mount}/{operation}/{key}"))
            .header("X-Vault-Token", token.trim())
            .header("X-Vault-Request", "true");
        if let Some(namespace) = namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(unanswered)?;
        let status = response.status();
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(Failed::ForGood(unusable("its answer is too long")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(failed(status, &bytes));
        }
        let answer: Answer<T> = serde_json::from_slice(&bytes)
            .map_err(|_| Failed::ForGood(unusable("it does not answer as a transit engine does")))?;
        Ok(answer.data)
    }

    async fn token(&self) -> Result<Zeroizing<String>, ProviderError> {
        match &self.options.token {
            TokenSource::Given(token) => Ok(token.clone()),
            TokenSource::File(path) => {
                tokio::fs::read_to_string(path).await.map(Zeroizing::new).map_err(|error| {
                    ProviderError::Denied(format!(
                        "the token file {} can't be read: {}",
                        path.display(),
                        error.kind()
                    ))
                })
            }
        }
    }

    fn wrapped(&self, answer: Ciphertext) -> Result<Wrapped, ProviderError> {
        // vault:v<version>:<base64>
        let version = answer.ciphertext.split(':').nth(1).and_then(|part| part.strip_prefix('v'));
        let version: u64 = version
            .and_then(|version| version.parse().ok())
            .ok_or_else(|| unusable("it does not answer as a transit engine does"))?;
        Ok(Wrapped { key_id: key_id(&self.options.key, version), bytes: answer.ciphertext.into_bytes() })
    }
}

#[async_trait]
impl KeyProvider for VaultProvider {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn key_id(&self) -> Result<String, ProviderError> {
        Ok(key_id(&self.options.key, self.key_info().await?.latest_version))
    }

    async fn wrap(&self, key: &[u8]) -> Result<Wrapped, ProviderError> {
        let body = json!({ "plaintext": BASE64_STANDARD.encode(key) });
        let answer = self.ask(Method::POST, "encrypt", &self.options.key, Some(body)).await?;
        self.wrapped(answer)
    }

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let key = key_of(&wrapped.key_id)?;
        let ciphertext = std::str::from_utf8(&wrapped.bytes).map_err(|_| ProviderError::Refused)?;
        let answer = self.ask(Method::POST, "decrypt", key, Some(json!({ "ciphertext": ciphertext }))).await;
        let answer: Plaintext = answer.map_err(refused)?;
        let bytes = BASE64_STANDARD.decode(answer.plaintext.as_bytes());
        bytes.map(Zeroizing::new).map_err(|_| unusable("it does not answer as a transit engine does"))
    }

    async fn rewrap(&self, wrapped: &Wrapped) -> Result<Wrapped, ProviderError> {
        if key_of(&wrapped.key_id)? != self.options.key {
            let key = self.unwrap(wrapped).await?;
            return self.wrap(&key).await;
        }
        let ciphertext = std::str::from_utf8(&wrapped.bytes).map_err(|_| ProviderError::Refused)?;
        let body = json!({ "ciphertext": ciphertext });
        let answer = self.ask(Method::POST, "rewrap", &self.options.key, Some(body)).await;
        self.wrapped(answer.map_err(refused)?)
    }
}

impl fmt::Debug for VaultProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VaultOptions { mount, key, .. } = &self.options;
        f.debug_struct("VaultProvider").field("mount", mount).field("key", key).finish_non_exhaustive()
    }
}

fn key_id(key: &str, version: u64) -> String {
    format!("{key}/{version}")
}

/// The transit key that an id names. It comes from the database and becomes part of a path.
fn key_of(id: &str) -> Result<&str, ProviderError> {
    id.rsplit_once('/')
        .map(|(key, _)| key)
        .filter(|key| !key.contains('/') && check_name(key).is_ok())
        .ok_or_else(|| ProviderError::UnknownKey(id.to_owned()))
}

/// A ciphertext that the engine does not take is one that it did not make.
fn refused(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Unusable(said) if said.starts_with("400") => ProviderError::Refused,
        other => other,
    }
}

fn unusable(said: &str) -> ProviderError {
    ProviderError::Unusable(said.to_owned())
}

/// Says why there was no answer, without the address: it may hold a name and a password.
fn unanswered(error: reqwest::Error) -> Failed {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    Failed::ForNow(ProviderError::Unavailable(what.to_owned()))
}
