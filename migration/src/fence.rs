//! Checks in the catalog that every table of every tenant stands behind its fences, and that the roles on which
//! these rest are what they should be.

use clinicx_persistence::SystemExecutor;
use clinicx_types::name::SchemaName;
use sea_orm::{DbBackend, FromQueryResult, JsonValue, Statement, Value};

use crate::{
    failure::DatabaseFailure,
    predicate::{self, Terms},
    system::{RoleNames, SystemRole, functions},
};

/// The query behind [`check`]: one row for each gap.
const QUERY: &str = include_str!("fence.sql");
/// The query behind both: one row for each piece of code that tables call and should not.
const PLANTED_QUERY: &str = include_str!("planted.sql");
/// The schemas of the system that it looks at.
const SYSTEM_SCHEMAS: &str = "public,provisioning,extensions,pg_catalog";
/// What the query has of a tenant.
const TERMS: Terms = Terms { id: "t.id", role: "t.schema", owner: "$2" };
/// The queries behind [`check_system`]: one row for each gap.
const SYSTEM_QUERY: &str = include_str!("system.sql");
const ROUTINE_QUERY: &str = include_str!("routine.sql");
const SERVER_QUERY: &str = include_str!("server.sql");

/// Something that a schema or role should have and lacks, or has and should not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, FromQueryResult)]
pub struct Gap {
    /// The schema.
    pub schema: String,
    /// The table or function, unless it is the schema or a role itself.
    pub relation: Option<String>,
    /// What is wrong, as one stable word such as `row_security_not_forced`.
    pub gap: String,
    /// The constraint, index or grantee at fault, where there is one.
    pub detail: Option<String>,
}

impl Gap {
    /// Tells whether a well-kept server can have it, such as a login for its standby: it is named, and nothing more.
    pub fn is_hint(&self) -> bool {
        self.gap == "login_replicates"
    }
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.schema)?;
        if let Some(relation) = &self.relation {
            write!(f, ".{relation}")?;
        }
        write!(f, ": {}", self.gap)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

/// Lists the gaps in one tenant's schema, or in every tenant's when `schema` is `None`.
///
/// Reads the catalog and the registry alone, so that any login of the system may ask.
///
/// # Errors
/// What the database answers.
pub async fn check(
    db: &impl SystemExecutor,
    names: &RoleNames,
    schema: Option<&SchemaName>,
) -> Result<Vec<Gap>, DatabaseFailure> {
    let text = |role: SystemRole| Value::from(names.of(role).as_str().to_owned());
    let values = [
        Value::from(schema.map(|schema| schema.as_str().to_owned())),
        text(SystemRole::Owner),
        text(SystemRole::App),
        text(SystemRole::Provisioner),
    ];
    let statement =
        Statement::from_sql_and_values(DbBackend::Postgres, predicate::fill(QUERY, &TERMS), values);
    let failed = |error| DatabaseFailure::of("check the fences", &error);
    let mut gaps: Vec<Gap> = db.query_all(statement).await.map_err(failed)?;
    let schema = Value::from(schema.map(|schema| schema.as_str().to_owned()));
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, PLANTED_QUERY, [schema]);
    gaps.extend(db.query_all::<Gap>(statement).await.map_err(failed)?);
    gaps.sort();
    Ok(gaps)
}

/// Lists the gaps in the system's roles and rights. Reads the catalog alone, so that any login may ask.
///
/// # Errors
/// What the database answers.
pub async fn check_system(db: &impl SystemExecutor, names: &RoleNames) -> Result<Vec<Gap>, DatabaseFailure> {
    use SystemRole::{App, Backup, Control, Migrator, Owner, Provisioner, Registrar};
    let values = [Owner, Provisioner, Migrator, App, Backup, Control, Registrar]
        .map(|role| Value::from(names.of(role).as_str().to_owned()));
    let texts = functions::texts(names).into_iter().map(|text| JsonValue::from(text.to_vec())).collect();
    let mut routines = values.to_vec();
    routines.push(Value::from(JsonValue::Array(texts)));
    let mut gaps: Vec<Gap> = Vec::new();
    for (query, values) in [
        (SYSTEM_QUERY, values.to_vec()),
        (ROUTINE_QUERY, routines),
        (SERVER_QUERY, values.to_vec()),
        (PLANTED_QUERY, vec![Value::from(SYSTEM_SCHEMAS)]),
    ] {
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, query, values);
        gaps.extend(
            db.query_all(statement).await.map_err(|error| DatabaseFailure::of("check the roles", &error))?,
        );
    }
    gaps.sort();
    Ok(gaps)
}
