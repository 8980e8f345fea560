//! Failed log-ins of the last minutes, and the lock-out that follows from them.
//!
//! Ten failures close an account's door, whoever made them, or anybody could guess on. Then anybody could also keep its
//! owner out for good; so the door stays open to the right password from a network from which the account was entered
//! in the last thirty days, until that network has had its ten failures too.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_persistence::SystemExecutor;
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use uuid::Uuid;

use crate::{error::IdentityError, key, settings::IdentitySettings};

/// Against which account and from which network an attempt is made.
#[derive(Clone)]
pub(crate) struct Subject {
    /// A keyed digest of what was typed as the address, so that no mistyped secret is kept in the clear.
    account: Vec<u8>,
    /// The network that is counted as one caller.
    network: Option<String>,
    /// A keyed digest of it, for what is counted beside failures.
    network_key: Vec<u8>,
}

impl Subject {
    pub(crate) fn new(digest_key: &[u8], email_key: &str, source: Option<IpAddr>) -> Self {
        let network = source.map(network);
        // No address begins with this sign, so that no account has a network's digest.
        let named = format!("\0{}", network.as_deref().unwrap_or_default());
        Self {
            account: key::mac(digest_key, email_key.as_bytes()),
            network_key: key::mac(digest_key, named.as_bytes()),
            network,
        }
    }
}

/// Returns the network of an address in CIDR notation: an IPv4 address is one caller, and so is an IPv6 /64,
/// because that is the least that a single subscriber has (RFC 6177).
pub(crate) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("{address}/32"),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// How the door stands for one who wants to try.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing {
    /// There is room for a failure.
    Open,
    /// Somebody's failures have filled the limit, and the account was last entered from this very network: its owner
    /// must not be kept out by others. The right password opens; a wrong one is answered as by a closed door, so that
    /// nobody learns of the difference.
    OpenToOwner {
        /// When the door would be open to everybody.
        retry_after: Duration,
    },
    /// Nobody may try.
    Closed {
        /// When the door will be open.
        retry_after: Duration,
    },
}

impl Standing {
    /// Returns how a failure is answered.
    pub(crate) fn refusal(self, error: IdentityError) -> IdentityError {
        match self {
            Self::Open => error,
            Self::OpenToOwner { retry_after } | Self::Closed { retry_after } => {
                IdentityError::TooManyAttempts { retry_after }
            }
        }
    }
}

#[derive(FromQueryResult)]
struct Counted {
    account_at: Option<DateTime<Utc>>,
    network_at: Option<DateTime<Utc>>,
    here_at: Option<DateTime<Utc>>,
    known_here: bool,
}

/// Tells whether an attempt may be made. `email_key` finds the account, if there is one.
///
/// The attempt that fills the limit is the n-th newest; when it leaves the window, there is room for another.
pub(crate) async fn standing(
    db: &impl SystemExecutor,
    settings: &IdentitySettings,
    subject: &Subject,
    email_key: &str,
    now: DateTime<Utc>,
) -> Result<Standing, DbErr> {
    let window = TimeDelta::from_std(settings.failure_window).unwrap_or(TimeDelta::MAX);
    let since = now.checked_sub_signed(window).unwrap_or(DateTime::UNIX_EPOCH);
    let account_offset = i64::from(settings.max_account_failures.saturating_sub(1));
    let network_offset = i64::from(settings.max_address_failures.saturating_sub(1));
    let Subject { account, network, .. } = subject.clone();
    let counted: Option<Counted> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT
                   (SELECT attempted_at
                    FROM public.login_attempts
                    WHERE account_key = {account} AND attempted_at > {since}
                    ORDER BY attempted_at DESC
                    OFFSET {account_offset} LIMIT 1) AS account_at,
                   (SELECT attempted_at
                    FROM public.login_attempts
                    WHERE network = CAST({network} AS cidr) AND attempted_at > {since}
                    ORDER BY attempted_at DESC
                    OFFSET {network_offset} LIMIT 1) AS network_at,
                   (SELECT attempted_at
                    FROM public.login_attempts
                    WHERE account_key = {account} AND network = CAST({network} AS cidr) AND attempted_at > {since}
                    ORDER BY attempted_at DESC
                    OFFSET {account_offset} LIMIT 1) AS here_at,
                   EXISTS (SELECT
                           FROM public.users AS u
                           JOIN public.sessions AS s ON s.user_id = u.id
                           WHERE u.email_key = {email_key} AND s.grant_id IS NULL
                             AND s.source_address <<= CAST({network} AS cidr)) AS known_here"#
        ))
        .await?;
    let Some(counted) = counted else { return Ok(Standing::Open) };
    let newest = counted.account_at.max(counted.network_at);
    let Some(until) = newest.and_then(|at| at.checked_add_signed(window)) else {
        return Ok(Standing::Open);
    };
    // Whole seconds, rounded up: a client that comes back after them finds the door open.
    let left = (until - now).to_std().unwrap_or_default();
    let retry_after = Duration::from_secs(left.as_secs().saturating_add(1));
    Ok(match counted.known_here && counted.here_at.is_none() {
        true => Standing::OpenToOwner { retry_after },
        false => Standing::Closed { retry_after },
    })
}

