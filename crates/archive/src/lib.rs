//! The archive of a tenant: everything that a clinic has, in one snapshot, compressed, sealed and authenticated.
//!
//! Backup, verification, restore, clone and putting back are one mechanism. An archive is a [`manifest`] (whose it is, its modules
//! and migrations, its wrapped keys, and for every table columns, rows, a hash and the file that holds them, all under
//! one MAC) and one file of rows for each table: what COPY writes, in [`chunk`]s that are compressed and sealed.
//! Structure is never read from an archive: the migrations make it, at the version that the manifest names.
//!
//! **Invariant:** nothing of an archive is used before its manifest's MAC and the length and hash of each of its files
//! have been checked, and no row before its chunk has been opened. **Invariant:** a tenant that is restored is one
//! transaction: whatever is cut short leaves nothing, and nothing is routable before it has been read back and
//! compared. **Invariant:** an archive is listed only when it is whole.
//!
//! Entry points: [`Archivist`] for what an operator does, [`Store`] for where archives are kept. A further store is a
//! type with [`Store`]. The crate knows no module by name: the application tells it which columns are sealed and which
//! tables stay behind when rows go to another tenant.

mod archivist;
mod backup;
pub mod catalog;
pub mod check;
pub mod chunk;
mod clone;
pub mod error;
mod in_place;
mod load;
pub mod manifest;
pub mod registry;
mod restore;
pub mod retention;
mod rewrite;
pub mod rows;
mod snapshot;
pub mod store;
pub mod watch;

use clinicx_types::typed_id;

pub use archivist::{Archivist, ArchivistOptions};
pub use error::{ArchiveError, Refusal};
pub use in_place::PutBack;
pub use manifest::Manifest;
pub use registry::{Backup, BackupState};
pub use restore::{Restored, Target, Verified};
pub use retention::Retention;
pub use snapshot::BackupLogin;
pub use store::{Folder, Place, Store, StoreError};
pub use watch::{Progress, Watch};

typed_id! {
    /// Names an archive of a tenant.
    ArchiveId,
}
