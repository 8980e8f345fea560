//! Seals the values of a tenant's rows anew, a few at a time.

use std::{collections::BTreeSet, time::Duration};

use clinicx_keys::{CipherError, FieldCipher, KeyError, sealed::SealedColumn};
use clinicx_migration::{
    owner::{OwnerConnection, OwnerTransaction},
    tenant::render,
};
use clinicx_persistence::{Failure, FailureKind, SystemExecutor};
use clinicx_types::id::TenantId;
use sea_orm::{
    DbBackend, ExprTrait, FromQueryResult, Statement, StatementBuilder, raw_sql,
    sea_query::{Alias, Cond, Expr, Func, Query, SimpleExpr},
};
use uuid::Uuid;

use crate::{error::TenancyError, provisioning::target, service::Tenancy, tenant::Tenant};

/// How many rows one transaction changes: it holds their locks for some tens of milliseconds.
const BATCH: u64 = 200;
/// How often a batch is tried that others stand in the way of.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);
/// A batch waits for nobody for long: requests matter more.
const SETTINGS: &str = "SET LOCAL lock_timeout TO '2s'; SET LOCAL statement_timeout TO '60s'";

/// What sealing anew has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// The version under which everything is sealed.
    pub version: u16,
    /// How many values were sealed anew.
    pub values: u64,
    /// How many values can't be opened; the log names their rows.
    pub unreadable: u64,
    /// Whether nothing is left under another version.
    pub complete: bool,
}

/// Which values are looked for, by the bytes with which they begin.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    NotUnder([u8; 3]),
    Under([u8; 3]),
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    sealed: Option<Vec<u8>>,
    plain: Option<String>,
}

#[derive(FromQueryResult)]
struct Place {
    table: String,
    column: String,
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

/// Looks through every column once.
pub(super) async fn pass(
    tenancy: &Tenancy,
    tenant: &Tenant,
    cipher: &FieldCipher,
    columns: &[SealedColumn],
    progress: &(impl Fn() + Sync),
) -> Result<Resealed, TenancyError> {
    let mut done = Resealed { version: cipher.version(), ..Resealed::default() };
    let mut slot = None;
    let tx = begin(tenancy, &mut slot, tenant).await?;
    let columns = present(&tx, columns).await?;
    slot = Some(tx.rollback().await.map_err(|failure| TenancyError::Database(failure.failure))?);
    let wanted = Wanted::NotUnder(clinicx_keys::cipher::head(cipher.version()));
    for column in columns {
        let mut after = None;
        loop {
            let mut tries = 1;
            let batch = loop {
                match batch(tenancy, &mut slot, tenant, (cipher, column), (wanted, after)).await {
                    Err(error) if tries < ATTEMPTS && is_passing(&error) => {
                        tokio::time::sleep(PAUSE * tries).await;
                        tries += 1;
                    }
                    done => break done?,
                }
            };
            done.values += batch.values;
            done.unreadable += batch.unreadable;
            (0..batch.values).for_each(|_| progress());
            match batch.last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
    }
    if let Some(connection) = slot {
        tenancy.park(connection).await;
    }
    Ok(done)
}

/// Counts values.
pub(super) async fn count(
    tenancy: &Tenancy,
    tenant: &Tenant,
    columns: &[SealedColumn],
    wanted: Wanted,
) -> Result<u64, TenancyError> {
    let tx = begin(tenancy, &mut None, tenant).await?;
    let mut all = 0;
    for column in present(&tx, columns).await? {
        let mut select = Query::select();
        select
            .expr_as(Func::count(Expr::col("id")), "count")
            .from(column.field.table)
            .cond_where(of(column, wanted));
        let found: Option<Count> = tx.query_one(build(&select)).await?;
        all += found.map_or(0, |row| u64::try_from(row.count).unwrap_or_default());
    }
    let connection = tx.rollback().await.map_err(|failure| TenancyError::Database(failure.failure))?;
    tenancy.park(connection).await;
    Ok(all)
}

/// Returns those of the columns that a tenant has: it has none of a module that it never had, and those of one that was
/// taken from it.
async fn present<'a>(
    tx: &OwnerTransaction,
    columns: &'a [SealedColumn],
) -> Result<Vec<&'a SealedColumn>, TenancyError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT CAST(table_name AS text) AS "table", CAST(column_name AS text) AS "column"
           FROM information_schema.columns WHERE table_schema = current_schema()"#
    );
    let found: Vec<Place> = tx.query_all(statement).await?;
    let places: BTreeSet<(&str, &str)> =
        found.iter().map(|place| (place.table.as_str(), place.column.as_str())).collect();
    let has = |column: &&SealedColumn| places.contains(&(column.field.table, column.field.column));
    Ok(columns.iter().filter(has).collect())
}

struct Batch {
    values: u64,
    unreadable: u64,
    last: Option<Uuid>,
}

