//! What is kept of adoptions in the system schema: how far each clinic has come, which key has become which id, what did
//! not fit.

use std::{collections::BTreeSet, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use clinicx_core::intake::Thing;
use clinicx_persistence::{SystemConnection, SystemExecutor};
use clinicx_types::id::TenantId;
use sea_orm::{FromQueryResult, Statement, raw_sql};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    book::{Book, Hash, Place},
    error::AdoptionError,
    report::hex,
};

/// How many rows go into one statement.
const BATCH: usize = 5000;

/// How far a clinic has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Its rows are being copied.
    Copying,
    /// They were copied and compared; the old tables are still in use.
    Copied,
    /// The gate is closed for good; the tenant does not answer yet.
    Switching,
    /// The tenant answers.
    Switched,
    /// The old tables are about to be used again.
    Reverting,
    /// The old tables are in use again, and the tenant is suspended.
    Reverted,
    /// Its old rows are being archived and dropped.
    Cleaning,
    /// They are gone.
    Cleaned,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Copying,
        Self::Copied,
        Self::Switching,
        Self::Switched,
        Self::Reverting,
        Self::Reverted,
        Self::Cleaning,
        Self::Cleaned,
    ];

    /// Returns the word for it in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Copied => "copied",
            Self::Switching => "switching",
            Self::Switched => "switched",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Cleaning => "cleaning",
            Self::Cleaned => "cleaned",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// How far a clinic has come, and what has come of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The tenant.
    #[serde(skip)]
    pub tenant_id: TenantId,
    /// Its slug.
    pub slug: String,
    /// What stands in the tenant columns of its old rows.
    pub legacy: String,
    /// How far it has come.
    pub state: State,
    /// How many rounds were made.
    pub rounds: i32,
    /// How many rows the tenant has of it.
    pub rows: i64,
    /// How many rows did not fit.
    pub misfits: i64,
    /// For how long its writers were held up.
    pub pause_ms: Option<i32>,
    /// Why it came no further the last time.
    pub error: Option<String>,
    /// Where its old rows are archived.
    pub archive: Option<String>,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When both sides were last compared and the same.
    pub verified_at: Option<DateTime<Utc>>,
    /// When the tenant began to answer.
    pub switched_at: Option<DateTime<Utc>>,
    /// When its old rows were dropped.
    pub cleaned_at: Option<DateTime<Utc>>,
}

#[derive(FromQueryResult)]
struct Row {
    tenant_id: Uuid,
    slug: String,
    legacy_tenant: String,
    state: String,
    rounds: i32,
    rows_moved: i64,
    rows_misfit: i64,
    pause_ms: Option<i32>,
    error: Option<String>,
    archive_path: Option<String>,
    created_at: DateTime<Utc>,
    verified_at: Option<DateTime<Utc>>,
    switched_at: Option<DateTime<Utc>>,
    cleaned_at: Option<DateTime<Utc>>,
}

impl From<Row> for Status {
    fn from(row: Row) -> Self {
        Self {
            tenant_id: TenantId::new(row.tenant_id),
            slug: row.slug,
            legacy: row.legacy_tenant,
            // The table's check knows the same words.
            state: row.state.parse().unwrap_or(State::Copying),
            rounds: row.rounds,
            rows: row.rows_moved,
            misfits: row.rows_misfit,
            pause_ms: row.pause_ms,
            error: row.error,
            archive: row.archive_path,
            began_at: row.created_at,
            verified_at: row.verified_at,
            switched_at: row.switched_at,
            cleaned_at: row.cleaned_at,
        }
    }
}

/// Lists every adoption by slug.
pub(crate) async fn list(db: &SystemConnection) -> Result<Vec<Status>, AdoptionError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT a.tenant_id, t.slug, a.legacy_tenant, a.state, a.rounds, a.rows_moved, a.rows_misfit, a.pause_ms,
                  a.error, a.archive_path, a.created_at, a.verified_at, a.switched_at, a.cleaned_at
           FROM public.adoptions AS a
           JOIN public.tenants AS t ON t.id = a.tenant_id
           ORDER BY t.slug"#
    );
    Ok(db.query_all::<Row>(statement).await?.into_iter().map(Status::from).collect())
}

/// Finds the adoption of a tenant.
pub(crate) async fn find(db: &SystemConnection, tenant: TenantId) -> Result<Option<Status>, AdoptionError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT a.tenant_id, t.slug, a.legacy_tenant, a.state, a.rounds, a.rows_moved, a.rows_misfit, a.pause_ms,
                  a.error, a.archive_path, a.created_at, a.verified_at, a.switched_at, a.cleaned_at
           FROM public.adoptions AS a
           JOIN public.tenants AS t ON t.id = a.tenant_id
           WHERE a.tenant_id = {tenant}"#
    );
    Ok(db.query_one::<Row>(statement).await?.map(Status::from))
}

