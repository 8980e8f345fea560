//! The rows of `public.tenant_backups`: which backups there are, where, and which were proven.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use clinicx_persistence::{Failure, FailureKind, SystemConnection, SystemExecutor};
use clinicx_tenancy::{PlatformScope, TenancyError, audit, tenant::WordError};
use clinicx_types::{
    error::DomainError,
    id::TenantId,
    name::TenantSlug,
    page::{Page, PageRequest},
};
use schemars::JsonSchema;
use sea_orm::{
    DbBackend, DbErr, FromQueryResult, Statement, raw_sql,
    sea_query::{Alias, Expr, ExprTrait, Order, Query, SelectStatement},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{ArchiveId, backup::Written, error::ArchiveError, store::Place};

const COLUMNS: &str = "\
b.id, b.tenant_id, b.tenant_slug, b.state, b.reason, b.location, b.schema_version, b.row_count, b.raw_bytes, \
b.stored_bytes, CAST(b.manifest_mac AS text) AS manifest_mac, b.lsn, b.error, b.verification, b.taken_at, \
b.started_at, b.finished_at, b.verified_at, b.removed_at";

/// Where a backup stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum BackupState {
    /// It is being written.
    Running,
    /// It is whole and can be restored.
    Stored,
    /// It could not be written; nothing is left of it.
    Failed,
    /// Its files were removed.
    Removed,
}

impl BackupState {
    const ALL: [Self; 4] = [Self::Running, Self::Stored, Self::Failed, Self::Removed];

    /// Returns the word for it in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stored => "stored",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for BackupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BackupState {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        const WORDS: &[&str] = &["running", "stored", "failed", "removed"];
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(WordError(WORDS))
    }
}

/// Why a backup was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked for it.
    Demand,
    /// It was due.
    Schedule,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Schedule => "schedule",
        }
    }
}

/// A backup of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Backup {
    /// Names it.
    pub id: ArchiveId,
    /// The tenant's slug at that time.
    pub tenant: String,
    /// The tenant.
    #[serde(skip)]
    pub tenant_id: TenantId,
    /// Where it stands.
    pub state: BackupState,
    /// `demand` or `schedule`.
    pub reason: String,
    /// Where it is kept.
    pub location: String,
    /// The version of the tenant's schema.
    pub schema_version: Option<String>,
    /// How many rows it has.
    pub rows: Option<i64>,
    /// How many bytes of rows it has.
    pub bytes: Option<i64>,
    /// How many bytes its files have.
    pub stored_bytes: Option<i64>,
    /// What authenticates its manifest.
    #[serde(skip)]
    pub manifest_mac: Option<String>,
    /// Where the write-ahead log was when the snapshot was taken.
    pub lsn: Option<String>,
    /// Why it, or its last verification, has failed.
    pub error: Option<String>,
    /// What its last verification has shown: `passed` or `failed`.
    pub verification: Option<String>,
    /// The moment whose state it holds.
    pub taken_at: Option<DateTime<Utc>>,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
    /// When it was stored or had failed.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it was last verified.
    pub verified_at: Option<DateTime<Utc>>,
    /// When its files were removed.
    pub removed_at: Option<DateTime<Utc>>,
}

impl Backup {
    /// Returns where its files are.
    pub fn place(&self) -> Place {
        Place { tenant: self.tenant_id, archive: self.id }
    }
}

/// Which backups are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupFilter {
    /// Those of this tenant.
    pub tenant: Option<TenantId>,
    /// Those in this state.
    pub state: Option<BackupState>,
}

/// Lists backups, the newest first.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn list(
    db: &impl SystemExecutor,
    filter: BackupFilter,
    page: &PageRequest,
) -> Result<Page<Backup>, ArchiveError> {
    let mut select = select();
    narrow(&mut select, filter);
    let total = if page.count { Some(count(db, filter).await?) } else { None };
    let after = page.after.as_ref().and_then(|key| key.0.first()).and_then(|id| id.parse::<ArchiveId>().ok());
    if let Some(after) = after {
        select.and_where(Expr::cust("b.id").lt(after.uuid()));
    }
    select.order_by_expr(Expr::cust("b.id"), Order::Desc).limit(u64::from(page.limit()) + 1);
    let rows: Vec<Row> = db.query_all(DbBackend::Postgres.build(&select)).await.map_err(failed)?;
    let backups = rows.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::from_rows(backups, page, total, |backup| vec![backup.id.to_string()]))
}

