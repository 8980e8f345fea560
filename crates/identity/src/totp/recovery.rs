//! Recovery codes: ten for each account, good for one use each.

use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::id::UserId;
use rand::{TryRng, rngs::SysRng};
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use sha2::{Digest, Sha256};

use crate::error::IdentityError;

/// How many an account gets.
const COUNT: usize = 10;
/// The signs of a code without its dashes; each is worth five bits, so that a code has eighty.
const SIGNS: usize = 16;
/// Signs that nobody takes for one another (Crockford's base32).
const ALPHABET: [char; 32] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'M',
    'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Y', 'Z',
];

/// Draws codes, in groups of four as they are shown.
pub(super) fn draw() -> Result<Vec<String>, IdentityError> {
    (0..COUNT)
        .map(|_| {
            let mut bytes = [0_u8; SIGNS];
            SysRng.try_fill_bytes(&mut bytes).map_err(|_| IdentityError::Crypto("no randomness"))?;
            let signs = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32)).copied());
            let signs: Vec<char> = signs.collect();
            let groups: Vec<String> = signs.chunks(4).map(|group| group.iter().collect()).collect();
            Ok(groups.join("-"))
        })
        .collect()
}

/// Returns the digest of a typed code; `None` for a text that is none. Eighty random bits can't be guessed, so that
/// there is nothing to slow down.
pub(super) fn digest(user: UserId, typed: &str) -> Option<Vec<u8>> {
    let mut signs = String::new();
    for c in typed.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        // What may be misread is read as what it is.
        let sign = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        if !ALPHABET.contains(&sign) || signs.len() == SIGNS {
            return None;
        }
        signs.push(sign);
    }
    (signs.len() == SIGNS).then(|| {
        let digest = Sha256::new().chain_update(user.uuid().as_bytes()).chain_update(signs.as_bytes());
        digest.finalize().to_vec()
    })
}

/// Gives an account these codes in place of those that it has.
pub(super) async fn replace(
    tx: &SystemTransaction,
    user: UserId,
    codes: &[String],
    now: DateTime<Utc>,
) -> Result<(), IdentityError> {
    remove_all(tx, user).await?;
    for code in codes {
        let digest = digest(user, code).ok_or(IdentityError::Crypto("digest of a recovery code"))?;
        tx.execute(raw_sql!(
            Postgres,
            r#"INSERT INTO public.recovery_codes (user_id, code_hash, created_at) VALUES ({user}, {digest}, {now})"#
        ))
        .await?;
    }
    Ok(())
}

#[derive(FromQueryResult)]
struct Known {
    known: bool,
}

pub(super) async fn is_known(db: &impl SystemExecutor, user: UserId, digest: &[u8]) -> Result<bool, DbErr> {
    let digest = digest.to_vec();
    let known: Option<Known> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT EXISTS (SELECT FROM public.recovery_codes
                              WHERE user_id = {user} AND code_hash = {digest}) AS known"#
        ))
        .await?;
    Ok(known.is_some_and(|known| known.known))
}

/// Removes a code and returns how many there were: one, or none when it was used meanwhile.
pub(super) async fn use_up(tx: &SystemTransaction, user: UserId, digest: &[u8]) -> Result<u64, DbErr> {
    let digest = digest.to_vec();
    tx.execute(raw_sql!(
        Postgres,
        r#"DELETE FROM public.recovery_codes WHERE user_id = {user} AND code_hash = {digest}"#
    ))
    .await
}

pub(super) async fn remove_all(tx: &SystemTransaction, user: UserId) -> Result<(), DbErr> {
    tx.execute(raw_sql!(Postgres, r#"DELETE FROM public.recovery_codes WHERE user_id = {user}"#))
        .await
        .map(|_| ())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own ids")]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn codes_are_different_and_read_however_they_are_typed() {
        let user = UserId::new(Uuid::now_v7());
        let codes = draw().unwrap();
        let distinct: BTreeSet<&String> = codes.iter().collect();
        assert_eq!(distinct.len(), 10);
        for code in &codes {
            assert_eq!(code.len(), 19, "{code}");
            let wanted = digest(user, code).unwrap();
            let typed = format!(" {} ", code.to_lowercase().replace('-', " "));
            assert_eq!(digest(user, &typed).unwrap(), wanted);
            assert_eq!(digest(user, &code.replace('0', "o").replace('1', "l")).unwrap(), wanted);
            assert_ne!(digest(UserId::new(Uuid::now_v7()), code).unwrap(), wanted);
        }
        for bad in ["", "123456", "ABCD-EFGH-JKMN-PQR", "ABCD-EFGH-JKMN-PQRSX", "ABCD-EFGH-JKMN-PQR!"] {
            assert_eq!(digest(user, bad), None, "{bad}");
        }
    }
}
