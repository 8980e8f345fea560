//! Cursors: where a list goes on, sealed for one tenant, one operation and one filter.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clinicx_types::{
    error::FieldError,
    page::CursorKey,
    sabotage::{Bug, planted},
};

use crate::{context::Cx, error::ApiError, seal::Sealer};

const MAX_TEXT: usize = 4096;

/// Seals and opens the cursors of one list.
///
/// A sort value may be a patient's name and a cursor stands in a URL, which is why it is encrypted and not
/// only signed. The same page always has the same cursor; the key is the list's own, so that a cursor of another
/// tenant, operation or filter does not open.
#[derive(Clone, Debug)]
pub(crate) struct Seal(Sealer);

impl Seal {
    pub(crate) fn new(cx: &Cx, filter: &[u8]) -> Self {
        let tenant =
            cx.0.tenant
                .as_ref()
                .filter(|_| !planted(Bug::CursorWithoutTenant))
                .map(|(entry, _)| entry.id.uuid());
        let tenant = tenant.map(|id| id.into_bytes().to_vec()).unwrap_or_default();
        let context = [&tenant[..], cx.0.operation.id.as_bytes(), filter];
        Self::derive(&cx.0.kit.options().key, &context)
    }

    fn derive(master: &[u8; 32], context: &[&[u8]]) -> Self {
        Self(Sealer::derive(master, "cursor", context))
    }

    /// Writes a key down as text for a URL.
    pub(crate) fn seal(&self, key: &CursorKey) -> String {
        let plain = serde_json::to_vec(&key.0).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(self.0.seal(&plain, b"").unwrap_or_default())
    }

    /// Reads a text that [`Seal::seal`] wrote for the same list.
    pub(crate) fn open(&self, text: &str) -> Result<CursorKey, ApiError> {
        self.try_open(text).ok_or_else(|| {
            ApiError::invalid_cursor(FieldError::new(
                "?cursor",
                "invalid_cursor",
                "must be the next_cursor of the same list with the same filter",
            ))
        })
    }

    fn try_open(&self, text: &str) -> Option<CursorKey> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = self.0.open(&bytes, b"")?;
        serde_json::from_slice(&plain).ok().map(CursorKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_where_it_was_made_and_only_unchanged() {
        let seal = |context: &[&[u8]]| Seal::derive(&[7; 32], context);
        let here = seal(&[b"tenant", b"list", b"filter"]);
        let key = CursorKey(vec!["Åsa".to_owned(), "2".to_owned()]);
        let text = here.seal(&key);
        assert_eq!(here.seal(&key), text, "the same page has the same cursor");
        assert_eq!(here.try_open(&text), Some(key.clone()));
        for other in [
            seal(&[b"tenant2", b"list", b"filter"]),
            seal(&[b"tenant", b"list2", b"filter"]),
            seal(&[b"tenant", b"list", b""]),
            seal(&[b"tenantl", b"ist", b"filter"]),
            Seal::derive(&[8; 32], &[b"tenant", b"list", b"filter"]),
        ] {
            assert_eq!(other.try_open(&text), None);
        }
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(here.try_open(std::str::from_utf8(&bytes).unwrap()), None, "byte {at}");
        }
        for bad in ["", "x", "=", "ä", &text[1..], &"A".repeat(10_000)] {
            assert_eq!(here.try_open(bad), None, "{bad:.20}");
        }
    }
}
