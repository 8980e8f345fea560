//! Cleaning up: the old rows of a clinic that has moved are archived into files and dropped, in one transaction.
//!
//! The files are CSV as PostgreSQL writes it, one for each old table, and a manifest with the number of rows and the SHA-256
//! of each. They hold patients' data in clear: they are readable by their owner alone.

use std::{
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use clinicx_core::intake::Thing;
use clinicx_migration::DatabaseFailure;
use clinicx_persistence::SystemExecutor;
use clinicx_tenancy::{PlatformScope, TenantStatus, audit, registry};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::io::AsyncWriteExt;

use crate::{
    error::AdoptionError,
    legacy::{Gate, take_turn},
    mapping::{Mapping, TableMapping, TenantMapping},
    report::hex,
    run::Adopter,
    store::{self, State},
};

/// The list of what an archive has.
const MANIFEST: &str = "manifest.json";

/// What was done with the old rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// The old table.
    pub table: String,
    /// The file, in the archive's folder.
    pub file: String,
    /// How many rows it has.
    pub rows: u64,
    /// The SHA-256 of the file.
    pub sha256: String,
}

/// What was cleaned up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    /// The folder of the archive.
    pub archive: PathBuf,
    /// What was archived and dropped.
    pub tables: Vec<Archived>,
    /// Old tables that had no rows left and were dropped.
    pub dropped_tables: Vec<String>,
    /// Whether the gate was taken away, as no clinic is left behind it.
    pub gate_taken_away: bool,
}

/// What becomes of old tables without a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyTables {
    /// They stay.
    Keep,
    /// They are dropped.
    Drop,
}

impl Adopter {
    /// Archives the old rows of a clinic that has moved into a folder below `into`, and drops them: all that its tenant
    /// columns name, those that did not fit and those that were filtered out among them. Nothing of another clinic is
    /// touched. After it, the switch can't be taken back.
    ///
    /// # Errors
    /// [`AdoptionError::WrongState`] unless it is switched; [`AdoptionError::Archive`]; [`AdoptionError::NotDropped`] when
    /// other rows refer to them; [`AdoptionError`]. Nothing is dropped then.
    #[tracing::instrument(name = "adoption.clean_up", skip_all, fields(tenant.slug = %clinic.slug))]
    pub async fn clean_up(
        &self,
        clinic: &TenantMapping,
        into: &Path,
        empty: EmptyTables,
        by: &PlatformScope,
    ) -> Result<Cleaned, AdoptionError> {
        let Some(owner) = &self.owner else {
            let wanted = "cleaning up needs the login that owns the old tables";
            return Err(AdoptionError::WrongState { state: State::Switched, wanted });
        };
        let turn = take_turn(&self.reader, &clinic.legacy).await?;
        let tenant = registry::get_by_slug(self.tenancy.app(), &clinic.slug).await?;
        let status = self.status(&tenant).await?.ok_or(AdoptionError::NotAdopted)?;
        if !matches!(status.state, State::Switched | State::Cleaning) || tenant.status != TenantStatus::Active
        {
            let wanted = "only the old rows of a clinic that has moved and is served are cleaned up";
            return Err(AdoptionError::WrongState { state: status.state, wanted });
        }
        let mut gate = Gate::open(owner).await?;
        // Of a try that dropped the rows and came no further the archive is there, and nothing else is.
        let earlier = status.archive.map(PathBuf::from).filter(|_| status.state == State::Cleaning);
        let earlier = earlier.and_then(|folder| Some((archived(&folder)?, folder)));
        let is_gone = is_gone(gate.connection(), &self.mapping, &clinic.legacy).await?;
        let (tables, folder) = match earlier.filter(|_| is_gone) {
            Some(done) => done,
            None => {
                let folder = free_folder(into, clinic.slug.as_str())?;
                let archive = folder.display().to_string();
                self.control().execute(store::cleaning(tenant.id, &archive, by.now())).await?;
                let tables = drop_rows(gate.connection(), &self.mapping, &clinic.legacy, &folder).await?;
                (tables, folder)
            }
        };
        let archive = folder.display().to_string();
        let action = audit::Action::on_tenant(
            "tenant.adoption_cleaned",
            tenant.id,
            Some(json!({ "adoption": status.state })),
            Some(json!({ "adoption": State::Cleaned, "archive": archive, "tables": tables })),
        );
        let tx = self.control().begin().await?;
        tx.execute(store::cleaned(tenant.id, &archive, by.now())).await?;
        tx.execute(audit::statement(by, action)).await?;
        tx.commit().await?;
        let (dropped_tables, gate_taken_away) = self.tidy(&mut gate, empty).await?;
        gate.leave().await;
        drop(turn);
        Ok(Cleaned { archive: folder, tables, dropped_tables, gate_taken_away })
    }

