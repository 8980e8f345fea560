//! The rows of waiting mail.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_persistence::SystemExecutor;
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Mail;
use crate::{
    error::IdentityError,
    sealing::{Purpose, SealingKeys},
};

/// How long one try may take, before another process believes that it was given up.
const LEASE: Duration = Duration::from_secs(60);
/// How often the time between two tries is doubled at most.
const MAX_DOUBLINGS: u32 = 5;

/// What waits.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Letter {
    /// A mail to be sent as it is.
    Ready(Mail),
    /// Somebody's wish to set a password anew. Whether there is such an account is looked up when the row is relayed,
    /// so that asking takes as long for every address.
    PasswordReset {
        /// The address as it was typed.
        email: String,
        /// The tag of the language in which it was asked.
        language: String,
        /// The request that asked.
        request_id: Uuid,
        /// From where it was asked.
        source: Option<std::net::IpAddr>,
    },
}

/// Puts a letter into the outbox; `id` is the row's.
pub(crate) async fn enqueue(
    db: &impl SystemExecutor,
    keys: &SealingKeys,
    id: Uuid,
    letter: &Letter,
    (now, expires_at): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), IdentityError> {
    let plain = serde_json::to_vec(letter).map_err(|_| IdentityError::Crypto("write a mail"))?;
    let sealed = keys.seal(Purpose::Mail, id, &plain)?;
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.mail_outbox (id, sealed, next_attempt_at, created_at, expires_at)
           VALUES ({id}, {sealed}, {now}, {now}, {expires_at})"#
    ))
    .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    sealed: Vec<u8>,
    attempts: i32,
    expires_at: DateTime<Utc>,
}

/// A letter that this process may send until its lease is over.
pub(super) struct Claimed {
    pub(super) id: Uuid,
    /// `None` when it can't be read with the keys of this process.
    pub(super) letter: Option<Letter>,
    /// How often it has been tried, this time among them.
    pub(super) attempts: u32,
    pub(super) expires_at: DateTime<Utc>,
}

/// Claims the letter that has waited longest, if there is one whose time has come.
pub(super) async fn claim(
    db: &impl SystemExecutor,
    keys: &SealingKeys,
    now: DateTime<Utc>,
) -> Result<Option<Claimed>, IdentityError> {
    let until = after(now, LEASE);
    let row: Option<Row> = db
        .query_one(raw_sql!(
            Postgres,
            r#"UPDATE public.mail_outbox
               SET attempts = attempts + 1, next_attempt_at = {until}
               WHERE id = (
                   SELECT id
                   FROM public.mail_outbox
                   WHERE next_attempt_at <= {now} AND expires_at > {now}
                   ORDER BY next_attempt_at
                   LIMIT 1
                   FOR UPDATE SKIP LOCKED
               )
               RETURNING id, sealed, attempts, expires_at"#
        ))
        .await?;
    Ok(row.map(|Row { id, sealed, attempts, expires_at }| {
        let plain = keys.open(Purpose::Mail, id, &sealed);
        let letter = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        Claimed { id, letter, attempts: u32::try_from(attempts).unwrap_or(u32::MAX), expires_at }
    }))
}

/// Removes a letter that was sent, or that never will be.
pub(super) async fn remove(db: &impl SystemExecutor, id: Uuid) -> Result<u64, DbErr> {
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.mail_outbox WHERE id = {id}"#)).await
}

/// Puts the next try off, longer each time.
pub(super) async fn put_off(
    db: &impl SystemExecutor,
    claimed: &Claimed,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let doublings = claimed.attempts.saturating_sub(1).min(MAX_DOUBLINGS);
    let pause = Duration::from_secs(10).saturating_mul(2_u32.saturating_pow(doublings));
    let (id, until) = (claimed.id, after(now, pause));
    db.execute(raw_sql!(
        Postgres,
        r#"UPDATE public.mail_outbox SET next_attempt_at = {until} WHERE id = {id}"#
    ))
    .await
    .map(|_| ())
}

/// Removes mail whose time is over.
pub(crate) async fn sweep(db: &impl SystemExecutor, now: DateTime<Utc>) -> Result<u64, DbErr> {
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.mail_outbox WHERE expires_at <= {now}"#)).await
}

fn after(now: DateTime<Utc>, pause: Duration) -> DateTime<Utc> {
    let pause = TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX);
    now.checked_add_signed(pause).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
