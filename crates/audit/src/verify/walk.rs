//! The way through the leaves, one page after the other.

use std::collections::VecDeque;

use base64::{Engine, prelude::BASE64_STANDARD};
use clinicx_persistence::SystemExecutor;
use sea_orm::{DbErr, FromQueryResult, QueryResult, Statement, raw_sql};
use uuid::Uuid;

use super::{Finding, PAGE, Report, StoredCheckpoint, Wrong, unsigned};
use crate::{
    error::AuditError,
    leaf::{COLUMNS, SealedRow},
    merkle::{self, Frontier, Hash, PathBuilder},
    note::{Checkpoint, VerifyingKey},
    prune::{self, Pruned},
    seal,
};

/// How much older than the checkpoint before it a row may say that it is: no transaction runs for so long.
const TOLERANCE_US: i64 = 3_600_000_000;

/// A leaf and its row, if that is still there.
struct Step {
    position: i64,
    audit_id: Uuid,
    encoding: i16,
    leaf_hash: Vec<u8>,
    row: Option<SealedRow>,
}

impl FromQueryResult for Step {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        let id: Option<String> = row.try_get(prefix, "c0")?;
        Ok(Self {
            position: row.try_get(prefix, "position")?,
            audit_id: row.try_get(prefix, "audit_id")?,
            encoding: row.try_get(prefix, "encoding")?,
            leaf_hash: row.try_get(prefix, "leaf_hash")?,
            row: id.map(|_| SealedRow::from_query_result(row, prefix)).transpose()?,
        })
    }
}

/// What is known on the way.
struct Walk<'a> {
    keys: &'a [VerifyingKey],
    kept: Vec<&'a Checkpoint>,
    prunes: Vec<Pruned>,
    frontier: Frontier,
    /// The last checkpoint of the database that was right.
    good: Option<Checkpoint>,
    /// The size of the last checkpoint from outside that was right.
    kept_good: u64,
    /// The transaction and id of the row before, within one batch.
    before: Option<(u64, Uuid)>,
    /// The first position whose row is after the one that follows it in its batch.
    disorder: Option<u64>,
    /// What is wrong with a row, until a checkpoint says whether the leaves before it are right.
    suspect: Option<Finding>,
    report: Report,
}

