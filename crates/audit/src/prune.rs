//! Retention: old rows go, their leaves stay, and a signed statement says which positions were pruned.
//!
//! The statement stands in a row of the audit, which is sealed like any other and never pruned. It is signed with the
//! log's key: without it nobody can pass removed rows off as pruned ones. It names the log by a size and its root.

use chrono::{DateTime, Utc};
use clinicx_persistence::{Actor, SystemExecutor};
use clinicx_types::id::RequestId;
use sea_orm::{FromQueryResult, raw_sql};
use serde_json::json;
use uuid::Uuid;

use crate::{
    entry::{self, Entry},
    error::AuditError,
    merkle::Hash,
    note::{self, SigningKey, VerifyingKey},
    seal::{self, Turn},
    verify::unsigned,
};

/// The action of the rows that hold the statements.
pub const ACTION: &str = "audit.pruned";
/// How a statement begins.
const HEADING: &str = "clinicx audit pruning 1";

/// A signed statement that positions were pruned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// The size of the log for which it was signed.
    pub(crate) size: u64,
    /// The root of the log then.
    pub(crate) root: Hash,
    /// First and last position of each stretch, ascending.
    ranges: Vec<(u64, u64)>,
    /// The first missing row for which it was relied on.
    pub(crate) used_from: Option<u64>,
}

/// What pruning has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneReport {
    /// How many rows went.
    pub rows: u64,
}

impl Pruned {
    /// Tells whether a position was pruned.
    pub(crate) fn covers(&self, position: u64) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= position);
        after.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|(_, last)| position <= *last)
    }

    fn to_text(&self, origin: &str, before: DateTime<Utc>) -> String {
        let root: String = self.root.iter().map(|byte| format!("{byte:02x}")).collect();
        let ranges: Vec<String> = self.ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let (size, ranges) = (self.size, ranges.join(","));
        format!("{HEADING}\n{origin}\n{size}\n{root}\nbefore {}\npositions {ranges}\n", before.to_rfc3339())
    }

    fn open(note: &str, keys: &[VerifyingKey]) -> Option<Self> {
        let text = note::open(note, keys).ok()?;
        let mut lines = text.lines();
        let (heading, origin) = (lines.next()?, lines.next()?);
        if heading != HEADING || !keys.iter().any(|key| key.name() == origin) {
            return None;
        }
        let (size, root) = (lines.next()?.parse().ok()?, lines.next()?);
        let bytes = (0..root.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(root.get(at..at.checked_add(2)?)?, 16).ok());
        let root: Vec<u8> = bytes.collect::<Option<_>>()?;
        let (_before, ranges) = (lines.next()?, lines.next()?.strip_prefix("positions ")?);
        let range = |text: &str| {
            let (first, last) = text.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let ranges: Vec<(u64, u64)> = ranges.split(',').map(range).collect::<Option<_>>()?;
        Some(Self { size, root: root.try_into().ok()?, ranges, used_from: None })
    }
}

#[derive(FromQueryResult)]
struct Note {
    note: Option<String>,
}

#[derive(FromQueryResult)]
struct Old {
    position: i64,
}

/// Lists the statements that a known key has signed.
pub(crate) async fn list(db: &impl SystemExecutor, keys: &[VerifyingKey]) -> Result<Vec<Pruned>, AuditError> {
    let rows: Vec<Note> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT a.after ->> 'note' AS note FROM public.audit_logs AS a WHERE a.action = 'audit.pruned'"#
        ))
        .await?;
    Ok(rows.iter().filter_map(|row| Pruned::open(row.note.as_deref()?, keys)).collect())
}

/// Counts the sealed rows that pruning would take.
///
/// # Errors
/// [`AuditError::Database`].
pub async fn count(db: &impl SystemExecutor, before: DateTime<Utc>) -> Result<u64, AuditError> {
    let old: Old = seal::one(
        db,
        raw_sql!(
            Postgres,
            r#"SELECT count(*) AS position
               FROM public.audit_logs AS a
               JOIN public.audit_leaves AS l ON l.audit_id = a.id
               WHERE a.recorded_at < {before} AND a.action <> 'audit.pruned'"#
        ),
    )
    .await?;
    Ok(unsigned(old.position))
}

