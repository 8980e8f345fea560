//! Seals rows: their leaves in a stable order, and a signed checkpoint, in one transaction.
//!
//! Which rows are not sealed yet is found exactly: a row that can be seen was committed, whatever else is running,
//! and `settled_below` of the last checkpoint bounds the search from below. Every row of a transaction before it was
//! visible when that checkpoint was made. After a restore into a server whose transactions have lower numbers the
//! bound means nothing; that shows, and the next round looks at every row once.

use std::time::{Duration, Instant};

use clinicx_persistence::{SystemConnection, SystemExecutor};
use sea_orm::{FromQueryResult, Statement, raw_sql};

use crate::{
    error::AuditError,
    leaf::{COLUMNS, ENCODING, SealedRow},
    merkle::{Frontier, Hash},
    note::{Checkpoint, SigningKey, VerifyingKey},
};

/// The advisory lock of whoever seals or prunes.
const LOCK: i64 = 0x636c_696e_6963_7805;
/// The most rows of one transaction.
const BATCH: u64 = 2_000;

/// The bytes of a leaf on their way into the database: the row's id, and its hash.
const LEAF_BYTES: usize = 16 + 32;

/// What sealing has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// How many rows were sealed now.
    pub rows: u64,
    /// The last checkpoint with its note; `None` while there is no row at all.
    pub checkpoint: Option<(Checkpoint, String)>,
    /// Whether somebody else had the turn, so that nothing was looked at.
    pub missed: bool,
}

/// Whether to wait for another process that is sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Leave it to the other one.
    IfFree,
    /// Wait for it.
    Wait,
}

/// A checkpoint as it stands in the database.
#[derive(Clone, Debug, FromQueryResult)]
pub(crate) struct StoredCheckpoint {
    pub(crate) tree_size: i64,
    pub(crate) root_hash: Vec<u8>,
    pub(crate) frontier: Vec<u8>,
    pub(crate) settled_below: String,
    pub(crate) note: String,
    pub(crate) created_at_us: i64,
}

impl StoredCheckpoint {
    /// Reads the note and holds the columns to it; `None` when anything differs.
    pub(crate) fn open(&self, keys: &[VerifyingKey]) -> Option<Checkpoint> {
        let checkpoint = Checkpoint::open(&self.note, keys).ok()?;
        let agrees = i64::try_from(checkpoint.size) == Ok(self.tree_size)
            && checkpoint.root.as_slice() == self.root_hash
            && checkpoint.settled_below.to_string() == self.settled_below
            && checkpoint.made_at_us == self.created_at_us;
        agrees.then_some(checkpoint)
    }
}

/// Where the log ends.
pub(crate) struct Head {
    pub(crate) frontier: Frontier,
    pub(crate) settled_below: u64,
    pub(crate) checkpoint: Option<(Checkpoint, String)>,
}

#[derive(FromQueryResult)]
struct Locked {
    locked: bool,
}

#[derive(FromQueryResult)]
struct Leaves {
    leaves: i64,
}

#[derive(FromQueryResult)]
struct Age {
    age_ms: Option<i64>,
}

#[derive(FromQueryResult)]
struct Edge {
    low: String,
    high: String,
    now_us: i64,
}

/// Seals everything that is committed and not sealed yet.
///
/// `known` are the keys that may have signed the last checkpoint; the signing key's own is one of them.
///
/// # Errors
/// [`AuditError::Tampered`] when the log's end is not what was signed; nothing is sealed on top of it then.
/// [`AuditError::Database`].
pub async fn seal(
    control: &SystemConnection,
    key: &SigningKey,
    known: &[VerifyingKey],
    turn: Turn,
) -> Result<Sealed, AuditError> {
    let mut keys = known.to_vec();
    keys.push(key.verifying_key());
    let begun = Instant::now();
    let mut rows = 0_u64;
    loop {
        let tx = control.begin().await?;
        if !lock(&tx, turn).await? {
            tx.rollback().await?;
            return Ok(Sealed { rows, checkpoint: None, missed: true });
        }
        let batch = seal_batch(&tx, key, &keys).await?;
        tx.commit().await?;
        rows = rows.saturating_add(batch.rows);
        if batch.rows < BATCH {
            if rows > 0 {
                report(rows, begun.elapsed());
            }
            return Ok(Sealed { rows, ..batch });
        }
    }
}

fn report(rows: u64, took: Duration) {
    metrics::counter!("clinicx_audit_sealed_rows_total").increment(rows);
    metrics::histogram!("clinicx_audit_seal_seconds").record(took.as_secs_f64());
}

