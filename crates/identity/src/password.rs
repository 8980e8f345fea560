//! Passwords: what is accepted as a new one, and how they are hashed and checked.

use std::{fmt, sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{self, PasswordHasher, PasswordVerifier, phc},
};
use clinicx_types::error::FieldError;
use rand::{TryRng, rngs::SysRng};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization;

use crate::{email::EmailAddress, error::IdentityError, secret::Password};

// OWASP Password Storage Cheat Sheet, "Argon2id": m=19456 (19 MiB), t=2, p=1.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const PARALLELISM: u32 = 1;

/// The fewest characters of a password (NIST SP 800-63B section 5.1.1.2).
pub const MIN_PASSWORD_CHARS: usize = 8;
/// The most bytes of a password; above, hashing would be a way to keep the service busy.
pub const MAX_PASSWORD_BYTES: usize = 256;

/// The most common passwords of at least eight characters, and words of this service, in lower case.
const COMMON_PASSWORDS: &[&str] = &[
    "00000000",
    "11111111",
    "12341234",
    "12345678",
    "123456789",
    "1234567890",
    "1234qwer",
    "123123123",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "87654321",
    "987654321",
    "aa123456",
    "abc12345",
    "abcd1234",
    "abcdefgh",
    "admin123",
    "administrator",
    "asdfghjk",
    "asdfghjkl",
    "baseball",
    "changeme",
    "clinicx1",
    "clinicx123",
    "computer",
    "football",
    "iloveyou",
    "letmein1",
    "michelle",
    "p@ssw0rd",
    "pass1234",
    "passw0rd",
    "password",
    "password1",
    "password12",
    "password123",
    "princess",
    "qazwsxedc",
    "qwer1234",
    "qwerty12",
    "qwerty123",
    "qwertyui",
    "qwertyuiop",
    "sunshine",
    "superman",
    "trustno1",
    "welcome1",
    "whatever",
    "zxcvbnm1",
];

/// Words that are no password with digits and signs around them alone either, in lower case.
const COMMON_WORDS: &[&str] = &[
    "admin",
    "administrator",
    "assistant",
    "changeme",
    "clinic",
    "clinicx",
    "dental",
    "dentist",
    "dentistry",
    "doctor",
    "hospital",
    "iloveyou",
    "letmein",
    "login",
    "master",
    "medical",
    "nurse",
    "orthodontist",
    "passw",
    "password",
    "patient",
    "practice",
    "praxis",
    "qwerty",
    "qwertz",
    "reception",
    "secret",
    "teeth",
    "tooth",
    "user",
    "welcome",
    "zahnarzt",
];

/// The argon2id hash of a password in the PHC string format. Its `Debug` text does not show it.
///
/// Only [`Passwords`] makes one, so that what is stored as a hash is one.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps what stands in the database.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// What a check of a password has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The password is the account's.
    pub(crate) matches: bool,
    /// The hash was made with other parameters than today's.
    pub(crate) outdated: bool,
}

/// The right to use one core for passwords, until it is dropped.
#[derive(Clone)]
pub(crate) struct Turn(Arc<OwnedSemaphorePermit>);

/// Hashes and checks passwords, as many at a time as the machine has cores. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    longest_wait: Duration,
    /// The hash of a random password, checked where there is no account, so that this takes as long.
    decoy: PasswordHash,
}

