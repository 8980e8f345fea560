//! Fields of PATCH bodies (RFC 7396): an absent one stays as it is, `null` clears it.

use serde::{Deserialize, Deserializer};

/// Reads a field that cannot be cleared: absent is `None`, and `null` is refused.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a field that can be cleared: absent is `None`, `null` is `Some(None)`.
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
