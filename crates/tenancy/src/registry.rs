//! Reads the registry of tenants.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use clinicx_migration::tenant::apply;
use clinicx_persistence::{Failure, FailureKind, SystemConnection, SystemExecutor};
use clinicx_types::{
    id::TenantId,
    name::{ClusterName, DatabaseName, ModuleName, SchemaName, TenantSlug},
    page::{MAX_LIMIT, Page, PageRequest},
};
use sea_orm::{
    DbBackend, FromQueryResult, Statement,
    sea_query::{Alias, Cond, Expr, ExprTrait, Order, Query, SelectStatement},
};

use crate::{
    error::TenancyError,
    limits::TenantLimits,
    tenant::{Tenant, TenantStatus},
};

/// The columns of [`Row`], in a form that needs no further join.
const COLUMNS: &str = "\
t.id, t.slug, t.name, t.status, CAST(t.database_schema AS text) AS database_schema, \
CAST(t.schema_version AS text) AS schema_version, CAST(t.cluster AS text) AS cluster, \
CAST(t.database_name AS text) AS database_name, t.isolation, t.region, t.plan, t.limits, t.time_zone, \
CAST(t.currency AS text) AS currency, t.locale, t.version, t.created_at, t.updated_at, \
array_to_string(t.modules, ',') AS modules, \
(SELECT jsonb_object_agg(m.module, m.schema_version) FROM public.tenant_modules AS m WHERE m.tenant_id = t.id) \
AS positions";

/// Which tenants are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantFilter {
    /// Those in this state; every state but `purged` unless it is named.
    pub status: Option<TenantStatus>,
    /// Those whose slug or name contains this, whatever the case.
    pub q: Option<String>,
    /// Those on this cluster.
    pub cluster: Option<ClusterName>,
}

/// Lists tenants by slug, a page at a time.
///
/// # Errors
/// [`TenancyError::Database`].
pub async fn list(
    db: &impl SystemExecutor,
    filter: &TenantFilter,
    page: &PageRequest,
) -> Result<Page<Tenant>, TenancyError> {
    let mut select = select();
    narrow(&mut select, filter);
    let total = if page.count { Some(count(db, filter).await?) } else { None };
    if let Some(slug) = page.after.as_ref().and_then(|key| key.0.first()) {
        select.and_where(Expr::cust("t.slug").gt(slug.as_str()));
    }
    select.order_by_expr(Expr::cust("t.slug"), Order::Asc).limit(u64::from(page.limit()) + 1);
    let rows: Vec<Row> = db.query_all(DbBackend::Postgres.build(&select)).await?;
    let tenants = rows.into_iter().map(Tenant::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::from_rows(tenants, page, total, |tenant| vec![tenant.slug.to_string()]))
}

/// Lists all tenants by slug, read a page at a time.
///
/// # Errors
/// [`TenancyError::Database`].
pub async fn list_all(db: &impl SystemExecutor, filter: &TenantFilter) -> Result<Vec<Tenant>, TenancyError> {
    let mut page = PageRequest::first(MAX_LIMIT).unwrap_or_default();
    let mut all = Vec::new();
    loop {
        let found = list(db, filter, &page).await?;
        all.extend(found.items);
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(all),
        }
    }
}

/// Finds a tenant by its slug, in whatever state.
///
/// # Errors
/// [`TenancyError::Database`].
pub async fn find_by_slug(
    db: &impl SystemExecutor,
    slug: &TenantSlug,
) -> Result<Option<Tenant>, TenancyError> {
    one(db, select().and_where(Expr::cust("t.slug").eq(slug.as_str()))).await
}

/// Finds a tenant by its id, in whatever state.
///
/// # Errors
/// [`TenancyError::Database`].
pub async fn find_by_id(db: &impl SystemExecutor, id: TenantId) -> Result<Option<Tenant>, TenancyError> {
    one(db, select().and_where(Expr::cust("t.id").eq(id.uuid()))).await
}

/// Returns a tenant by its slug, in whatever state.
///
/// # Errors
/// [`TenancyError::UnknownTenant`], [`TenancyError::Database`].
pub async fn get_by_slug(db: &impl SystemExecutor, slug: &TenantSlug) -> Result<Tenant, TenancyError> {
    find_by_slug(db, slug).await?.ok_or(TenancyError::UnknownTenant)
}

/// Tells whether a tenant's schema is being made or migrated at this moment.
///
/// # Errors
/// [`TenancyError::Database`].
pub async fn is_being_migrated(db: &SystemConnection, tenant: &Tenant) -> Result<bool, TenancyError> {
    #[derive(FromQueryResult)]
    struct Found {
        migrating: bool,
    }
    // On a connection and not in a transaction: the look takes the lock for the one statement alone.
    let text = apply::look_statement(&tenant.database_schema);
    let found: Option<Found> = db.query_one(Statement::from_string(DbBackend::Postgres, text)).await?;
    Ok(found.is_some_and(|found| found.migrating))
}

