//! Makes a tenant: registry row, data key, role, schema, tables, ledger and first administrator in one transaction.
//!
//! Nobody sees anything of it before the commit, and the server undoes all of it when the commit does not come:
//! an error, a killed process or backend, or a dropped future leaves nothing behind.

use clinicx_keys::{
    DataKey,
    store::{self, StoredKey},
};
use clinicx_migration::{
    owner::{OwnerConnection, OwnerTransaction},
    tenant::{Plan, apply, render, script::ScriptTarget},
};
use clinicx_persistence::{Failure, SystemExecutor};
use clinicx_types::{
    id::TenantId,
    name::{ModuleName, SchemaName},
};
use sea_orm::{DbErr, Statement, raw_sql};
use serde_json::json;

use crate::{
    audit,
    draft::{NewTenant, Tombstone},
    error::TenancyError,
    limits::TenantLimits,
    scope::PlatformScope,
    service::Tenancy,
    tenant::{Tenant, TenantStatus},
};

/// The settings of a creation: how long it waits for another of the same slug, and how long a step may take.
const SETTINGS: &str = "SET LOCAL lock_timeout TO '30s'; SET LOCAL statement_timeout TO '120s'";
/// The version of a tenant's first data key.
pub(crate) const FIRST_KEY: u16 = 1;

impl Tenancy {
    /// Makes a tenant that is ready to serve, with `finish` (its first administrator, say) in the same
    /// transaction. Writes an audit row.
    ///
    /// Of several at once with one slug exactly one succeeds.
    ///
    /// # Errors
    /// [`TenancyError::SlugTaken`], [`TenancyError::NameTaken`], [`TenancyError::Invalid`] when the modules don't fit,
    /// [`TenancyError::Keys`], [`TenancyError::Database`].
    #[tracing::instrument(name = "tenancy.create", skip_all, fields(tenant.id = %new.id, tenant.slug = %new.slug))]
    pub async fn create(
        &self,
        new: NewTenant,
        by: &PlatformScope,
        finish: Vec<Statement>,
    ) -> Result<Tenant, TenancyError> {
        let plan = self
            .modules()
            .plan()
            .of_modules(new.modules.iter().map(ModuleName::as_str))
            .map_err(|error| TenancyError::field("/modules", "unknown_module", &error.to_string()))?;
        let tenant = describe(new.clone(), &plan, by);
        let target = target(tenant.id, &tenant.database_schema);
        // Before the transaction: wrapping may ask a service on another machine.
        let key = DataKey::random()?.wrap(self.keys(), tenant.id, FIRST_KEY).await?;
        let _turn = self.turn().await;
        let connection = self.owner_connection().await?;
        let tx = open(connection, &target).await?;
        match fill(&tx, &Made { tenant: &tenant, plan: &plan, key: &key }, new.tombstone, by, finish).await {
            Ok(()) => {
                let connection =
                    tx.commit().await.map_err(|failure| TenancyError::Database(failure.failure))?;
                self.park(connection).await;
                tracing::info!(schema.version = %tenant.schema_version, "tenant created");
                Ok(tenant)
            }
            Err(error) => {
                // A connection that can't even roll back is closed, which rolls back too.
                if let Ok(connection) = tx.rollback().await {
                    self.park(connection).await;
                }
                Err(error)
            }
        }
    }
}

/// Returns for whom a tenant's scripts are written.
pub(crate) fn target(tenant_id: TenantId, schema: &SchemaName) -> ScriptTarget {
    ScriptTarget { tenant_id, schema: schema.clone(), role: Some(schema.role()) }
}