/// Removes the sealed rows that were written before an instant, and leaves the signed statement. `owner` is a
/// transaction of the role that owns the table; no other may remove rows. Seal afterwards.
///
/// # Errors
/// [`AuditError::Tampered`] when the log's end is not what was signed; [`AuditError::NotSealed`] when nothing was
/// ever sealed; [`AuditError::Database`].
pub async fn prune(
    owner: &impl SystemExecutor,
    key: &SigningKey,
    known: &[VerifyingKey],
    before: DateTime<Utc>,
    request_id: Uuid,
) -> Result<PruneReport, AuditError> {
    let mut keys = known.to_vec();
    keys.push(key.verifying_key());
    seal::lock(owner, Turn::Wait).await?;
    let head = seal::head(owner, &keys).await?;
    let (checkpoint, _) = head.checkpoint.ok_or(AuditError::NotSealed)?;
    let old: Vec<Old> = owner
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT l.position
               FROM public.audit_logs AS a
               JOIN public.audit_leaves AS l ON l.audit_id = a.id
               WHERE a.recorded_at < {before} AND a.action <> 'audit.pruned'
               ORDER BY l.position"#
        ))
        .await?;
    if old.is_empty() {
        return Ok(PruneReport { rows: 0 });
    }
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for position in old.iter().map(|old| unsigned(old.position)) {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(position) => *last = position,
            _ => ranges.push((position, position)),
        }
    }
    let pruned = Pruned { size: checkpoint.size, root: checkpoint.root, ranges, used_from: None };
    let note = key.sign(&pruned.to_text(key.name(), before));
    let rows = owner
        .execute(raw_sql!(
            Postgres,
            r#"DELETE FROM public.audit_logs AS a
               USING public.audit_leaves AS l
               WHERE l.audit_id = a.id AND a.recorded_at < {before} AND a.action <> 'audit.pruned'"#
        ))
        .await?;
    if usize::try_from(rows) != Ok(old.len()) {
        return Err(AuditError::Tampered);
    }
    entry::insert(owner, &[statement_row(rows, before, note, request_id)]).await?;
    Ok(PruneReport { rows })
}

fn statement_row(rows: u64, before: DateTime<Utc>, note: String, request_id: Uuid) -> Entry {
    Entry {
        tenant_id: None,
        actor: Actor::System("audit prune"),
        session_id: None,
        break_glass_id: None,
        action: ACTION.into(),
        entity: "audit_log",
        entity_id: None,
        patient_id: None,
        patient_ids: None,
        request_id: RequestId::new(request_id),
        source: None,
        after: Some(json!({ "before": before, "rows": rows, "note": note })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_says_which_positions_and_opens_with_its_key_alone() {
        let key = |seed| SigningKey::from_seed("log.example", &[seed; 32]).unwrap();
        let pruned =
            Pruned { size: 20, root: [9; 32], ranges: vec![(0, 3), (5, 5), (8, 12)], used_from: None };
        let note = key(1).sign(&pruned.to_text("log.example", DateTime::UNIX_EPOCH));
        assert_eq!(Pruned::open(&note, &[key(1).verifying_key()]), Some(pruned.clone()));
        assert_eq!(Pruned::open(&note, &[key(2).verifying_key()]), None);
        assert_eq!(Pruned::open(&note.replace("0-3", "0-4"), &[key(1).verifying_key()]), None);
        let covered: Vec<u64> = (0..15).filter(|position| pruned.covers(*position)).collect();
        assert_eq!(covered, [0, 1, 2, 3, 5, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn a_checkpoint_is_no_statement() {
        let key = SigningKey::from_seed("log.example", &[1; 32]).unwrap();
        let note = key.sign("log.example\n1\nAAAA\n");
        assert_eq!(Pruned::open(&note, &[key.verifying_key()]), None);
    }
}