/// Lists all backups of a tenant that are in a state, the newest first.
///
/// # Errors
/// [`ArchiveError::Database`].
pub async fn of_tenant(
    db: &impl SystemExecutor,
    tenant: TenantId,
    state: BackupState,
) -> Result<Vec<Backup>, ArchiveError> {
    let mut select = select();
    narrow(&mut select, BackupFilter { tenant: Some(tenant), state: Some(state) });
    select.order_by_expr(Expr::cust("b.id"), Order::Desc);
    let rows: Vec<Row> = db.query_all(DbBackend::Postgres.build(&select)).await.map_err(failed)?;
    rows.into_iter().map(Row::read).collect()
}

/// Returns a backup; another tenant's is none.
///
/// # Errors
/// [`ArchiveError::Unknown`], [`ArchiveError::Database`].
pub async fn get(
    db: &impl SystemExecutor,
    tenant: Option<TenantId>,
    id: ArchiveId,
) -> Result<Backup, ArchiveError> {
    let mut select = select();
    narrow(&mut select, BackupFilter { tenant, state: None });
    select.and_where(Expr::cust("b.id").eq(id.uuid()));
    let row: Option<Row> = db.query_one(DbBackend::Postgres.build(&select)).await.map_err(failed)?;
    row.ok_or(ArchiveError::Unknown)?.read()
}

/// Notes that a backup is being written.
pub(crate) async fn begin(
    control: &SystemConnection,
    place: Place,
    slug: &TenantSlug,
    reason: Reason,
    location: &str,
    by: &PlatformScope,
) -> Result<(), ArchiveError> {
    let (id, tenant, now) = (place.archive, place.tenant, by.now());
    let (slug, reason) = (slug.as_str(), reason.as_str());
    let row = raw_sql!(
        Postgres,
        r#"INSERT INTO public.tenant_backups (id, tenant_id, tenant_slug, state, reason, location, started_at)
           VALUES ({id}, {tenant}, {slug}, 'running', {reason}, {location}, {now})"#
    );
    let after = json!({ "archive": id, "reason": reason });
    change(control, row, recorded("tenant.backup_began", place, after, by)).await
}

/// Notes that a backup is whole.
pub(crate) async fn stored(
    control: &SystemConnection,
    place: Place,
    written: &Written,
    by: &PlatformScope,
) -> Result<Backup, ArchiveError> {
    let (id, manifest, mac, now) = (place.archive, &written.manifest, written.mac.as_str(), by.now());
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let (rows, bytes, stored) =
        (number(manifest.rows()), number(manifest.bytes()), number(manifest.stored_bytes()));
    let (version, lsn, taken_at) =
        (manifest.schema_version.as_str(), manifest.lsn.as_str(), manifest.taken_at);
    let row = raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_backups
           SET state = 'stored', schema_version = {version}, row_count = {rows}, raw_bytes = {bytes},
               stored_bytes = {stored}, manifest_mac = {mac}, lsn = {lsn}, taken_at = {taken_at}, finished_at = {now}
           WHERE id = {id} AND state = 'running'"#
    );
    let after = json!({ "archive": id, "rows": rows, "stored_bytes": stored, "taken_at": taken_at });
    change(control, row, recorded("tenant.backed_up", place, after, by)).await?;
    get(control, Some(place.tenant), id).await
}

/// Notes that a backup could not be written.
pub(crate) async fn failed_with(
    control: &SystemConnection,
    place: Place,
    error: &str,
    by: &PlatformScope,
) -> Result<(), ArchiveError> {
    let (id, now) = (place.archive, by.now());
    let row = raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_backups SET state = 'failed', error = {error}, finished_at = {now}
           WHERE id = {id} AND state = 'running'"#
    );
    let after = json!({ "archive": id, "error": error });
    change(control, row, recorded("tenant.backup_failed", place, after, by)).await
}

/// As [`failed_with`], in the error's own words.
pub(crate) async fn failed_by(
    control: &SystemConnection,
    place: Place,
    error: &ArchiveError,
    by: &PlatformScope,
) -> Result<(), ArchiveError> {
    failed_with(control, place, &error.detail(), by).await
}

/// Notes what a verification has shown.
pub(crate) async fn verified(
    control: &SystemConnection,
    place: Place,
    error: Option<&ArchiveError>,
    by: &PlatformScope,
) -> Result<(), ArchiveError> {
    let (id, now) = (place.archive, by.now());
    let (verification, error) =
        (if error.is_none() { "passed" } else { "failed" }, error.map(DomainError::detail));
    let row = raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_backups SET verification = {verification}, verified_at = {now}, error = {error}
           WHERE id = {id} AND state = 'stored'"#
    );
    let after = json!({ "archive": id, "verification": verification, "error": error });
    change(control, row, recorded("tenant.backup_verified", place, after, by)).await
}

