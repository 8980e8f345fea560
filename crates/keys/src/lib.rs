//! Keys of data at rest: a master key wraps a data key for each tenant, and the data key seals single fields.
//!
//! ```text
//! master key (a KeyProvider: file, environment, a key service)
//!   └─ wraps the data key of a tenant and version (public.tenant_keys)
//!        ├─ seals fields (AES-256-GCM, bound to tenant, table, column, row and version)
//!        └─ makes the keys of blind indexes (HMAC-SHA256, one for each column)
//! ```
//!
//! The crate owns the format of sealed values and of wrapped keys. **Invariant:** a data key leaves the process
//! only wrapped, and whoever destroys what is stored of it has destroyed every value that it sealed.
//!
//! Entry points: [`Keyring`] gives the [`FieldCipher`] of a tenant, which domain operations take;
//! [`KeyProviders`] says who wraps; [`local::LocalProvider`] is a master key of the process's own. To add a
//! provider, implement [`KeyProvider`] in a crate of its own.

pub mod archive;
pub mod cipher;
pub mod derived;
pub mod envelope;
pub mod error;
pub mod keyring;
pub mod local;
pub mod probe;
pub mod provider;
pub mod sealed;
pub mod store;

pub use archive::{ArchiveKey, WrappedArchiveKey};
pub use cipher::{CipherError, Field, FieldCipher};
pub use envelope::DataKey;
pub use error::KeyError;
pub use keyring::Keyring;
pub use provider::{KeyProvider, KeyProviders, ProviderError, Wrapped};
