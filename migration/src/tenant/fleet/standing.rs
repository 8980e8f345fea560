//! How far each tenant's schema has come, by the registry.

use std::collections::{BTreeMap, BTreeSet};

use clinicx_persistence::SystemExecutor;
use clinicx_types::{
    id::TenantId,
    name::{ModuleName, NameError, SchemaName},
    version::{SchemaVersion, SchemaVersionError},
};
use sea_orm::{FromQueryResult, JsonValue, raw_sql};

use super::wave::Ring;
use crate::{
    failure::DatabaseFailure,
    tenant::{
        apply::Subject,
        limits::{AmbiguousVersion, Limits, Target},
        plan::{Plan, PlanError, version_of},
    },
};

/// Why the fleet could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The registry holds a name that is none.
    #[error("the registry holds a name that is none")]
    Name(#[from] NameError),
    /// The registry holds a schema version that is none.
    #[error("the registry holds a schema version that is none")]
    Version(#[from] SchemaVersionError),
    /// The database said no.
    #[error(transparent)]
    Database(#[from] DatabaseFailure),
}

/// Lists the tenants that have a schema, by slug.
///
/// # Errors
/// [`FleetError`].
pub async fn subjects(db: &impl SystemExecutor) -> Result<Vec<Subject>, FleetError> {
    rows(db).await?.into_iter().map(|row| row.subject().map_err(FleetError::from)).collect()
}

/// How far one tenant's schema has come, by the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The tenant.
    pub subject: Subject,
    /// Its slug.
    pub slug: String,
    /// Its state in the registry.
    pub status: String,
    /// The version of its schema.
    pub version: SchemaVersion,
    /// How many migrations each module has had, those that were taken from it among them.
    pub positions: BTreeMap<String, i32>,
    /// When it goes.
    pub ring: Ring,
    /// How far its modules go, when it is pinned.
    pub pin: Option<Limits>,
    /// The version to which it would be brought; `None` when that can't be said.
    pub target: Option<SchemaVersion>,
    /// How many migrations are between the two.
    pub pending: u32,
    /// How many migrations it has beyond the target.
    pub beyond: u32,
}

impl Standing {
    /// Returns how far its modules go in a run to this target: its pin stands.
    ///
    /// # Errors
    /// [`Unreachable`]: it has a module that the program lacks, or the target does not say enough.
    pub fn limits(&self, plan: &Plan, target: &Target) -> Result<Limits, Unreachable> {
        let plan = plan.of_modules(self.subject.modules.iter().map(ModuleName::as_str))?;
        let limits = target.limits(&plan)?;
        Ok(self.pin.as_ref().map_or_else(|| limits.clone(), |pin| limits.and(pin)))
    }

    /// Tells whether the program has migrations beyond what its pin lets it have.
    pub fn is_held_back(&self, plan: &Plan) -> bool {
        let Some(pin) = &self.pin else { return false };
        let counts = plan.counts();
        let has = |module: &ModuleName| self.subject.modules.contains(module);
        pin.iter().any(|(module, limit)| {
            has(module) && counts.get(module.as_str()).is_some_and(|count| limit < *count)
        })
    }
}

/// Why it can't be said where a tenant is to be brought.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Its modules don't fit the program's.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The target does not say enough.
    #[error(transparent)]
    Target(#[from] AmbiguousVersion),
}

/// Tells of every tenant that has a schema how far it has come, by slug. One query of the registry; the schemas
/// themselves are not looked at.
///
/// # Errors
/// [`FleetError`].
pub async fn standings(db: &impl SystemExecutor, plan: &Plan) -> Result<Vec<Standing>, FleetError> {
    standings_to(db, plan, &Target::Newest).await
}

/// As [`standings`], measured by another target than the newest.
///
/// # Errors
/// [`FleetError`].
pub async fn standings_to(
    db: &impl SystemExecutor,
    plan: &Plan,
    target: &Target,
) -> Result<Vec<Standing>, FleetError> {
    // Tenants have few different sets of modules.
    let mut plans: BTreeMap<BTreeSet<ModuleName>, Option<Plan>> = BTreeMap::new();
    let mut standings = Vec::new();
    for row in rows(db).await? {
        let mut standing = row.standing()?;
        let modules = &standing.subject.modules;
        let own = plans
            .entry(modules.clone())
            .or_insert_with(|| plan.of_modules(modules.iter().map(ModuleName::as_str)).ok());
        if let Some(own) = own {
            standing.measure(own, target);
        }
        standings.push(standing);
    }
    Ok(standings)
}

impl Standing {
    /// Tells how far it is to the target, for the plan of its own modules.
    fn measure(&mut self, own: &Plan, target: &Target) {
        let Ok(limits) = target.limits(own) else { return };
        let limits = self.pin.as_ref().map_or_else(|| limits.clone(), |pin| limits.and(pin));
        let mut aimed = self.positions.clone();
        for (module, count) in own.counts() {
            let has = self.positions.get(module).copied().unwrap_or_default();
            let wanted = limits.of(module).map_or(count, |limit| limit.min(count));
            self.pending += u32::try_from(wanted.saturating_sub(has)).unwrap_or_default();
            self.beyond += u32::try_from(has.saturating_sub(wanted)).unwrap_or_default();
            aimed.insert(module.to_owned(), wanted);
        }
        self.target = Some(version_of(aimed.iter().map(|(module, count)| (module.as_str(), *count))));
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: TenantId,
    slug: String,
    status: String,
    schema: String,
    schema_version: String,
    modules: String,
    positions: Option<JsonValue>,
    ring: Option<String>,
    pin: Option<JsonValue>,
}

impl Row {
    fn subject(&self) -> Result<Subject, NameError> {
        let names = self.modules.split(',').filter(|name| !name.is_empty());
        let modules = names.map(ModuleName::parse).collect::<Result<BTreeSet<_>, _>>()?;
        Ok(Subject { tenant_id: self.id, schema: SchemaName::parse(&self.schema)?, modules })
    }

    fn standing(self) -> Result<Standing, FleetError> {
        let subject = self.subject()?;
        let pairs = self.positions.as_ref().and_then(JsonValue::as_object).into_iter().flatten();
        let read = |(module, position): (&String, &JsonValue)| {
            Some((module.clone(), i32::try_from(position.as_i64()?).ok()?))
        };
        Ok(Standing {
            version: self.schema_version.parse()?,
            positions: pairs.filter_map(read).collect(),
            // The column's check lets nothing else in.
            ring: self.ring.and_then(|ring| ring.parse().ok()).unwrap_or_default(),
            pin: self.pin.as_ref().map(Limits::from_stored),
            target: None,
            pending: 0,
            beyond: 0,
            slug: self.slug,
            status: self.status,
            subject,
        })
    }
}

async fn rows(db: &impl SystemExecutor) -> Result<Vec<Row>, FleetError> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT t.id, t.slug, t.status, CAST(t.database_schema AS text) AS schema,
                  CAST(t.schema_version AS text) AS schema_version, array_to_string(t.modules, ',') AS modules,
                  m.positions, r.ring, r.pin
           FROM public.tenants AS t
           LEFT JOIN (
               SELECT tenant_id, jsonb_object_agg(module, schema_version) AS positions
               FROM public.tenant_modules
               GROUP BY tenant_id
           ) AS m ON m.tenant_id = t.id
           LEFT JOIN public.tenant_rollouts AS r ON r.tenant_id = t.id
           WHERE t.status IN ('active', 'suspended', 'archived')
           ORDER BY t.slug"#
    );
    let rows = db.query_all(statement).await;
    Ok(rows.map_err(|error| DatabaseFailure::of("list the tenants", &error))?)
}