/// Notes that a backup's files are gone.
pub(crate) async fn removed(
    control: &SystemConnection,
    place: Place,
    by: &PlatformScope,
) -> Result<(), ArchiveError> {
    let (id, now) = (place.archive, by.now());
    let row = raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_backups SET state = 'removed', removed_at = {now}
           WHERE id = {id} AND state <> 'removed'"#
    );
    change(control, row, recorded("tenant.backup_removed", place, json!({ "archive": id }), by)).await
}

/// Changes a row with its audit row; what changes nothing leaves none.
async fn change(control: &SystemConnection, row: Statement, record: Statement) -> Result<(), ArchiveError> {
    let tx = control.begin().await.map_err(failed)?;
    let done = async {
        if tx.execute(row).await? > 0 {
            tx.execute(record).await?;
        }
        Ok::<(), DbErr>(())
    };
    match done.await {
        Ok(()) => tx.commit().await.map_err(failed),
        Err(error) => {
            // The reason is what the caller needs; a failed roll-back closes the connection.
            let _rolled_back = tx.rollback().await;
            Err(failed(error))
        }
    }
}

fn recorded(name: &'static str, place: Place, after: Value, by: &PlatformScope) -> Statement {
    let action = audit::Action {
        name,
        entity: "tenant",
        entity_id: Some(place.tenant.uuid()),
        tenant_id: Some(place.tenant),
        before: None,
        after: Some(after),
    };
    audit::statement(by, action)
}

fn failed(error: DbErr) -> ArchiveError {
    ArchiveError::of("use the registry of backups", &error)
}

async fn count(db: &impl SystemExecutor, filter: BackupFilter) -> Result<u64, ArchiveError> {
    #[derive(FromQueryResult)]
    struct Count {
        backups: i64,
    }
    let mut select = Query::select();
    select.expr_as(Expr::cust("count(*)"), Alias::new("backups")).from_as(table(), Alias::new("b"));
    narrow(&mut select, filter);
    let row: Option<Count> = db.query_one(DbBackend::Postgres.build(&select)).await.map_err(failed)?;
    Ok(row.map_or(0, |row| u64::try_from(row.backups).unwrap_or_default()))
}

fn table() -> (Alias, Alias) {
    (Alias::new("public"), Alias::new("tenant_backups"))
}

fn select() -> SelectStatement {
    let mut select = Query::select();
    select.expr(Expr::cust(COLUMNS)).from_as(table(), Alias::new("b"));
    select
}

fn narrow(select: &mut SelectStatement, filter: BackupFilter) {
    if let Some(tenant) = filter.tenant {
        select.and_where(Expr::cust("b.tenant_id").eq(tenant.uuid()));
    }
    if let Some(state) = filter.state {
        select.and_where(Expr::cust("b.state").eq(state.as_str()));
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: ArchiveId,
    tenant_id: TenantId,
    tenant_slug: String,
    state: String,
    reason: String,
    location: String,
    schema_version: Option<String>,
    row_count: Option<i64>,
    raw_bytes: Option<i64>,
    stored_bytes: Option<i64>,
    manifest_mac: Option<String>,
    lsn: Option<String>,
    error: Option<String>,
    verification: Option<String>,
    taken_at: Option<DateTime<Utc>>,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    verified_at: Option<DateTime<Utc>>,
    removed_at: Option<DateTime<Utc>>,
}

impl Row {
    fn read(self) -> Result<Backup, ArchiveError> {
        let unreadable = || {
            tracing::error!(archive.id = %self.id, "the registry holds a backup that cannot be read");
            TenancyError::Database(Failure { kind: FailureKind::Internal, sqlstate: None, constraint: None })
        };
        Ok(Backup {
            state: self.state.parse().map_err(|_| unreadable())?,
            id: self.id,
            tenant: self.tenant_slug,
            tenant_id: self.tenant_id,
            reason: self.reason,
            location: self.location,
            schema_version: self.schema_version,
            rows: self.row_count,
            bytes: self.raw_bytes,
            stored_bytes: self.stored_bytes,
            manifest_mac: self.manifest_mac,
            lsn: self.lsn,
            error: self.error,
            verification: self.verification,
            taken_at: self.taken_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            verified_at: self.verified_at,
            removed_at: self.removed_at,
        })
    }
}