/// Returns a tenant by its slug and locks its row until the end of the transaction.
pub(crate) async fn lock_by_slug(
    db: &impl SystemExecutor,
    slug: &TenantSlug,
) -> Result<Tenant, TenancyError> {
    let mut select = select();
    select.and_where(Expr::cust("t.slug").eq(slug.as_str())).lock(sea_orm::sea_query::LockType::Update);
    one(db, &select).await?.ok_or(TenancyError::UnknownTenant)
}

async fn one(db: &impl SystemExecutor, select: &SelectStatement) -> Result<Option<Tenant>, TenancyError> {
    let row: Option<Row> = db.query_one(DbBackend::Postgres.build(select)).await?;
    row.map(Tenant::try_from).transpose()
}

async fn count(db: &impl SystemExecutor, filter: &TenantFilter) -> Result<u64, TenancyError> {
    #[derive(FromQueryResult)]
    struct Count {
        tenants: i64,
    }
    let mut select = Query::select();
    select
        .expr_as(Expr::cust("count(*)"), Alias::new("tenants"))
        .from_as((Alias::new("public"), Alias::new("tenants")), Alias::new("t"));
    narrow(&mut select, filter);
    let row: Option<Count> = db.query_one(DbBackend::Postgres.build(&select)).await?;
    Ok(row.map_or(0, |row| u64::try_from(row.tenants).unwrap_or_default()))
}

fn select() -> SelectStatement {
    let mut select = Query::select();
    select.expr(Expr::cust(COLUMNS)).from_as((Alias::new("public"), Alias::new("tenants")), Alias::new("t"));
    select
}

fn narrow(select: &mut SelectStatement, filter: &TenantFilter) {
    match filter.status {
        Some(status) => select.and_where(Expr::cust("t.status").eq(status.as_str())),
        None => select.and_where(Expr::cust("t.status").ne(TenantStatus::Purged.as_str())),
    };
    if let Some(cluster) = &filter.cluster {
        select.and_where(Expr::cust("t.cluster").eq(cluster.as_str()));
    }
    if let Some(q) = filter.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
        let pattern = format!("%{}%", escape_like(&q.to_lowercase()));
        select.cond_where(
            Cond::any()
                .add(Expr::cust_with_values("t.slug LIKE $1", [pattern.clone()]))
                .add(Expr::cust_with_values("lower(t.name) LIKE $1", [pattern])),
        );
    }
}

/// Takes their special meaning from the characters of a LIKE pattern.
fn escape_like(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[derive(FromQueryResult)]
struct Row {
    id: TenantId,
    slug: String,
    name: String,
    status: String,
    database_schema: String,
    schema_version: String,
    cluster: String,
    database_name: Option<String>,
    isolation: String,
    region: Option<String>,
    plan: Option<String>,
    limits: serde_json::Value,
    time_zone: String,
    currency: String,
    locale: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    modules: String,
    positions: Option<serde_json::Value>,
}

impl TryFrom<Row> for Tenant {
    type Error = TenancyError;
    fn try_from(row: Row) -> Result<Self, TenancyError> {
        let slug = row.slug.clone();
        row.parse().ok_or_else(|| {
            tracing::error!(tenant.slug = slug, "the registry holds a tenant that cannot be read");
            TenancyError::Database(Failure { kind: FailureKind::Internal, sqlstate: None, constraint: None })
        })
    }
}

impl Row {
    /// Reads the words of a row; the database's checks let nothing else in, so that `None` is a defect.
    fn parse(self) -> Option<Tenant> {
        let names = self.modules.split(',').filter(|name| !name.is_empty());
        let modules = names.map(|name| ModuleName::parse(name).ok()).collect::<Option<BTreeSet<_>>>()?;
        let positions = self.positions.as_ref().and_then(serde_json::Value::as_object).into_iter().flatten();
        let position = |(module, position): (&String, &serde_json::Value)| {
            Some((ModuleName::parse(module).ok()?, i32::try_from(position.as_i64()?).ok()?))
        };
        Some(Tenant {
            positions: positions.map(position).collect::<Option<_>>()?,
            id: self.id,
            slug: TenantSlug::parse(&self.slug).ok()?,
            name: self.name,
            status: self.status.parse().ok()?,
            database_schema: SchemaName::parse(&self.database_schema).ok()?,
            schema_version: self.schema_version.parse().ok()?,
            modules,
            isolation: self.isolation.parse().ok()?,
            cluster: ClusterName::parse(&self.cluster).ok()?,
            database: self.database_name.map(|name| DatabaseName::parse(&name)).transpose().ok()?,
            region: self.region,
            plan: self.plan,
            limits: TenantLimits::from_stored(&self.limits),
            time_zone: self.time_zone.parse().ok()?,
            currency: self.currency.parse().ok()?,
            locale: self.locale,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}