/// Seals one batch in an open transaction that has the turn of sealing, and says how many rows that were.
///
/// # Errors
/// As [`seal`].
pub async fn seal_batch(
    tx: &impl SystemExecutor,
    key: &SigningKey,
    keys: &[VerifyingKey],
) -> Result<Sealed, AuditError> {
    let head = head(tx, keys).await?;
    let edge: Edge = one(
        tx,
        raw_sql!(
            Postgres,
            r#"SELECT CAST(pg_snapshot_xmin(s.snapshot) AS text) AS low, CAST(pg_snapshot_xmax(s.snapshot) AS text) AS high,
                      CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint) AS now_us
               FROM (SELECT pg_current_snapshot() AS snapshot) AS s"#
        ),
    )
    .await?;
    let (low, high) = (number(&edge.low)?, number(&edge.high)?);
    let is_restored = high < head.settled_below;
    let from = if is_restored { 0 } else { head.settled_below };
    let rows = pending(tx, from).await?;
    let count = u64::try_from(rows.len()).unwrap_or_default();
    if rows.is_empty() {
        return Ok(Sealed { rows: 0, checkpoint: head.checkpoint, missed: false });
    }
    let settled_below = match rows.last() {
        // The rest of a restored log is looked for again, whatever the numbers of its transactions.
        Some(_) if count == BATCH && is_restored => head.settled_below,
        Some(last) if count == BATCH => low.min(last.transaction_id),
        _ => low,
    };
    let mut frontier = head.frontier;
    let first = frontier.size();
    let mut hashes = Vec::with_capacity(rows.len());
    for row in &rows {
        let hash = row.leaf_hash(ENCODING).ok_or(AuditError::Tampered)?;
        frontier.push(hash);
        hashes.push(hash);
    }
    let checkpoint = Checkpoint {
        origin: key.name().to_owned(),
        size: frontier.size(),
        root: frontier.root(),
        settled_below,
        previous: first,
        made_at_us: edge.now_us,
    };
    let note = key.sign(&checkpoint.to_text());
    add_leaves(tx, first, &rows, &hashes).await?;
    tx.execute(checkpoint_row(&checkpoint, &frontier, &note)).await?;
    Ok(Sealed { rows: count, checkpoint: Some((checkpoint, note)), missed: false })
}

/// Returns for how long the oldest row that can be seen has not been sealed; `None` when there is none.
///
/// # Errors
/// [`AuditError::Database`].
pub async fn oldest_unsealed(control: &SystemConnection) -> Result<Option<Duration>, AuditError> {
    let age: Age = one(
        control,
        raw_sql!(
            Postgres,
            r#"SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp() - min(a.recorded_at)) * 1000 AS bigint) AS age_ms
               FROM public.audit_logs AS a
               WHERE a.transaction_id >= COALESCE(
                       (SELECT c.settled_below FROM public.audit_checkpoints AS c ORDER BY c.tree_size DESC LIMIT 1),
                       CAST('0' AS xid8))
                   AND NOT EXISTS (SELECT FROM public.audit_leaves AS l WHERE l.audit_id = a.id)"#
        ),
    )
    .await?;
    Ok(age.age_ms.map(|age| Duration::from_millis(u64::try_from(age).unwrap_or_default())))
}

/// Holds the end of the log to what was signed, and returns its checkpoint; `None` while nothing was sealed. It tells
/// nothing of the rows before: [`crate::verify`] does.
///
/// # Errors
/// [`AuditError::Tampered`]; [`AuditError::Database`].
pub async fn check_end(
    control: &SystemConnection,
    keys: &[VerifyingKey],
) -> Result<Option<Checkpoint>, AuditError> {
    let tx = control.begin().await?;
    // Whoever is sealing would show a leaf without its checkpoint.
    lock(&tx, Turn::Wait).await?;
    let head = head(&tx, keys).await;
    tx.rollback().await?;
    Ok(head?.checkpoint.map(|(checkpoint, _)| checkpoint))
}

