//! Where archives are kept.

mod folder;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use clinicx_types::id::TenantId;
use futures_util::stream::BoxStream;

use crate::ArchiveId;

pub use folder::Folder;

/// Which archive of which tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The tenant.
    pub tenant: TenantId,
    /// The archive.
    pub archive: ArchiveId,
}

/// Why a store did not do what it was to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such archive or file.
    #[error("there is no {0}")]
    Missing(String),
    /// The store does not answer, or has no room; a later try can succeed.
    #[error("{0}")]
    Unavailable(String),
    /// The store answers, and not as it should.
    #[error("{0}")]
    Unusable(String),
}

/// The bytes of a file, as they come.
pub type Pieces = BoxStream<'static, Result<Bytes, StoreError>>;

/// Keeps archives. An archive is there as a whole or not at all.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Says where it is, for people; it holds no secret.
    fn location(&self) -> String;

    /// Begins an archive. Nobody finds it before it is published.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn begin(&self, place: Place) -> Result<Box<dyn Draft>, StoreError>;

    /// Reads a file of an archive that was published.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read(&self, place: Place, file: &str) -> Result<Pieces, StoreError>;

    /// Lists the archives of a tenant that were published, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, tenant: TenantId) -> Result<Vec<ArchiveId>, StoreError>;

    /// Removes an archive, published or begun, with everything of it; one that is not there is removed already.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove(&self, place: Place) -> Result<(), StoreError>;

    /// Tells whether anything is left of a tenant: archives, or what was begun of them.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn holds(&self, tenant: TenantId) -> Result<bool, StoreError>;
}

/// An archive that is being written, one file after the other.
#[async_trait]
pub trait Draft: Send {
    /// Begins a file.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn create(&mut self, file: &str) -> Result<(), StoreError>;

    /// Adds to the file that was begun.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Ends the file that was begun; it lies safely when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn close(&mut self) -> Result<(), StoreError>;

    /// Makes the archive findable.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn publish(self: Box<Self>) -> Result<(), StoreError>;

    /// Removes what was written.
    async fn abandon(self: Box<Self>);
}