/// Goes through the leaves before `size`.
pub(super) async fn walk(
    db: &impl SystemExecutor,
    keys: &[VerifyingKey],
    kept: &[Checkpoint],
    size: u64,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Report, AuditError> {
    let mut kept: Vec<_> = kept.iter().collect();
    kept.sort_by_key(|checkpoint| checkpoint.size);
    let mut walk = Walk {
        keys,
        kept,
        prunes: prune::list(db, keys).await?,
        frontier: Frontier::default(),
        good: None,
        kept_good: 0,
        before: None,
        disorder: None,
        suspect: None,
        report: Report::default(),
    };
    let mut checkpoints = VecDeque::new();
    while walk.report.finding.is_none() && walk.frontier.size() < size {
        let first = walk.frontier.size();
        let steps: Vec<Step> = db.query_all(page(first)).await?;
        let here = steps.into_iter().take_while(|step| unsigned(step.position) < size);
        for step in here {
            if unsigned(step.position) != walk.frontier.size() {
                break;
            }
            if checkpoints.is_empty() {
                checkpoints = next_checkpoints(db, walk.frontier.size()).await?.into();
            }
            let mut suspect = walk.row(&step);
            if suspect.is_some() && step.row.is_none() {
                // It may have been pruned since the walk began.
                walk.prunes = prune::list(db, keys).await?;
                suspect = walk.row(&step);
            }
            walk.suspect = walk.suspect.take().or(suspect);
            walk.grow(&step);
            let reached = walk.frontier.size();
            let is_next = |next: &mut StoredCheckpoint| unsigned(next.tree_size) == reached;
            let finding = match checkpoints.pop_front_if(is_next) {
                Some(stored) => walk.checkpoint(&stored).or_else(|| walk.suspect.take()),
                None => None,
            };
            walk.report.finding = finding.or_else(|| walk.outside()).or_else(|| walk.pruning());
            if walk.report.finding.is_some() {
                break;
            }
        }
        let reached = walk.frontier.size();
        let is_gap = reached < size.min(first.saturating_add(unsigned(PAGE)));
        if walk.report.finding.is_none() && is_gap {
            walk.report.finding = Some(walk.stretch(Wrong::Removed, reached, "the leaf is gone"));
        }
        if walk.report.finding.is_none() {
            progress(walk.frontier.size(), size);
        }
    }
    Ok(walk.finish(size))
}

impl Walk<'_> {
    /// Looks at a row beside its leaf.
    fn row(&mut self, step: &Step) -> Option<Finding> {
        let position = self.frontier.size();
        let about = |what, detail: &str| Finding {
            audit_id: Some(step.audit_id),
            ..Finding::at(what, position, detail)
        };
        let Some(row) = &step.row else {
            let Some(pruned) = self.prunes.iter_mut().find(|pruned| pruned.covers(position)) else {
                return Some(about(Wrong::Removed, "the row is gone, and no signed pruning covers it"));
            };
            pruned.used_from.get_or_insert(position);
            return None;
        };
        match row.leaf_hash(step.encoding) {
            Some(hash) if hash.as_slice() == step.leaf_hash => None,
            Some(_) => Some(about(Wrong::Edited, "the row is not what its leaf was made of")),
            None => Some(about(Wrong::Edited, "the leaf's encoding is not known")),
        }
    }

    /// Makes a finding among leaves that no checkpoint vouches for: what is seen at a position may have begun before
    /// it, behind the last checkpoint that was right.
    fn stretch(&mut self, what: Wrong, position: u64, detail: &str) -> Finding {
        let from = self.good.as_ref().map_or(0, |good| good.size);
        if let Some(suspect) = self.suspect.take() {
            let until = suspect.position.unwrap_or(position).saturating_add(1);
            return Finding { position: Some(from), until: Some(until), ..suspect };
        }
        Finding::between(what, from, position.saturating_add(1), detail)
    }

    /// Takes a leaf into the tree.
    fn grow(&mut self, step: &Step) {
        let position = self.frontier.size();
        // What is no hash leads to no root that was signed.
        self.frontier.push(Hash::try_from(step.leaf_hash.as_slice()).unwrap_or_default());
        let Some(row) = &step.row else {
            self.report.pruned = self.report.pruned.saturating_add(1);
            self.before = None;
            return;
        };
        let here = (row.transaction_id, row.id);
        if self.disorder.is_none() && self.before.is_some_and(|before| before > here) {
            self.disorder = Some(position.saturating_sub(1));
        }
        self.before = Some(here);
        let is_old = |good: &Checkpoint| row.recorded_at_us < good.made_at_us.saturating_sub(TOLERANCE_US);
        if self.report.dated_back.is_none() && self.good.as_ref().is_some_and(is_old) {
            self.report.dated_back = Some(position);
        }
    }

    /// Holds the leaves so far to a checkpoint of the database.
    fn checkpoint(&mut self, stored: &StoredCheckpoint) -> Option<Finding> {
        let from = self.good.as_ref().map_or(0, |good| good.size);
        let until = self.frontier.size();
        let between = |what, detail: &str| Some(Finding::between(what, from, until, detail));
        let Some(checkpoint) = stored.open(self.keys) else {
            return between(Wrong::Rewritten, "no known key has signed the checkpoint as it stands");
        };
        if checkpoint.previous != from {
            let detail = "a checkpoint between them is gone, or was put in";
            return between(Wrong::Rewritten, detail);
        }
        if checkpoint.root != self.frontier.root() {
            if self.suspect.is_some() {
                return Some(self.stretch(Wrong::Rewritten, until, ""));
            }
            return match self.disorder {
                Some(position) => {
                    let detail = "the leaves do not stand in the order in which they were sealed";
                    Some(Finding::between(Wrong::Reordered, position, until, detail))
                }
                None => between(Wrong::Rewritten, "the leaves do not lead to the root that was signed"),
            };
        }
        if stored.frontier != self.frontier.to_bytes() {
            return between(
                Wrong::Rewritten,
                "the kept roots of the tree's parts are not those of its leaves",
            );
        }
        self.report.checkpoints = self.report.checkpoints.saturating_add(1);
        self.good = Some(checkpoint);
        (self.before, self.disorder) = (None, None);
        None
    }

    /// Holds the leaves so far to checkpoints from outside.
    fn outside(&mut self) -> Option<Finding> {
        let reached = self.frontier.size();
        let root = self.frontier.root_if(self.kept.iter().any(|kept| kept.size == reached))?;
        for kept in self.kept.iter().filter(|kept| kept.size == reached) {
            if kept.root != root {
                let detail = "the log is another one than that of the kept checkpoint";
                return Some(Finding::between(Wrong::Rewritten, self.kept_good, reached, detail));
            }
            self.report.kept.push(reached);
        }
        self.kept_good = reached;
        None
    }

    /// Holds the prunings that were relied on to the log that they were signed for.
    fn pruning(&self) -> Option<Finding> {
        let reached = self.frontier.size();
        let due = |pruned: &&Pruned| pruned.size == reached && pruned.root != self.frontier.root();
        let foreign = self.prunes.iter().filter(|pruned| pruned.used_from.is_some()).find(due)?;
        let position = foreign.used_from.unwrap_or_default();
        Some(Finding::at(Wrong::Removed, position, "the pruning was signed for another log"))
    }

    fn finish(mut self, size: u64) -> Report {
        let longer = self.prunes.iter().find(|pruned| pruned.used_from.is_some() && pruned.size > size);
        if self.report.finding.is_none()
            && let Some(position) = longer.and_then(|pruned| pruned.used_from)
        {
            let detail = "the pruning was signed for a longer log";
            self.report.finding = Some(Finding::at(Wrong::Removed, position, detail));
        }
        let reached = self.good.as_ref().map_or(0, |good| good.size);
        if self.report.finding.is_none() && reached != size {
            let detail = "the last leaves have no checkpoint";
            self.report.finding = Some(self.stretch(Wrong::Rewritten, size.saturating_sub(1), detail));
        }
        self.report.size = self.frontier.size();
        self.report.root = BASE64_STANDARD.encode(self.frontier.root());
        self.report
    }
}