/// Begins an adoption.
pub(crate) fn begin(tenant: TenantId, legacy: &str, digest: &str, now: DateTime<Utc>) -> Statement {
    raw_sql!(
        Postgres,
        r#"INSERT INTO public.adoptions (tenant_id, legacy_tenant, mapping_digest, created_at, updated_at)
           VALUES ({tenant}, {legacy}, {digest}, {now}, {now})
           ON CONFLICT (tenant_id) DO NOTHING"#
    )
}

/// Takes an adoption back to its beginning; what was written is written again where it differs.
pub(crate) fn begin_again(tenant: TenantId, now: DateTime<Utc>) -> Vec<Statement> {
    vec![
        raw_sql!(
            Postgres,
            r#"UPDATE public.adoptions
               SET state = 'copying', switched_at = NULL, verified_at = NULL, pause_ms = NULL, updated_at = {now}
               WHERE tenant_id = {tenant}"#
        ),
        // What the tenant has changed since is not known.
        raw_sql!(Postgres, r#"UPDATE public.adoption_keys SET row_hash = NULL WHERE tenant_id = {tenant}"#),
    ]
}

/// Writes down a new state.
pub(crate) fn reach(tenant: TenantId, state: State, now: DateTime<Utc>) -> Statement {
    let state = state.as_str();
    raw_sql!(
        Postgres,
        r#"UPDATE public.adoptions SET state = {state}, error = NULL, updated_at = {now} WHERE tenant_id = {tenant}"#
    )
}

/// Writes down that the tenant answers.
pub(crate) fn switched(tenant: TenantId, pause_ms: Option<i32>, now: DateTime<Utc>) -> Statement {
    raw_sql!(
        Postgres,
        r#"UPDATE public.adoptions
           SET state = 'switched', error = NULL, pause_ms = {pause_ms}, switched_at = {now}, updated_at = {now}
           WHERE tenant_id = {tenant}"#
    )
}

/// Writes down that the old rows are about to go, and where they are archived.
pub(crate) fn cleaning(tenant: TenantId, archive: &str, now: DateTime<Utc>) -> Statement {
    raw_sql!(
        Postgres,
        r#"UPDATE public.adoptions SET state = 'cleaning', archive_path = {archive}, updated_at = {now}
           WHERE tenant_id = {tenant}"#
    )
}

/// Writes down that the old rows are gone.
pub(crate) fn cleaned(tenant: TenantId, archive: &str, now: DateTime<Utc>) -> Statement {
    raw_sql!(
        Postgres,
        r#"UPDATE public.adoptions
           SET state = 'cleaned', error = NULL, archive_path = {archive}, cleaned_at = {now}, updated_at = {now}
           WHERE tenant_id = {tenant}"#
    )
}

/// Writes down why a clinic came no further.
pub(crate) async fn failed(
    db: &SystemConnection,
    tenant: TenantId,
    error: &AdoptionError,
) -> Result<(), AdoptionError> {
    let text = error.to_string();
    let statement =
        raw_sql!(Postgres, r#"UPDATE public.adoptions SET error = {text} WHERE tenant_id = {tenant}"#);
    db.execute(statement).await?;
    Ok(())
}

/// Writes down what a round has come to, and what did not fit.
pub(crate) async fn end_round(
    db: &SystemConnection,
    (tenant, digest): (TenantId, &str),
    book: &Book,
    now: DateTime<Utc>,
) -> Result<(), AdoptionError> {
    let rows = Thing::ALL.into_iter().map(|thing| book.fitting(thing).count()).sum::<usize>();
    let (rows, misfits) =
        (i64::try_from(rows).unwrap_or(i64::MAX), i64::try_from(book.misfits.len()).unwrap_or(i64::MAX));
    let tx = db.begin().await?;
    tx.execute(raw_sql!(
        Postgres,
        r#"UPDATE public.adoptions
           SET rounds = rounds + 1, rows_moved = {rows}, rows_misfit = {misfits}, mapping_digest = {digest},
               updated_at = {now}
           WHERE tenant_id = {tenant}"#
    ))
    .await?;
    tx.execute(raw_sql!(Postgres, r#"DELETE FROM public.adoption_misfits WHERE tenant_id = {tenant}"#))
        .await?;
    let all: Vec<Value> = book
        .misfits
        .iter()
        .flat_map(|((thing, key), reasons)| {
            reasons.iter().map(move |one| json!([thing.table(), key, one.field, one.rule]))
        })
        .collect();
    for batch in all.chunks(BATCH) {
        let batch = Value::from(batch);
        tx.execute(raw_sql!(
            Postgres,
            r#"INSERT INTO public.adoption_misfits (tenant_id, table_name, legacy_key, field, rule)
               SELECT {tenant}, x ->> 0, x ->> 1, x ->> 2, x ->> 3
               FROM jsonb_array_elements({batch}) AS x
               ON CONFLICT DO NOTHING"#
        ))
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Writes down that both sides were compared and are the same. A clinic whose gate is closed for good stays as it is.
pub(crate) async fn verified(
    db: &SystemConnection,
    tenant: TenantId,
    state: State,
    now: DateTime<Utc>,
) -> Result<(), AdoptionError> {
    let state = state.as_str();
    let statement = raw_sql!(
        Postgres,
        r#"UPDATE public.adoptions
           SET state = CASE state WHEN 'switching' THEN state ELSE {state} END, error = NULL, verified_at = {now},
               updated_at = {now}
           WHERE tenant_id = {tenant}"#
    );
    db.execute(statement).await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Key {
    table_name: String,
    legacy_key: String,
    id: Uuid,
    row_hash: Option<Vec<u8>>,
}

/// Reads which key has become which id.
pub(crate) async fn keys(
    db: &SystemConnection,
    tenant: TenantId,
) -> Result<Vec<(Place, Uuid, Option<Hash>)>, AdoptionError> {
    let mut all = Vec::new();
    let mut after = (String::new(), String::new());
    loop {
        let (table, key) = (after.0.as_str(), after.1.as_str());
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let statement = raw_sql!(
            Postgres,
            r#"SELECT CAST(table_name AS text) AS table_name, legacy_key, id, row_hash
               FROM public.adoption_keys
               WHERE tenant_id = {tenant} AND (table_name, legacy_key) > ({table}, {key})
               ORDER BY table_name, legacy_key
               LIMIT {limit}"#
        );
        let rows: Vec<Key> = db.query_all(statement).await?;
        let Some(last) = rows.last() else { return Ok(all) };
        after = (last.table_name.clone(), last.legacy_key.clone());
        for row in rows {
            let thing = Thing::ALL.into_iter().find(|thing| thing.table() == row.table_name);
            let hash = row.row_hash.and_then(|hash| Hash::try_from(hash).ok());
            all.extend(thing.map(|thing| ((thing, row.legacy_key), row.id, hash)));
        }
    }
}

/// Writes down the ids of rows that are about to be written.
pub(crate) async fn begin_rows(
    db: &SystemConnection,
    tenant: TenantId,
    rows: impl Iterator<Item = (&Place, Uuid)>,
) -> Result<(), AdoptionError> {
    let all: Vec<Value> = rows.map(|((thing, key), id)| json!([thing.table(), key, id])).collect();
    for batch in all.chunks(BATCH) {
        let batch = Value::from(batch);
        db.execute(raw_sql!(
            Postgres,
            r#"INSERT INTO public.adoption_keys AS k (tenant_id, table_name, legacy_key, id)
               SELECT {tenant}, x ->> 0, x ->> 1, CAST(x ->> 2 AS uuid) FROM jsonb_array_elements({batch}) AS x
               ON CONFLICT (tenant_id, table_name, legacy_key) DO UPDATE SET row_hash = NULL"#
        ))
        .await?;
    }
    Ok(())
}

/// Writes down what stands in rows that were written.
pub(crate) async fn end_rows(
    db: &SystemConnection,
    tenant: TenantId,
    rows: impl Iterator<Item = (&Place, &Hash)>,
) -> Result<(), AdoptionError> {
    let all: Vec<Value> = rows.map(|((thing, key), hash)| json!([thing.table(), key, hex(hash)])).collect();
    for batch in all.chunks(BATCH) {
        let batch = Value::from(batch);
        db.execute(raw_sql!(
            Postgres,
            r#"UPDATE public.adoption_keys AS k SET row_hash = decode(x ->> 2, 'hex')
               FROM jsonb_array_elements({batch}) AS x
               WHERE k.tenant_id = {tenant} AND k.table_name = x ->> 0 AND k.legacy_key = x ->> 1"#
        ))
        .await?;
    }
    Ok(())
}

/// Forgets rows that were removed.
pub(crate) async fn forget_rows(
    db: &SystemConnection,
    tenant: TenantId,
    thing: Thing,
    ids: &[Uuid],
) -> Result<(), AdoptionError> {
    let table = thing.table();
    for batch in ids.chunks(BATCH) {
        let unique: BTreeSet<&Uuid> = batch.iter().collect();
        let batch = json!(unique);
        db.execute(raw_sql!(
            Postgres,
            r#"DELETE FROM public.adoption_keys AS k USING jsonb_array_elements_text({batch}) AS x
               WHERE k.tenant_id = {tenant} AND k.table_name = {table} AND k.id = CAST(x AS uuid)"#
        ))
        .await?;
    }
    Ok(())
}