/// Seals the values of the next rows anew, in one transaction.
async fn batch(
    tenancy: &Tenancy,
    slot: &mut Option<OwnerConnection>,
    tenant: &Tenant,
    (cipher, column): (&FieldCipher, &SealedColumn),
    (wanted, after): (Wanted, Option<Uuid>),
) -> Result<Batch, TenancyError> {
    let tx = begin(tenancy, slot, tenant).await?;
    let mut select = Query::select();
    select.column("id").expr_as(Expr::col(column.field.column), "sealed");
    let plain = column.plain.map_or_else(|| Expr::cust("CAST(NULL AS text)"), Expr::col);
    select.expr_as(plain, "plain").from(column.field.table).cond_where(of(column, wanted));
    if let Some(after) = after {
        select.and_where(Expr::col("id").gt(after));
    }
    select.order_by("id", sea_orm::Order::Asc).limit(BATCH);
    let rows: Vec<Row> = tx.query_all(build(&select)).await?;
    let mut batch = Batch { values: 0, unreadable: 0, last: rows.last().map(|row| row.id) };
    for row in &rows {
        match anew(tenant.id, cipher, column, row) {
            Ok(new) => batch.values += write(&tx, column, row, new).await?,
            Err(CipherError::Unsealable) => return Err(KeyError::NoRandomness.into()),
            Err(error) => {
                batch.unreadable += 1;
                let (table, name) = (column.field.table, column.field.column);
                tracing::error!(tenant.id = %tenant.id, table, column = name, row.id = %row.id, reason = %error,
                    "a sealed value can't be opened and stays as it is");
            }
        }
    }
    *slot = Some(tx.commit().await.map_err(|failure| TenancyError::Database(failure.failure))?);
    Ok(batch)
}

async fn begin(
    tenancy: &Tenancy,
    slot: &mut Option<OwnerConnection>,
    tenant: &Tenant,
) -> Result<OwnerTransaction, TenancyError> {
    let connection = match slot.take() {
        Some(connection) => connection,
        None => tenancy.owner_connection().await?,
    };
    let settings = format!("{SETTINGS}; {}", render::settings(&target(tenant.id, &tenant.database_schema)));
    connection.begin(&settings).await.map_err(|failure| TenancyError::Database(failure.failure))
}

struct New {
    sealed: Vec<u8>,
    index: Option<Vec<u8>>,
}

fn anew(
    tenant: TenantId,
    cipher: &FieldCipher,
    column: &SealedColumn,
    row: &Row,
) -> Result<New, CipherError> {
    let field = column.field;
    // What is sealed counts: the text beside it is what was there before.
    let value = match (&row.sealed, &row.plain) {
        (Some(sealed), _) => cipher.open(tenant, field, row.id, sealed)?,
        (None, Some(plain)) => plain.clone().into_bytes(),
        (None, None) => return Err(CipherError::Malformed),
    };
    let sealed = cipher.seal(tenant, field, row.id, &value)?;
    let index = match column.index {
        Some(index) => {
            let text = std::str::from_utf8(&value).map_err(|_| CipherError::Malformed)?;
            Some(cipher.blind_index(tenant, field, &(index.fold)(text))?)
        }
        None => None,
    };
    Ok(New { sealed, index })
}

/// Writes a value where the one that was read still stands; what somebody else has written meanwhile is newer.
async fn write(
    tx: &OwnerTransaction,
    column: &SealedColumn,
    row: &Row,
    new: New,
) -> Result<u64, TenancyError> {
    let name = column.field.column;
    let mut update = Query::update();
    update.table(column.field.table).value(name, new.sealed).and_where(Expr::col("id").eq(row.id));
    if let (Some(index), Some(value)) = (column.index, new.index) {
        update.value(index.column, value);
    }
    match &row.sealed {
        Some(sealed) => update.and_where(Expr::col(name).eq(sealed.clone())),
        None => update.and_where(Expr::col(name).is_null()),
    };
    if let Some(plain) = column.plain {
        update.value(plain, Option::<String>::None);
        match &row.plain {
            Some(text) => update.and_where(Expr::col(plain).eq(text.as_str())),
            None => update.and_where(Expr::col(plain).is_null()),
        };
    }
    Ok(tx.execute(build(&update)).await?)
}

fn of(column: &SealedColumn, wanted: Wanted) -> Cond {
    let name = column.field.column;
    let begins = || -> SimpleExpr {
        Func::cust(Alias::new("substr")).args([Expr::col(name), Expr::value(1), Expr::value(3)]).into()
    };
    match wanted {
        Wanted::Under(head) => Cond::all().add(begins().eq(head.to_vec())),
        Wanted::NotUnder(head) => {
            let old = Cond::any().add(begins().ne(head.to_vec()));
            match column.plain {
                Some(plain) => old.add(Expr::col(plain).is_not_null()),
                None => old,
            }
        }
    }
}

fn build(statement: &impl StatementBuilder) -> Statement {
    DbBackend::Postgres.build(statement)
}

/// Tells whether another try of the batch may succeed: somebody else held a lock, or came first.
fn is_passing(error: &TenancyError) -> bool {
    matches!(
        error,
        TenancyError::Database(Failure { kind: FailureKind::Retry | FailureKind::Unavailable, .. })
    )
}