    /// Takes the gate away when nobody is left behind it, and drops tables that are empty.
    async fn tidy(&self, gate: &mut Gate, empty: EmptyTables) -> Result<(Vec<String>, bool), AdoptionError> {
        let failed = |error| DatabaseFailure::new("tidy the old tables up", error);
        let all = store::list(self.control()).await?;
        let cleaned =
            |legacy: &str| all.iter().any(|one| one.legacy == legacy && one.state == State::Cleaned);
        let behind = gate.tenants().await?;
        let is_over = behind.iter().all(|tenant| cleaned(tenant));
        if !is_over {
            return Ok((Vec::new(), false));
        }
        gate.take_away().await?;
        let mut dropped = Vec::new();
        if empty == EmptyTables::Drop {
            for table in self.mapping.tables.values().rev() {
                let relation = self.mapping.relation(table);
                let connection = gate.connection();
                // Nobody adds a row between the look and the end of the table.
                let look = format!(
                    "BEGIN; SET LOCAL lock_timeout TO '5s'; LOCK TABLE {relation} IN ACCESS EXCLUSIVE MODE"
                );
                connection.execute(AssertSqlSafe(look)).await.map_err(failed)?;
                let has_rows: bool =
                    sqlx::query_scalar(AssertSqlSafe(format!("SELECT EXISTS (SELECT FROM {relation})")))
                        .fetch_one(&mut *connection)
                        .await
                        .map_err(failed)?;
                let end =
                    if has_rows { "ROLLBACK".to_owned() } else { format!("DROP TABLE {relation}; COMMIT") };
                connection.execute(AssertSqlSafe(end)).await.map_err(failed)?;
                if !has_rows {
                    dropped.push(relation);
                }
            }
        }
        Ok((dropped, true))
    }
}