/// Counts a failure.
pub(crate) async fn record_failure(
    db: &impl SystemExecutor,
    id: Uuid,
    subject: &Subject,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let Subject { account, network, .. } = subject.clone();
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.login_attempts (id, account_key, network, attempted_at)
           VALUES ({id}, {account}, CAST({network} AS cidr), {now})"#
    ))
    .await
    .map(|_| ())
}

/// Forgets the failures of an account from the network whose user has shown the right password. Those from elsewhere
/// may be somebody else's, who would get as many further guesses by each of the owner's log-ins.
pub(crate) async fn clear(db: &impl SystemExecutor, subject: &Subject) -> Result<(), DbErr> {
    let Subject { account, network, .. } = subject.clone();
    db.execute(raw_sql!(
        Postgres,
        r#"DELETE FROM public.login_attempts
           WHERE account_key = {account} AND network IS NOT DISTINCT FROM CAST({network} AS cidr)"#
    ))
    .await
    .map(|_| ())
}

/// Forgets every failure of an account: its owner has chosen a new password.
pub(crate) async fn clear_all(db: &impl SystemExecutor, subject: &Subject) -> Result<(), DbErr> {
    let account = subject.account.clone();
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.login_attempts WHERE account_key = {account}"#))
        .await
        .map(|_| ())
}

/// How often something was asked for in the window.
#[derive(FromQueryResult)]
struct AskedRow {
    for_account: i64,
    by_network: i64,
}

/// As [`AskedRow`].
pub(crate) struct Asked {
    pub(crate) for_account: u32,
    pub(crate) by_network: u32,
}

/// Counts what was asked for; the subject's key must be another than that of failures.
pub(crate) async fn asked(
    db: &impl SystemExecutor,
    settings: &IdentitySettings,
    subject: &Subject,
    now: DateTime<Utc>,
) -> Result<Asked, DbErr> {
    let window = TimeDelta::from_std(settings.failure_window).unwrap_or(TimeDelta::MAX);
    let since = now.checked_sub_signed(window).unwrap_or(DateTime::UNIX_EPOCH);
    let (account, network) = (subject.account.clone(), subject.network_key.clone());
    let row: Option<AskedRow> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT
                   (SELECT count(*) FROM public.login_attempts
                    WHERE account_key = {account} AND attempted_at > {since}) AS for_account,
                   (SELECT count(*) FROM public.login_attempts
                    WHERE account_key = {network} AND attempted_at > {since}) AS by_network"#
        ))
        .await?;
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(row.map_or(Asked { for_account: 0, by_network: 0 }, |row| Asked {
        for_account: count(row.for_account),
        by_network: count(row.by_network),
    }))
}

/// Counts that something was asked for. The rows name no network, so that they lock nobody's log-in.
pub(crate) async fn record_asking(
    db: &impl SystemExecutor,
    [id, other_id]: [Uuid; 2],
    subject: &Subject,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let (account, network) = (subject.account.clone(), subject.network_key.clone());
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.login_attempts (id, account_key, attempted_at)
           VALUES ({id}, {account}, {now}), ({other_id}, {network}, {now})"#
    ))
    .await
    .map(|_| ())
}

/// Removes failures that no longer count.
pub(crate) async fn sweep(db: &impl SystemExecutor, before: DateTime<Utc>) -> Result<u64, DbErr> {
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.login_attempts WHERE attempted_at <= {before}"#))
        .await
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn an_ipv4_address_and_an_ipv6_network_are_one_caller() {
        let check = |address: &str, expected: &str| assert_eq!(network(address.parse().unwrap()), expected);
        check("192.0.2.7", "192.0.2.7/32");
        check("::ffff:192.0.2.7", "192.0.2.7/32");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
        check("::1", "::/64");
    }
}
