//! Failed log-ins of the last minutes, and the lock-out that follows from them.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_persistence::SystemExecutor;
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use uuid::Uuid;

use crate::{key, settings::IdentitySettings};

/// Against which account and from which network an attempt is made.
#[derive(Clone)]
pub(crate) struct Subject {
    /// A keyed digest of what was typed as the address, so that no mistyped secret is kept in the clear.
    account: Vec<u8>,
    /// The network that is counted as one caller.
    network: Option<String>,
}

impl Subject {
    pub(crate) fn new(digest_key: &[u8], email_key: &str, source: Option<IpAddr>) -> Self {
        Self { account: key::mac(digest_key, email_key.as_bytes()), network: source.map(network) }
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

#[derive(FromQueryResult)]
struct Counted {
    account_at: Option<DateTime<Utc>>,
    network_at: Option<DateTime<Utc>>,
}

/// Returns for how long attempts are refused, if they are.
///
/// The attempt that fills the limit is the n-th newest; when it leaves the window, there is room for another.
pub(crate) async fn locked_for(
    db: &impl SystemExecutor,
    settings: &IdentitySettings,
    subject: &Subject,
    now: DateTime<Utc>,
) -> Result<Option<Duration>, DbErr> {
    let window = TimeDelta::from_std(settings.failure_window).unwrap_or(TimeDelta::MAX);
    let since = now.checked_sub_signed(window).unwrap_or(DateTime::UNIX_EPOCH);
    let account_offset = i64::from(settings.max_account_failures.saturating_sub(1));
    let network_offset = i64::from(settings.max_address_failures.saturating_sub(1));
    let Subject { account, network } = subject.clone();
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
                    OFFSET {network_offset} LIMIT 1) AS network_at"#
        ))
        .await?;
    let newest = counted.and_then(|counted| counted.account_at.max(counted.network_at));
    let until = newest.and_then(|at| at.checked_add_signed(window));
    // Whole seconds, rounded up: a client that comes back after them finds the door open.
    Ok(until.map(|until| {
        let left = (until - now).to_std().unwrap_or_default();
        Duration::from_secs(left.as_secs().saturating_add(1))
    }))
}

/// Counts a failure.
pub(crate) async fn record_failure(
    db: &impl SystemExecutor,
    id: Uuid,
    subject: &Subject,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let Subject { account, network } = subject.clone();
    db.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.login_attempts (id, account_key, network, attempted_at)
           VALUES ({id}, {account}, CAST({network} AS cidr), {now})"#
    ))
    .await
    .map(|_| ())
}

/// Forgets the failures of an account whose owner has shown the right password.
pub(crate) async fn clear(db: &impl SystemExecutor, subject: &Subject) -> Result<(), DbErr> {
    let account = subject.account.clone();
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.login_attempts WHERE account_key = {account}"#))
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
