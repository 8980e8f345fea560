//! Proves the log, or names the first position at which it is not what was sealed.
//!
//! Every row is read again and every leaf and root is computed anew. What the database says of itself is held to its
//! own signed checkpoints, and all of it to checkpoints that were kept outside: whoever has the database and the key
//! can make a log that agrees with itself, but not with those.

mod finding;
mod walk;

use clinicx_persistence::SystemExecutor;
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;
use uuid::Uuid;

pub use finding::{Finding, Wrong};

use crate::{
    error::AuditError,
    note::{Checkpoint, VerifyingKey},
    seal::{self, number, one},
};

/// How many rows are read at a time.
const PAGE: i64 = 5_000;

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether all is as it was sealed.
    pub ok: bool,
    /// The number of leaves of the log.
    pub size: u64,
    /// The root of the log, in base64.
    pub root: String,
    /// How many signed checkpoints of the database were held against it.
    pub checkpoints: u64,
    /// The sizes of the checkpoints from outside that were held against it.
    pub kept: Vec<u64>,
    /// How many sealed rows were pruned, with a signed statement of it.
    pub pruned: u64,
    /// How many rows wait to be sealed; nothing is proven of them.
    pub unsealed: u64,
    /// The first position whose row says that it is much older than its place in the log; no proof of anything.
    pub dated_back: Option<u64>,
    /// What is wrong first.
    pub finding: Option<Finding>,
}

#[derive(FromQueryResult)]
struct Ends {
    leaves: i64,
    size: Option<i64>,
    settled_below: Option<String>,
    high: String,
}

#[derive(FromQueryResult)]
struct Loose {
    id: Uuid,
    transaction_id: String,
    is_loose: bool,
}

/// Goes through the whole log. `kept` are checkpoints from outside, `progress` is told how many leaves of how many
/// are done.
///
/// # Errors
/// [`AuditError::Database`]; what is wrong with the log is no error but in the report.
pub async fn verify(
    db: &impl SystemExecutor,
    keys: &[VerifyingKey],
    kept: &[Checkpoint],
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Report, AuditError> {
    let ends: Ends = one(
        db,
        raw_sql!(
            Postgres,
            r#"SELECT COALESCE((SELECT max(l.position) + 1 FROM public.audit_leaves AS l), 0) AS leaves,
                      c.tree_size AS size, CAST(c.settled_below AS text) AS settled_below,
                      CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS high
               FROM (SELECT 1) AS always
               LEFT JOIN LATERAL (
                   SELECT tree_size, settled_below FROM public.audit_checkpoints ORDER BY tree_size DESC LIMIT 1
               ) AS c ON true"#
        ),
    )
    .await?;
    let size = unsigned(ends.size.unwrap_or_default());
    let mut report = walk::walk(db, keys, kept, size, progress).await?;
    let leaves = unsigned(ends.leaves);
    if report.finding.is_none() && leaves > size {
        report.finding = Some(Finding::at(Wrong::Inserted, size, "a leaf stands behind the last checkpoint"));
    }
    if report.finding.is_none()
        && let Some(longer) = kept.iter().map(|checkpoint| checkpoint.size).filter(|kept| *kept > size).min()
    {
        let detail = format!(
            "a kept checkpoint has {longer} leaves and the log {size}; what is left may have been made anew too"
        );
        report.finding = Some(Finding::between(Wrong::Truncated, size, longer, detail));
    }
    let settled = ends.settled_below.as_deref().map(number).transpose()?.unwrap_or_default();
    // After a restore into a server with lower numbers nothing can be said of rows that are not sealed.
    let settled = if number(&ends.high)? < settled { 0 } else { settled };
    let (loose, unsealed) = loose(db, settled).await?;
    report.unsealed = unsealed;
    report.finding = report.finding.or(loose);
    report.ok = report.finding.is_none();
    Ok(report)
}

/// Looks for rows without a leaf: those that should have one by their transaction were put in later.
async fn loose(db: &impl SystemExecutor, settled_below: u64) -> Result<(Option<Finding>, u64), AuditError> {
    let (mut finding, mut unsealed) = (None, 0_u64);
    let (mut after, mut after_id) = ("0".to_owned(), Uuid::nil());
    loop {
        let (transaction, page) = (after.clone(), PAGE);
        let rows: Vec<Loose> = db
            .query_all(raw_sql!(
                Postgres,
                r#"SELECT a.id, CAST(a.transaction_id AS text) AS transaction_id,
                          NOT EXISTS (SELECT FROM public.audit_leaves AS l WHERE l.audit_id = a.id) AS is_loose
                   FROM public.audit_logs AS a
                   WHERE (a.transaction_id, a.id) > (CAST(CAST({transaction} AS text) AS xid8), {after_id})
                   ORDER BY a.transaction_id, a.id
                   LIMIT {page}"#
            ))
            .await?;
        let Some(last) = rows.last() else { return Ok((finding, unsealed)) };
        (after, after_id) = (last.transaction_id.clone(), last.id);
        for row in rows.iter().filter(|row| row.is_loose) {
            if number(&row.transaction_id)? < settled_below {
                finding = finding.or_else(|| {
                    let detail = "a row that was never sealed stands among those that are";
                    Some(Finding { audit_id: Some(row.id), ..Finding::of(Wrong::Inserted, detail) })
                });
            } else {
                unsealed = unsealed.saturating_add(1);
            }
        }
    }
}

/// Returns the way from a row to the root of the last checkpoint, as C2SP `tlog-proof` writes it: the leaf's hash as
/// the extra line, the index, the hashes, the checkpoint.
///
/// # Errors
/// [`AuditError::NotSealed`] when the row has no leaf yet; [`AuditError::Tampered`] when the leaves do not lead to the
/// checkpoint; [`AuditError::Database`].
pub async fn prove(
    db: &impl SystemExecutor,
    keys: &[VerifyingKey],
    audit_id: Uuid,
) -> Result<String, AuditError> {
    walk::prove(db, keys, audit_id).await
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(crate) use seal::StoredCheckpoint;
