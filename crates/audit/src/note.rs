//! Signed notes and the checkpoints in them, in the text form of C2SP: `signed-note` and `tlog-checkpoint`.
//!
//! Whoever keeps such a text outside the database, and has the public key, needs nothing else of ours to hold the log
//! to it: other tools for transparency logs read it too.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use crate::merkle::Hash;

/// The algorithm byte of Ed25519 in a key of a signed note.
const ALGORITHM: u8 = 1;
/// How a signature line begins: an em dash.
const SIGNATURE: &str = "\u{2014} ";

/// The key that signs checkpoints, under the name of the log.
pub struct SigningKey {
    name: String,
    pair: Ed25519KeyPair,
}

/// The public half of a key, as verifiers keep it: `<name>+<id>+<base64>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    public: Vec<u8>,
}

/// Why a text is no key or no signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The name holds spaces, a plus sign or nothing.
    #[error("a log's name must not be empty nor hold spaces, line ends or plus signs")]
    Name,
    /// The text is no key.
    #[error("a public key looks like name+0123abcd+base64")]
    Key,
    /// The text is no signed note.
    #[error("the text is no signed note")]
    Malformed,
    /// No known key has signed the text.
    #[error("no known key has signed the text")]
    Signature,
}

impl SigningKey {
    /// Makes one from the 32 bytes of its seed.
    ///
    /// # Errors
    /// [`NoteError::Name`], [`NoteError::Key`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Key)?;
        Ok(Self { name: name.to_owned(), pair })
    }

    /// Returns the name of the log, which its checkpoints have as their origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { name: self.name.clone(), public: self.pair.public_key().as_ref().to_vec() }
    }

    /// Signs a text that ends with a line end.
    pub fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let bytes = [&self.verifying_key().id()[..], signature.as_ref()].concat();
        format!("{text}\n{SIGNATURE}{} {}\n", self.name, BASE64_STANDARD.encode(bytes))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// Returns the name of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the first bytes of a hash of the key, by which a signature names it.
    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(self.name.as_bytes())
            .chain_update([b'\n', ALGORITHM])
            .chain_update(&self.public);
        let hash: Hash = hash.finalize().into();
        hash.first_chunk().copied().unwrap_or_default()
    }

    fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = [&[ALGORITHM], self.public.as_slice()].concat();
        write!(f, "{}+{id:08x}+{}", self.name, BASE64_STANDARD.encode(key))
    }
}

impl std::str::FromStr for VerifyingKey {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        check_name(name)?;
        let key = BASE64_STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let Some((&ALGORITHM, public)) = key.split_first() else { return Err(NoteError::Key) };
        let key = Self { name: name.to_owned(), public: public.to_vec() };
        let is_right =
            key.public.len() == 32 && u32::from_str_radix(id, 16) == Ok(u32::from_be_bytes(key.id()));
        if is_right { Ok(key) } else { Err(NoteError::Key) }
    }
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let is_bad = |character: char| character.is_whitespace() || character.is_control() || character == '+';
    if name.is_empty() || name.contains(is_bad) { Err(NoteError::Name) } else { Ok(()) }
}

/// Returns the signed text of a note, when one of the keys has signed it. Signatures of unknown keys are passed over.
///
/// # Errors
/// [`NoteError::Malformed`], [`NoteError::Signature`].
pub fn open<'a>(note: &'a str, keys: &[VerifyingKey]) -> Result<&'a str, NoteError> {
    let (text, signatures) = note.split_once(&format!("\n\n{SIGNATURE}")).ok_or(NoteError::Malformed)?;
    let text = note.get(..text.len().saturating_add(1)).ok_or(NoteError::Malformed)?;
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    let mut is_signed = false;
    for line in signatures.split(&format!("\n{SIGNATURE}")) {
        let (name, signature) = line.split_once(' ').ok_or(NoteError::Malformed)?;
        let bytes = BASE64_STANDARD.decode(signature).map_err(|_| NoteError::Malformed)?;
        let (id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
        let mut known = keys.iter().filter(|key| key.name == name && key.id() == *id);
        is_signed |= known.any(|key| key.has_signed(text, signature));
    }
    if is_signed { Ok(text) } else { Err(NoteError::Signature) }
}

