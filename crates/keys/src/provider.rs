//! Who wraps data keys: the interface, and the set of those that a process knows.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use zeroize::Zeroizing;

/// A data key as a provider has wrapped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Which of the provider's master keys wrapped it.
    pub key_id: String,
    /// The wrapped key.
    pub bytes: Vec<u8>,
}

/// Why a provider could not wrap or unwrap. It says nothing about a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The master key that wrapped it is not here: it is another one, or it was taken away too early.
    #[error("the master key {0} is not known here")]
    UnknownKey(String),
    /// The wrapped bytes were changed, or another master key has wrapped them.
    #[error("the wrapped key does not open")]
    Refused,
    /// The provider does not let this process do it.
    #[error("the key service refuses this service's token: {0}")]
    Denied(String),
    /// The provider does not answer; a later try can succeed.
    #[error("the key service does not answer: {0}")]
    Unavailable(String),
    /// The provider answers, and not what it should.
    #[error("the key service can't be used: {0}")]
    Unusable(String),
    /// No provider of this name is configured.
    #[error("no key provider {0} is configured")]
    NotConfigured(String),
}

/// Keeps master keys and wraps data keys with them; no master key is ever handed out.
#[async_trait]
pub trait KeyProvider: Send + Sync + fmt::Debug {
    /// Returns its name in `tenant_keys`.
    fn name(&self) -> &str;

    /// Returns the id of the master key with which it wraps now.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn key_id(&self) -> Result<String, ProviderError>;

    /// Wraps a key.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn wrap(&self, key: &[u8]) -> Result<Wrapped, ProviderError>;

    /// Unwraps a key.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn unwrap(&self, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, ProviderError>;

    /// Wraps a wrapped key again with the present master key. A provider that can do so without handing the key
    /// out does it.
    ///
    /// # Errors
    /// [`ProviderError`].
    async fn rewrap(&self, wrapped: &Wrapped) -> Result<Wrapped, ProviderError> {
        let key = self.unwrap(wrapped).await?;
        self.wrap(&key).await
    }
}

/// The provider that wraps new keys, and those that only unwrap what they once wrapped. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyProviders {
    primary: Arc<dyn KeyProvider>,
    others: Arc<[Arc<dyn KeyProvider>]>,
}

impl KeyProviders {
    /// Makes the set of one.
    pub fn new(primary: Arc<dyn KeyProvider>) -> Self {
        Self { primary, others: Arc::new([]) }
    }

    /// Adds providers from which keys are moved away.
    #[must_use]
    pub fn with_others(self, others: impl IntoIterator<Item = Arc<dyn KeyProvider>>) -> Self {
        Self { others: others.into_iter().collect(), ..self }
    }

    /// Returns the provider that wraps new keys.
    pub fn primary(&self) -> &dyn KeyProvider {
        self.primary.as_ref()
    }

    /// Unwraps what the provider of that name has wrapped.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn unwrap(
        &self,
        provider: &str,
        wrapped: &Wrapped,
    ) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        self.named(provider)?.unwrap(wrapped).await
    }

    /// Wraps what the provider of that name has wrapped with the primary provider's present master key.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn rewrap(&self, provider: &str, wrapped: &Wrapped) -> Result<Wrapped, ProviderError> {
        if provider == self.primary.name() {
            return self.primary.rewrap(wrapped).await;
        }
        let key = self.named(provider)?.unwrap(wrapped).await?;
        self.primary.wrap(&key).await
    }

    fn named(&self, name: &str) -> Result<&dyn KeyProvider, ProviderError> {
        std::iter::once(&self.primary)
            .chain(self.others.iter())
            .find(|provider| provider.name() == name)
            .map(AsRef::as_ref)
            .ok_or_else(|| ProviderError::NotConfigured(name.to_owned()))
    }
}
