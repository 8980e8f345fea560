//! How far each tenant's schema has come, by its own ledger.
//!
//! A thousand schemas are read in a few batches on two connections. Forced row-level security lets a statement see one
//! tenant's ledger, so that a batch says before each who it is; what comes back is a number and a digest for each module.

use std::collections::{BTreeMap, BTreeSet};

use clinicx_types::{
    name::{ModuleName, SchemaName},
    version::SchemaVersion,
};
use sha2::{Digest, Sha256};
use sqlx::{Row, postgres::PgRow};

use crate::{
    failure::DatabaseFailure,
    owner::{OwnerConnection, OwnerLogin},
    tenant::{
        apply::{MigrateError, Subject},
        ledger::{LedgerRow, READ, TABLE},
        limits::Limits,
        plan::{Plan, Work, version_of},
        render,
    },
};

/// How many ledgers are read in one round trip; each of their tables is locked until its end.
const BATCH: usize = 100;

/// What one schema's own ledger says.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What lies between the schema and the limits, or why that can't be said.
    pub work: Result<Work, MigrateError>,
    /// The version of the schema.
    pub version: SchemaVersion,
    /// How many migrations of each module it names, also of modules that the tenant has no more.
    pub positions: BTreeMap<String, i32>,
}

impl Checked {
    fn unreadable(failure: DatabaseFailure) -> Self {
        let (version, positions) = (SchemaVersion::default(), BTreeMap::new());
        Self { work: Err(failure.into()), version, positions }
    }
}

/// Reads the ledgers of these schemas, each with how far it is to be brought, in their order.
///
/// # Errors
/// What the database answers. What is wrong with one schema stands in its own result.
pub async fn check(
    login: &OwnerLogin,
    plan: &Plan,
    tenants: &[(Subject, Limits)],
) -> Result<Vec<Checked>, DatabaseFailure> {
    let known = Known::new(plan);
    let (first, second) = tenants.split_at(tenants.len().div_ceil(2));
    let (first, second) = tokio::join!(half(login, &known, first), half(login, &known, second));
    let (mut all, second) = (first?, second?);
    all.extend(second);
    Ok(all)
}

/// The plan, and what a ledger's digest is after each migration of a module.
struct Known<'a> {
    plan: &'a Plan,
    digests: BTreeMap<&'static str, Vec<String>>,
}

impl<'a> Known<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut digests = BTreeMap::new();
        for module in plan.modules() {
            let mut hash = Sha256::new();
            let of_module = plan.migrations().iter().filter(|one| one.module == module);
            let after = of_module.map(|one| {
                hash.update(format!("{}\n{}\n", one.migration.name, one.checksum).as_bytes());
                render::hex(&hash.clone().finalize())
            });
            digests.insert(module, after.collect());
        }
        Self { plan, digests }
    }

    /// Tells whether a module's ledger is a beginning of its list.
    fn agrees(&self, module: &str, had: i32, digest: &str) -> bool {
        let after = usize::try_from(had).ok().and_then(|had| had.checked_sub(1));
        let known = self.digests.get(module).zip(after).and_then(|(after, at)| after.get(at));
        known.is_some_and(|known| known == digest)
    }
}

/// What a ledger says of its modules: how many migrations, and the digest over them.
type Summary = BTreeMap<String, (i32, String)>;

async fn half(
    login: &OwnerLogin,
    known: &Known<'_>,
    tenants: &[(Subject, Limits)],
) -> Result<Vec<Checked>, DatabaseFailure> {
    if tenants.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = login.open().await?;
    let there = schemas_with_ledger(&mut connection).await?;
    let mut all = Vec::with_capacity(tenants.len());
    for batch in tenants.chunks(BATCH) {
        let present: Vec<&Subject> =
            batch.iter().map(|(subject, _)| subject).filter(|one| there.contains(&one.schema)).collect();
        let (back, summaries) = summaries(login, connection, &present).await?;
        connection = back;
        let mut summaries = match summaries {
            Ok(summaries) => summaries,
            // One of them stands against it: it is found out which.
            Err(_) => {
                let (back, one_by_one) = one_by_one(login, connection, &present).await?;
                connection = back;
                one_by_one
            }
        };
        for (subject, limits) in batch {
            let summary = match summaries.remove(subject.schema.as_str()) {
                Some(Err(failure)) => {
                    all.push(Checked::unreadable(failure));
                    continue;
                }
                Some(Ok(summary)) => Some(summary),
                None => None,
            };
            let is_there = there.contains(&subject.schema);
            let (back, checked) = one(connection, known, (subject, limits), is_there, summary).await?;
            connection = back;
            all.push(checked);
        }
    }
    connection.close().await;
    Ok(all)
}

/// What came of each schema.
type Summaries = BTreeMap<String, Result<Summary, DatabaseFailure>>;