/// Selects the leaves from a position on, with their rows.
fn page(from: u64) -> Statement {
    let sql = format!(
        "SELECT {COLUMNS}, l.position, l.audit_id, l.encoding, l.leaf_hash
         FROM (
             SELECT position, audit_id, encoding, leaf_hash FROM public.audit_leaves
             WHERE position >= $1
             ORDER BY position
             LIMIT {PAGE}
         ) AS l
         LEFT JOIN public.audit_logs AS a ON a.id = l.audit_id
         ORDER BY l.position"
    );
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    Statement::from_sql_and_values(sea_orm::DbBackend::Postgres, sql, [from.into()])
}

/// Reads the next checkpoints behind a size.
async fn next_checkpoints(db: &impl SystemExecutor, size: u64) -> Result<Vec<StoredCheckpoint>, AuditError> {
    let (size, page) = (i64::try_from(size).unwrap_or(i64::MAX), PAGE);
    Ok(db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT c.tree_size, c.root_hash, c.frontier, CAST(c.settled_below AS text) AS settled_below, c.note,
                      CAST(EXTRACT(EPOCH FROM c.created_at) * 1000000 AS bigint) AS created_at_us
               FROM public.audit_checkpoints AS c
               WHERE c.tree_size > {size}
               ORDER BY c.tree_size
               LIMIT {page}"#
        ))
        .await?)
}

#[derive(FromQueryResult)]
struct Place {
    position: i64,
}

/// See [`super::prove`].
pub(super) async fn prove(
    db: &impl SystemExecutor,
    keys: &[VerifyingKey],
    audit_id: Uuid,
) -> Result<String, AuditError> {
    let head =
        db.query_one::<StoredCheckpoint>(seal::last_checkpoint()).await?.ok_or(AuditError::NotSealed)?;
    let checkpoint = head.open(keys).ok_or(AuditError::Tampered)?;
    let place: Option<Place> = db
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT l.position FROM public.audit_leaves AS l WHERE l.audit_id = {audit_id}"#
        ))
        .await?;
    let index = unsigned(place.ok_or(AuditError::NotSealed)?.position);
    let mut builder = PathBuilder::new(index);
    let (mut next, mut row_hash) = (0_u64, None);
    while next < checkpoint.size {
        let steps: Vec<Step> = db.query_all(page(next)).await?;
        if steps.is_empty() {
            return Err(AuditError::Tampered);
        }
        for step in steps.into_iter().take_while(|step| unsigned(step.position) < checkpoint.size) {
            let hash = Hash::try_from(step.leaf_hash.as_slice()).map_err(|_| AuditError::Tampered)?;
            builder.push(hash);
            if next == index {
                row_hash = step.row.and_then(|row| row.leaf_hash(step.encoding));
            }
            next = next.saturating_add(1);
        }
    }
    let (leaf, path) = builder.finish().ok_or(AuditError::NotSealed)?;
    let is_right = merkle::root_of_path(index, checkpoint.size, leaf, &path) == Some(checkpoint.root)
        && row_hash.is_none_or(|hash| hash == leaf);
    if !is_right {
        return Err(AuditError::Tampered);
    }
    let hashes: String = path.iter().map(|hash| format!("{}\n", BASE64_STANDARD.encode(hash))).collect();
    Ok(format!(
        "c2sp.org/tlog-proof@v1\nextra {}\nindex {index}\n{hashes}\n{}",
        BASE64_STANDARD.encode(leaf),
        head.note
    ))
}