impl Passwords {
    /// Makes one; `longest_wait` is how long a caller waits for its turn.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] when the system has no randomness.
    pub fn new(longest_wait: Duration) -> Result<Self, IdentityError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut unknown = [0_u8; 32];
        SysRng.try_fill_bytes(&mut unknown).map_err(|_| IdentityError::Crypto("no randomness"))?;
        Ok(Self { turns: Arc::new(Semaphore::new(cores)), longest_wait, decoy: hash(&unknown)? })
    }

    /// Checks a new password against the policy and hashes it.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] with the pointer `/password`, [`IdentityError::Busy`].
    pub async fn hash(
        &self,
        password: &Password,
        owner: &EmailAddress,
    ) -> Result<PasswordHash, IdentityError> {
        check_policy(password, owner).map_err(|error| IdentityError::Invalid(vec![error]))?;
        let turn = self.turn().await?;
        self.rehash(&turn, password).await
    }

    /// Checks a new password against the policy.
    ///
    /// # Errors
    /// What is wrong with it, at `/password`.
    pub fn check(password: &Password, owner: &EmailAddress) -> Result<(), FieldError> {
        check_policy(password, owner)
    }

    /// Waits for a core.
    pub(crate) async fn turn(&self) -> Result<Turn, IdentityError> {
        let permit = tokio::time::timeout(self.longest_wait, Arc::clone(&self.turns).acquire_owned());
        match permit.await {
            Ok(Ok(permit)) => Ok(Turn(Arc::new(permit))),
            Ok(Err(_)) | Err(_) => Err(IdentityError::Busy),
        }
    }

    /// Hashes a password that was accepted before.
    pub(crate) async fn rehash(
        &self,
        turn: &Turn,
        password: &Password,
    ) -> Result<PasswordHash, IdentityError> {
        let normalised = normalise(password);
        self.run(turn, move || hash(normalised.as_bytes())).await
    }

    /// Checks a password; without a stored hash it takes as long and matches nothing.
    pub(crate) async fn verify(
        &self,
        turn: &Turn,
        password: &Password,
        stored: Option<PasswordHash>,
    ) -> Result<Verdict, IdentityError> {
        // A password that is too long is no account's; the decoy keeps the time and the work what they are.
        let fits = password.expose().len() <= MAX_PASSWORD_BYTES;
        let normalised = if fits { normalise(password) } else { String::new() };
        let known = stored.filter(|_| fits);
        let exists = known.is_some();
        let against = known.unwrap_or_else(|| self.decoy.clone());
        let verdict = self.run(turn, move || verify(normalised.as_bytes(), &against)).await?;
        Ok(Verdict { matches: verdict.matches && exists, ..verdict })
    }

    /// Runs one computation on a thread for blocking work; it keeps its turn even when nobody waits any more.
    async fn run<T: Send + 'static>(
        &self,
        turn: &Turn,
        work: impl FnOnce() -> Result<T, IdentityError> + Send + 'static,
    ) -> Result<T, IdentityError> {
        let turn = turn.clone();
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn.0);
            result
        });
        task.await.map_err(|_| IdentityError::Crypto("the hashing thread ended"))?
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("free_turns", &self.turns.available_permits())
            .finish_non_exhaustive()
    }
}

/// Tells what is wrong with a new password.
fn check_policy(password: &Password, owner: &EmailAddress) -> Result<(), FieldError> {
    let refuse = |code, detail: String| Err(FieldError::new("/password", code, detail));
    let text = normalise(password);
    if text.chars().count() < MIN_PASSWORD_CHARS {
        return refuse("too_short", format!("must have at least {MIN_PASSWORD_CHARS} characters"));
    }
    if password.expose().len() > MAX_PASSWORD_BYTES || text.len() > MAX_PASSWORD_BYTES {
        return refuse("too_long", format!("must be at most {MAX_PASSWORD_BYTES} bytes long"));
    }
    if text.contains('\0') {
        return refuse("malformed", "must not contain a null character".to_owned());
    }
    let folded = text.to_lowercase();
    if is_common(repeated(&folded)) {
        return refuse("too_common", "is among the passwords that are tried first".to_owned());
    }
    if folded == owner.key() || folded == owner.local_part().to_lowercase() {
        return refuse("too_common", "must not be the mail address".to_owned());
    }
    Ok(())
}

/// Tells whether a text, in lower case, is tried first: a common password, one character, or a common word with nothing
/// but digits and signs around it.
fn is_common(text: &str) -> bool {
    let word = text.trim_matches(|c: char| !c.is_alphabetic());
    COMMON_PASSWORDS.contains(&text) || COMMON_WORDS.contains(&word) || text.chars().count() == 1
}

/// Returns the part of a text of which the whole is a repetition; the text itself when it is none.
fn repeated(text: &str) -> &str {
    let parts = text.char_indices().skip(1).map(|(at, _)| text.split_at(at).0);
    let is_whole = |part: &&str| {
        text.len().is_multiple_of(part.len())
            && text.as_bytes().chunks(part.len()).all(|chunk| chunk == part.as_bytes())
    };
    parts.take_while(|part| part.len() * 2 <= text.len()).find(is_whole).unwrap_or(text)
}

/// One password typed on two keyboards is one password (NIST SP 800-63B section 5.1.1.2: NFKC or NFKD).
fn normalise(password: &Password) -> String {
    password.expose().nfkc().collect()
}