/// Takes the turn of sealing until the transaction ends.
pub(crate) async fn lock(tx: &impl SystemExecutor, turn: Turn) -> Result<bool, AuditError> {
    let key = LOCK;
    let statement = match turn {
        Turn::IfFree => raw_sql!(Postgres, r#"SELECT pg_try_advisory_xact_lock({key}) AS locked"#),
        Turn::Wait => {
            raw_sql!(
                Postgres,
                r#"SELECT true AS locked FROM (SELECT pg_advisory_xact_lock({key})) AS waited"#
            )
        }
    };
    Ok(one::<Locked>(tx, statement).await?.locked)
}

/// Reads the end of the log and holds it to what was signed.
pub(crate) async fn head(tx: &impl SystemExecutor, keys: &[VerifyingKey]) -> Result<Head, AuditError> {
    let last = tx.query_one::<StoredCheckpoint>(last_checkpoint()).await?;
    let leaves: Leaves = one(
        tx,
        raw_sql!(
            Postgres,
            r#"SELECT COALESCE(max(l.position) + 1, 0) AS leaves FROM public.audit_leaves AS l"#
        ),
    )
    .await?;
    let Some(last) = last else {
        return match leaves.leaves {
            0 => Ok(Head { frontier: Frontier::default(), settled_below: 0, checkpoint: None }),
            _ => Err(AuditError::Tampered),
        };
    };
    let checkpoint = last.open(keys).ok_or(AuditError::Tampered)?;
    let frontier = Frontier::from_bytes(checkpoint.size, &last.frontier).ok_or(AuditError::Tampered)?;
    if frontier.root() != checkpoint.root || leaves.leaves != last.tree_size {
        return Err(AuditError::Tampered);
    }
    Ok(Head { frontier, settled_below: checkpoint.settled_below, checkpoint: Some((checkpoint, last.note)) })
}

/// Selects the last checkpoint.
pub(crate) fn last_checkpoint() -> Statement {
    raw_sql!(
        Postgres,
        r#"SELECT c.tree_size, c.root_hash, c.frontier, CAST(c.settled_below AS text) AS settled_below, c.note,
                  CAST(EXTRACT(EPOCH FROM c.created_at) * 1000000 AS bigint) AS created_at_us
           FROM public.audit_checkpoints AS c
           ORDER BY c.tree_size DESC
           LIMIT 1"#
    )
}

/// Returns the one row that a statement always has.
pub(crate) async fn one<T: FromQueryResult + Send>(
    db: &impl SystemExecutor,
    statement: Statement,
) -> Result<T, AuditError> {
    let row = db.query_one::<T>(statement).await?;
    row.ok_or_else(|| sea_orm::DbErr::RecordNotFound("a row that is always there".to_owned()).into())
}

/// Reads the number of a transaction.
pub(crate) fn number(text: &str) -> Result<u64, AuditError> {
    text.parse().map_err(|_| sea_orm::DbErr::Type("a transaction's number can't be read".to_owned()).into())
}

async fn pending(tx: &impl SystemExecutor, from: u64) -> Result<Vec<SealedRow>, AuditError> {
    let sql = format!(
        "SELECT {COLUMNS}
         FROM public.audit_logs AS a
         WHERE a.transaction_id >= CAST($1 AS xid8)
             AND NOT EXISTS (SELECT FROM public.audit_leaves AS l WHERE l.audit_id = a.id)
         ORDER BY a.transaction_id, a.id
         LIMIT {BATCH}"
    );
    let statement =
        Statement::from_sql_and_values(sea_orm::DbBackend::Postgres, sql, [from.to_string().into()]);
    Ok(tx.query_all(statement).await?)
}

/// The leaves go as one value of bytes: so many as JSON cost more to read than to store.
async fn add_leaves(
    tx: &impl SystemExecutor,
    first: u64,
    rows: &[SealedRow],
    hashes: &[Hash],
) -> Result<(), AuditError> {
    let mut leaves = Vec::with_capacity(rows.len() * LEAF_BYTES);
    for (row, hash) in rows.iter().zip(hashes) {
        leaves.extend_from_slice(row.id.as_bytes());
        leaves.extend_from_slice(hash);
    }
    let first = i64::try_from(first).unwrap_or(i64::MAX);
    let last = i32::try_from(rows.len()).unwrap_or(i32::MAX) - 1;
    let (encoding, width) = (ENCODING, i32::try_from(LEAF_BYTES).unwrap_or(i32::MAX));
    tx.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.audit_leaves (position, audit_id, encoding, leaf_hash)
           SELECT {first} + r.number, CAST(encode(substring({leaves} FROM r.number * {width} + 1 FOR 16), 'hex') AS uuid),
                  {encoding}, substring({leaves} FROM r.number * {width} + 17 FOR 32)
           FROM generate_series(0, {last}) AS r (number)"#
    ))
    .await?;
    Ok(())
}

fn checkpoint_row(checkpoint: &Checkpoint, frontier: &Frontier, note: &str) -> Statement {
    let size = i64::try_from(checkpoint.size).unwrap_or(i64::MAX);
    let (root, frontier) = (checkpoint.root.to_vec(), frontier.to_bytes());
    let (settled_below, made_at) = (checkpoint.settled_below.to_string(), checkpoint.made_at_us);
    raw_sql!(
        Postgres,
        r#"INSERT INTO public.audit_checkpoints (tree_size, root_hash, frontier, settled_below, note, created_at)
           VALUES ({size}, {root}, {frontier}, CAST(CAST({settled_below} AS text) AS xid8), {note},
                   timestamptz 'epoch' + {made_at} * interval '1 microsecond')"#
    )
}