/// What a checkpoint says: how long the log was at a time, and its root then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// The number of its leaves.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
    /// Every row of a transaction before this one is in the tree.
    pub settled_below: u64,
    /// The number of leaves at the checkpoint before; a checkpoint that was taken out leaves a gap.
    pub previous: u64,
    /// When it was made, in microseconds since 1970.
    pub made_at_us: i64,
}

impl Checkpoint {
    /// Writes the text that is signed. The last three lines are extension lines, which other readers pass over.
    pub fn to_text(&self) -> String {
        let Self { origin, size, root, settled_below, previous, made_at_us } = self;
        let root = BASE64_STANDARD.encode(root);
        format!(
            "{origin}\n{size}\n{root}\nsettled-below {settled_below}\nprevious {previous}\nmade-at {made_at_us}\n"
        )
    }

    /// Reads the text of a note that a key has signed.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open(note: &str, keys: &[VerifyingKey]) -> Result<Self, NoteError> {
        let text = open(note, keys)?;
        let mut lines = text.lines();
        let mut next = || lines.next().ok_or(NoteError::Malformed);
        let (origin, size, root) = (next()?, next()?, next()?);
        let (settled, previous, made) = (next()?, next()?, next()?);
        let number =
            |line: &str, name: &str| line.strip_prefix(name).map(str::to_owned).ok_or(NoteError::Malformed);
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: size.parse().map_err(|_| NoteError::Malformed)?,
            root: BASE64_STANDARD
                .decode(root)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(NoteError::Malformed)?,
            settled_below: number(settled, "settled-below ")?.parse().map_err(|_| NoteError::Malformed)?,
            previous: number(previous, "previous ")?.parse().map_err(|_| NoteError::Malformed)?,
            made_at_us: number(made, "made-at ")?.parse().map_err(|_| NoteError::Malformed)?,
        };
        // Only what would be written again counts: one checkpoint has one text.
        if checkpoint.to_text() == text && keys.iter().any(|key| key.name == checkpoint.origin) {
            Ok(checkpoint)
        } else {
            Err(NoteError::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, seed: u8) -> SigningKey {
        SigningKey::from_seed(name, &[seed; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "log.example".to_owned(),
            size: 9,
            root: [7; 32],
            settled_below: 1234,
            previous: 7,
            made_at_us: 1_700_000_000_000_001,
        }
    }

    #[test]
    fn the_key_of_the_specification_is_read() {
        // The example of C2SP signed-note.
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: VerifyingKey = text.parse().unwrap();
        assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", text));
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert!(open(note, std::slice::from_ref(&key)).is_ok());
        assert_eq!(open(&note.replace("answer", "Answer"), &[key]), Err(NoteError::Signature));
    }

    #[test]
    fn a_checkpoint_opens_with_its_key_alone_and_unchanged() {
        let (mine, other) = (key("log.example", 1), key("log.example", 2));
        let note = mine.sign(&checkpoint().to_text());
        assert!(note.starts_with("log.example\n9\nBwcH"), "{note}");
        let keys = [mine.verifying_key()];
        assert_eq!(Checkpoint::open(&note, &keys), Ok(checkpoint()));
        assert_eq!(Checkpoint::open(&note, &[other.verifying_key()]), Err(NoteError::Signature));
        assert_eq!(Checkpoint::open(&note, &[]), Err(NoteError::Signature));
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] = bytes[at].wrapping_add(1);
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(Checkpoint::open(&changed, &keys).is_err(), "byte {at}");
        }
    }

    #[test]
    fn another_signature_beside_ours_is_passed_over() {
        let mine = key("log.example", 1);
        let note = mine.sign(&checkpoint().to_text());
        let witness = key("witness.example", 3).sign(&checkpoint().to_text());
        let (_, line) = witness.split_once("\n\n").unwrap();
        assert!(Checkpoint::open(&format!("{note}{line}"), &[mine.verifying_key()]).is_ok());
    }

    #[test]
    fn names_and_keys_that_are_none_are_refused() {
        for name in ["", "a b", "a+b", "a\nb"] {
            assert_eq!(SigningKey::from_seed(name, &[1; 32]).err(), Some(NoteError::Name), "{name}");
        }
        let good = key("log.example", 1).verifying_key().to_string();
        assert!(good.parse::<VerifyingKey>().is_ok());
        for bad in ["", "log.example", &good[..good.len() - 4], &good.replace("log", "lag")] {
            assert!(bad.parse::<VerifyingKey>().is_err(), "{bad}");
        }
    }
}