fn argon2() -> Result<Argon2<'static>, IdentityError> {
    let params = Params::new(MEMORY_KIB, ITERATIONS, PARALLELISM, None);
    let params = params.map_err(|_| IdentityError::Crypto("argon2 parameters"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<PasswordHash, IdentityError> {
    let hash = argon2()?.hash_password(password).map_err(|_| IdentityError::Crypto("argon2"))?;
    Ok(PasswordHash(hash.to_string()))
}

fn verify(password: &[u8], stored: &PasswordHash) -> Result<Verdict, IdentityError> {
    let stored =
        phc::PasswordHash::new(&stored.0).map_err(|_| IdentityError::Crypto("stored password hash"))?;
    let ours = argon2()?;
    let matches = match ours.verify_password(password, &stored) {
        Ok(()) => true,
        Err(password_hash::Error::PasswordInvalid) => false,
        Err(_) => return Err(IdentityError::Crypto("stored password hash")),
    };
    let theirs = Params::try_from(&stored).ok();
    let current = theirs.is_some_and(|theirs| {
        (theirs.m_cost(), theirs.t_cost(), theirs.p_cost()) == (MEMORY_KIB, ITERATIONS, PARALLELISM)
    });
    let outdated = !current || stored.algorithm != Algorithm::Argon2id.ident();
    Ok(Verdict { matches, outdated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> EmailAddress {
        EmailAddress::parse("Ada.Byron@example.org").unwrap()
    }

    #[test]
    fn the_policy_asks_for_length_and_refuses_what_is_tried_first() {
        let check = |text: &str, expected: Result<(), &str>| {
            let result = check_policy(&Password::new(text), &owner()).map_err(|error| error.code);
            assert_eq!(result, expected.map_err(str::to_owned), "{text:?}");
        };
        check("correct horse battery", Ok(()));
        check("صباح الخير", Ok(()));
        check("éééééééà", Ok(()));
        check("", Err("too_short"));
        check("1234567", Err("too_short"));
        // Seven characters, in fourteen bytes.
        check("äöüäöüä", Err("too_short"));
        check(&"x1".repeat(128), Ok(()));
        check(&"x1".repeat(129), Err("too_long"));
        check("Password123", Err("too_common"));
        check("zzzzzzzzzz", Err("too_common"));
        check("éééééééé", Err("too_common"));
        check("passwordpassword", Err("too_common"));
        check("Dental123Dental123", Err("too_common"));
        check("dental123", Err("too_common"));
        check("2026!Clinic", Err("too_common"));
        check("dental floss 123", Ok(()));
        check("clinicx-demo-password", Ok(()));
        check("Ada.Byron", Err("too_common"));
        check("ada.byron@example.org", Err("too_common"));
        check("nine\0nine", Err("malformed"));
    }

    #[tokio::test]
    async fn a_password_matches_its_hash_and_no_other() {
        let passwords = Passwords::new(Duration::from_secs(60)).unwrap();
        let password = Password::new("Pass\u{301}phrase mit Ümlaut");
        let hash = passwords.hash(&password, &owner()).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let turn = passwords.turn().await.unwrap();
        let check = async |text: &str, stored: Option<PasswordHash>| {
            passwords.verify(&turn, &Password::new(text), stored).await.unwrap()
        };
        let right = Verdict { matches: true, outdated: false };
        // The same text in another composition of its letters.
        assert_eq!(check("Pas\u{15b}phrase mit U\u{308}mlaut", Some(hash.clone())).await, right);
        assert!(!check("passphrase mit Ümlaut", Some(hash.clone())).await.matches);
        assert!(!check("", Some(hash.clone())).await.matches);
        assert!(!check("anything", None).await.matches);
        assert!(!check(&"x".repeat(100_000), Some(hash)).await.matches);
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_is_outdated() {
        let passwords = Passwords::new(Duration::from_secs(60)).unwrap();
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(1024, 1, 1, None).unwrap());
        let stored = PasswordHash(weak.hash_password(b"correct horse").unwrap().to_string());
        let turn = passwords.turn().await.unwrap();
        let verdict = passwords.verify(&turn, &Password::new("correct horse"), Some(stored)).await.unwrap();
        assert_eq!(verdict, Verdict { matches: true, outdated: true });
    }

    #[tokio::test]
    async fn nobody_waits_for_a_turn_longer_than_allowed() {
        let passwords = Passwords::new(Duration::from_millis(1)).unwrap();
        let mut held = Vec::new();
        while let Ok(turn) = passwords.turn().await {
            held.push(turn);
        }
        assert!(matches!(
            passwords.hash(&Password::new("correct horse"), &owner()).await,
            Err(IdentityError::Busy)
        ));
        drop(held);
        assert!(passwords.turn().await.is_ok());
    }

    #[test]
    fn debug_shows_no_hash() {
        assert_eq!(format!("{:?}", PasswordHash("$argon2id$x".to_owned())), "PasswordHash(..)");
    }
}