pub(crate) fn describe(new: NewTenant, plan: &Plan, by: &PlatformScope) -> Tenant {
    let now = by.now();
    Tenant {
        id: new.id,
        database_schema: new.slug.schema(),
        slug: new.slug,
        name: new.name,
        status: TenantStatus::Active,
        schema_version: plan.version(),
        positions: new
            .modules
            .iter()
            .map(|module| (module.clone(), plan.counts().get(module.as_str()).copied().unwrap_or_default()))
            .collect(),
        modules: new.modules,
        isolation: new.isolation,
        cluster: new.cluster,
        database: None,
        region: new.region,
        plan: new.plan,
        limits: TenantLimits::default(),
        time_zone: new.time_zone,
        currency: new.currency,
        locale: new.locale,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

pub(crate) async fn open(
    connection: OwnerConnection,
    target: &ScriptTarget,
) -> Result<OwnerTransaction, TenancyError> {
    let settings = format!("{SETTINGS}; {}", render::settings(target));
    connection.begin(&settings).await.map_err(|failure| TenancyError::Database(failure.failure))
}

/// What goes into the database.
struct Made<'a> {
    tenant: &'a Tenant,
    plan: &'a Plan,
    key: &'a StoredKey,
}

async fn fill(
    tx: &OwnerTransaction,
    made: &Made<'_>,
    tombstone: Tombstone,
    by: &PlatformScope,
    finish: Vec<Statement>,
) -> Result<(), TenancyError> {
    let Made { tenant, plan, key } = *made;
    register(tx, tenant, key, tombstone).await?;
    let script = format!("{};\n{}", structure(tenant, plan), activation(tenant));
    make(tx, script).await?;
    for statement in finish {
        tx.execute(statement).await?;
    }
    let after = json!({
        "slug": tenant.slug, "modules": tenant.modules, "schema_version": tenant.schema_version,
        "cluster": tenant.cluster, "isolation": tenant.isolation,
    });
    let action = audit::Action::on_tenant("tenant.created", tenant.id, None, Some(after));
    tx.execute(audit::statement(by, action)).await?;
    Ok(())
}

/// Writes the tenant's row and its first key.
pub(crate) async fn register(
    tx: &OwnerTransaction,
    tenant: &Tenant,
    key: &StoredKey,
    tombstone: Tombstone,
) -> Result<(), TenancyError> {
    if tombstone == Tombstone::Remove {
        let slug = tenant.slug.as_str();
        let remove =
            raw_sql!(Postgres, r#"DELETE FROM public.tenants WHERE slug = {slug} AND status = 'purged'"#);
        tx.execute(remove).await?;
    }
    tx.execute(registry_row(tenant)).await.map_err(taken)?;
    tx.execute(store::insert_first(key)).await?;
    Ok(())
}

/// Runs what makes the schema.
pub(crate) async fn make(tx: &OwnerTransaction, script: String) -> Result<(), TenancyError> {
    tx.run("make the tenant's schema", script).await.map_err(|failure| {
        // The schema or the role stands there without a tenant: another installation of the cluster has it.
        match failure.sqlstate() {
            Some("42P06" | "42710") => TenancyError::NameTaken,
            _ => TenancyError::Database(failure.failure),
        }
    })
}

/// The row as it is until the schema stands: nothing routes to it, and nobody else sees it.
fn registry_row(tenant: &Tenant) -> Statement {
    let id = tenant.id;
    let (slug, name, schema) = (tenant.slug.as_str(), tenant.name.as_str(), tenant.database_schema.as_str());
    let (cluster, isolation) = (tenant.cluster.as_str(), tenant.isolation.as_str());
    let (region, plan, limits) =
        (tenant.region.as_deref(), tenant.plan.as_deref(), tenant.limits.to_stored());
    let (time_zone, currency, locale) =
        (tenant.time_zone.name(), tenant.currency.code(), tenant.locale.as_str());
    let now = tenant.created_at;
    raw_sql!(
        Postgres,
        r#"INSERT INTO public.tenants
               (id, slug, name, status, database_schema, cluster, isolation, region, plan, limits, time_zone,
                currency, locale, created_at, updated_at)
           VALUES ({id}, {slug}, {name}, 'provisioning', {schema}, {cluster}, {isolation}, {region}, {plan}, {limits},
                   {time_zone}, {currency}, {locale}, {now}, {now})"#
    )
}

/// Everything from the schema to the row's modules, as one batch: one round trip. It holds no word of the caller's; ids,
/// names and numbers have been parsed into types that need no escaping.
pub(crate) fn structure(tenant: &Tenant, plan: &Plan) -> String {
    let (id, schema) = (tenant.id, tenant.database_schema.literal());
    format!(
        "SELECT public.create_tenant_schema('{id}', {schema});\n{lock};\n{tables}",
        lock = apply::lock_statement(&tenant.database_schema),
        tables = tables(tenant, plan),
    )
}

/// As [`structure`], for a schema that is there and locked: its tables go, with everything in them.
pub(crate) fn replacement(tenant: &Tenant, plan: &Plan) -> String {
    let (id, schema) = (tenant.id, tenant.database_schema.literal());
    format!(
        "DO $do$ DECLARE v_table text; BEGIN\n\
         FOR v_table IN SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p') AND NOT c.relispartition\n\
         LOOP EXECUTE 'DROP TABLE ' || v_table || ' CASCADE'; END LOOP; END $do$;\n\
         DELETE FROM public.tenant_modules WHERE tenant_id = '{id}';\n\
         UPDATE public.tenants SET version = version + 1, updated_at = now() WHERE id = '{id}';\n\
         {tables}",
        tables = tables(tenant, plan),
    )
}

fn tables(tenant: &Tenant, plan: &Plan) -> String {
    let id = tenant.id;
    let counts = plan.counts();
    let row = |(module, count): (&&str, &i32)| {
        let enabled = tenant.modules.iter().any(|name| name.as_str() == *module);
        format!("('{id}', '{module}', {count}, {enabled})")
    };
    let modules: Vec<String> = counts.iter().map(row).collect();
    let names: Vec<&str> = tenant.modules.iter().map(ModuleName::as_str).collect();
    format!(
        "{tables}\
         INSERT INTO public.tenant_modules (tenant_id, module, schema_version, enabled) VALUES {modules};\n\
         UPDATE public.tenants SET schema_version = '{version}', modules = '{{{names}}}' WHERE id = '{id}'",
        tables = render::whole(plan, &target(tenant.id, &tenant.database_schema)),
        modules = modules.join(", "),
        names = names.join(","),
        version = plan.version(),
    )
}

/// Makes the tenant routable.
pub(crate) fn activation(tenant: &Tenant) -> String {
    format!("UPDATE public.tenants SET status = 'active' WHERE id = '{}'", tenant.id)
}

fn taken(error: DbErr) -> TenancyError {
    let failure = Failure::of(&error);
    if failure.broke("ux_tenants__slug") || failure.broke("ux_tenants__database_schema") {
        TenancyError::SlugTaken
    } else {
        TenancyError::Database(failure)
    }
}