/// Archives and drops, in one snapshot: a row that is changed meanwhile makes it fail.
async fn drop_rows(
    connection: &mut PgConnection,
    mapping: &Mapping,
    legacy: &str,
    folder: &Path,
) -> Result<Vec<Archived>, AdoptionError> {
    let failed = |error| DatabaseFailure::new("archive the old rows", error);
    // The gate refuses everybody else.
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout TO '10s'; \
         SET LOCAL clinicx_adoption.cleaning TO {}",
        crate::mapping::name::literal(legacy)
    );
    connection.execute(AssertSqlSafe(begin)).await.map_err(failed)?;
    let done = in_transaction(connection, mapping, legacy, folder).await;
    match done {
        Ok(tables) => {
            connection.execute("COMMIT").await.map_err(failed)?;
            Ok(tables)
        }
        Err(error) => {
            // A connection that can't even roll back is closed, which rolls back too.
            let _rolled_back = connection.execute("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn in_transaction(
    connection: &mut PgConnection,
    mapping: &Mapping,
    legacy: &str,
    folder: &Path,
) -> Result<Vec<Archived>, AdoptionError> {
    let mut archived = Vec::new();
    for (thing, table) in &mapping.tables {
        archived.push(archive_one(connection, mapping, (*thing, table), legacy, folder).await?);
    }
    let manifest = json!({ "legacy_tenant": legacy, "mapping_sha256": mapping.digest, "tables": archived });
    let mut file = create(&folder.join(MANIFEST)).await?;
    file.write_all(format!("{manifest:#}\n").as_bytes()).await.map_err(AdoptionError::Archive)?;
    file.sync_all().await.map_err(AdoptionError::Archive)?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(AdoptionError::Archive)?;
    // Whoever refers to a row goes before it.
    for ((_, table), archive) in mapping.tables.iter().zip(&archived).rev() {
        let relation = mapping.relation(table);
        let sql = format!("DELETE FROM {relation} AS t WHERE CAST(t.{} AS text) = $1", table.tenant.quoted());
        let done = sqlx::query(AssertSqlSafe(sql)).bind(legacy).execute(&mut *connection).await;
        let deleted = match done {
            Ok(done) => done.rows_affected(),
            Err(error) => {
                let failure = DatabaseFailure::new("drop the old rows", error);
                let why = match failure.sqlstate() {
                    Some("23503") => format!("rows of another table refer to those of {relation}"),
                    Some("40001") => format!("rows of {relation} have changed meanwhile; try again"),
                    _ => return Err(failure.into()),
                };
                return Err(AdoptionError::NotDropped(why));
            }
        };
        if deleted != archive.rows {
            let why =
                format!("{relation} has {deleted} rows of the clinic, and {} were archived", archive.rows);
            return Err(AdoptionError::NotDropped(why));
        }
    }
    Ok(archived)
}

async fn archive_one(
    connection: &mut PgConnection,
    mapping: &Mapping,
    (thing, table): (Thing, &TableMapping),
    legacy: &str,
    folder: &Path,
) -> Result<Archived, AdoptionError> {
    let failed = |error| DatabaseFailure::new("archive the old rows", error);
    let relation = mapping.relation(table);
    let mine = format!(
        "FROM {relation} AS t WHERE CAST(t.{} AS text) = {}",
        table.tenant.quoted(),
        crate::mapping::name::literal(legacy)
    );
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) {mine}")))
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let name = format!("{}.csv", thing.table());
    let mut file = create(&folder.join(&name)).await?;
    let mut hash = Sha256::new();
    let copy = format!(
        "COPY (SELECT t.* {mine} ORDER BY t.{}) TO STDOUT WITH (FORMAT csv, HEADER)",
        table.key.quoted()
    );
    let mut stream = connection.copy_out_raw(&copy).await.map_err(failed)?;
    while let Some(bytes) = stream.try_next().await.map_err(failed)? {
        hash.update(&bytes);
        file.write_all(&bytes).await.map_err(AdoptionError::Archive)?;
    }
    drop(stream);
    file.sync_all().await.map_err(AdoptionError::Archive)?;
    Ok(Archived {
        table: relation,
        file: name,
        rows: u64::try_from(rows).unwrap_or_default(),
        sha256: hex(&hash.finalize()),
    })
}

/// Makes a folder that no earlier archive is in, readable by its owner alone.
fn free_folder(into: &Path, slug: &str) -> Result<PathBuf, AdoptionError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    builder.recursive(true).create(into).map_err(AdoptionError::Archive)?;
    builder.recursive(false);
    let mut number = 1;
    loop {
        let name = if number == 1 { slug.to_owned() } else { format!("{slug}-{number}") };
        let folder = into.join(name);
        match builder.create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(AdoptionError::Archive(error)),
        }
    }
}

/// Reads what an archive has, when it is whole.
fn archived(folder: &Path) -> Option<Vec<Archived>> {
    #[derive(Deserialize)]
    struct Manifest {
        tables: Vec<Archived>,
    }
    let text = std::fs::read_to_string(folder.join(MANIFEST)).ok()?;
    serde_json::from_str::<Manifest>(&text).ok().map(|manifest| manifest.tables)
}

/// Tells whether a clinic has no old rows any more.
async fn is_gone(
    connection: &mut PgConnection,
    mapping: &Mapping,
    legacy: &str,
) -> Result<bool, AdoptionError> {
    for table in mapping.tables.values() {
        let relation = mapping.relation(table);
        let column = table.tenant.quoted();
        let sql = format!("SELECT EXISTS (SELECT FROM {relation} AS t WHERE CAST(t.{column} AS text) = $1)");
        let is_there: bool = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(legacy)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| DatabaseFailure::new("look at the old rows", error))?;
        if is_there {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes a file that its owner alone can read.
async fn create(path: &Path) -> Result<tokio::fs::File, AdoptionError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map(tokio::fs::File::from_std).map_err(AdoptionError::Archive)
}