/// Reads the ledgers of a batch in one round trip. An error that is one of theirs and not of the connection is inside.
async fn summaries(
    login: &OwnerLogin,
    connection: OwnerConnection,
    present: &[&Subject],
) -> Result<(OwnerConnection, Result<Summaries, DatabaseFailure>), DatabaseFailure> {
    if present.is_empty() {
        return Ok((connection, Ok(Summaries::new())));
    }
    let script: Vec<String> = present.iter().map(|subject| summary(subject)).collect();
    let tx = connection.begin("SET TRANSACTION READ ONLY").await?;
    match tx.rows("read a ledger", script.join(";\n")).await {
        Ok(rows) => {
            let read = read(&rows).map_err(|error| DatabaseFailure::new("read a ledger", error))?;
            let read = read.into_iter().map(|(schema, summary)| (schema, Ok(summary)));
            Ok((tx.commit().await?, Ok(read.collect())))
        }
        Err(failure) if failure.sqlstate().is_none() => Err(failure),
        Err(failure) => {
            let connection = match tx.rollback().await {
                Ok(connection) => connection,
                Err(_) => login.open().await?,
            };
            Ok((connection, Err(failure)))
        }
    }
}

async fn one_by_one(
    login: &OwnerLogin,
    mut connection: OwnerConnection,
    present: &[&Subject],
) -> Result<(OwnerConnection, Summaries), DatabaseFailure> {
    let mut all = Summaries::new();
    for subject in present {
        let (back, read) = summaries(login, connection, &[*subject]).await?;
        connection = back;
        match read {
            Ok(read) => all.extend(read),
            Err(failure) => {
                all.insert(subject.schema.to_string(), Err(failure));
            }
        }
    }
    Ok((connection, all))
}

async fn schemas_with_ledger(
    connection: &mut OwnerConnection,
) -> Result<BTreeSet<SchemaName>, DatabaseFailure> {
    let look = format!(
        "SELECT CAST(n.nspname AS text) AS schema FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relname = '{TABLE}' AND c.relkind = 'r'"
    );
    let rows = connection.rows("list the ledgers", look).await?;
    let schema = |row: &PgRow| row.try_get::<String, _>("schema").ok();
    Ok(rows.iter().filter_map(schema).filter_map(|schema| SchemaName::parse(&schema).ok()).collect())
}

fn summary(subject: &Subject) -> String {
    format!(
        "SET LOCAL app.current_tenant TO '{}';\n\
         SELECT {} AS schema, CAST(module AS text) AS module, CAST(count(*) AS int) AS had, \
         encode(sha256(convert_to(string_agg(name || chr(10) || checksum || chr(10), '' ORDER BY position), 'UTF8')), \
         'hex') AS digest FROM {}.{TABLE} GROUP BY module",
        subject.tenant_id,
        subject.schema.literal(),
        subject.schema.quoted(),
    )
}

fn read(rows: &[PgRow]) -> Result<BTreeMap<String, Summary>, sqlx::Error> {
    let mut summaries: BTreeMap<String, Summary> = BTreeMap::new();
    for row in rows {
        let of_schema = summaries.entry(row.try_get("schema")?).or_default();
        of_schema.insert(row.try_get("module")?, (row.try_get("had")?, row.try_get("digest")?));
    }
    Ok(summaries)
}

/// Makes something of one summary. A ledger that is no beginning of the lists is read whole.
async fn one(
    connection: OwnerConnection,
    known: &Known<'_>,
    (subject, limits): (&Subject, &Limits),
    is_there: bool,
    summary: Option<Summary>,
) -> Result<(OwnerConnection, Checked), DatabaseFailure> {
    let summary = summary.unwrap_or_default();
    let positions: BTreeMap<String, i32> =
        summary.iter().map(|(module, (had, _))| (module.clone(), *had)).collect();
    let version = version_of(positions.iter().map(|(module, had)| (module.as_str(), *had)));
    let checked = |work| Checked { work, version, positions };
    let own = match known.plan.of_modules(subject.modules.iter().map(ModuleName::as_str)) {
        Ok(own) => own,
        Err(error) => return Ok((connection, checked(Err(error.into())))),
    };
    if !is_there {
        return Ok((connection, checked(Err(MigrateError::NoLedger))));
    }
    let of_plan = |(module, _): &(&String, &(i32, String))| own.modules().any(|own| own == module.as_str());
    if summary.iter().filter(of_plan).all(|(module, (had, digest))| known.agrees(module, *had, digest)) {
        let work = regular(&own, limits, &summary);
        return Ok((connection, checked(Ok(work))));
    }
    let tx = connection.begin(&render::settings(&subject.target())).await?;
    let rows = tx.rows("read a ledger", READ.to_owned()).await?;
    let connection = tx.commit().await?;
    let ledger: Result<Vec<LedgerRow>, _> = rows.iter().map(LedgerRow::read).collect();
    let ledger = ledger.map_err(|error| DatabaseFailure::new("read a ledger", error))?;
    let work = own.work(&ledger, limits).map_err(MigrateError::from);
    Ok((connection, checked(work)))
}

/// Tells the work of a ledger that is a beginning of the lists.
fn regular(own: &Plan, limits: &Limits, summary: &Summary) -> Work {
    let had = |module: &str| summary.get(module).map_or(0, |(had, _)| *had);
    let mut work =
        Work { applied: own.modules().map(|module| (module, had(module))).collect(), ..Work::default() };
    for one in own.migrations() {
        match (limits.allows(one.module, one.position), one.position <= had(one.module)) {
            (true, false) => work.up.push(one.clone()),
            (false, true) => work.down.push(one.clone()),
            (true, true) | (false, false) => {}
        }
    }
    work.down.reverse();
    work
}
