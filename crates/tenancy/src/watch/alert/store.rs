//! The alerts that are open, and those that are over.

use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemConnection, SystemExecutor, SystemTransaction};
use clinicx_types::{
    clock::IdSource,
    id::TenantId,
    page::{Page, PageRequest},
};
use schemars::JsonSchema;
use sea_orm::{
    DbBackend, DbErr, FromQueryResult, raw_sql,
    sea_query::{Alias, Expr, ExprTrait, JoinType, Order, Query, SelectStatement},
};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::rule::{AlertCode, Finding, Severity};

/// Opens the alerts of what was found, keeps those that are open already, and closes all others; returns how many are
/// open then.
///
/// # Errors
/// What the database answers; nothing is changed then.
pub async fn keep(
    db: &SystemConnection,
    ids: &dyn IdSource,
    found: &[(TenantId, Finding)],
) -> Result<u64, DbErr> {
    let rows = found.iter().map(|(tenant, finding)| {
        json!({
            "id": ids.next(), "tenant_id": tenant, "code": finding.code.as_str(),
            "severity": finding.severity.as_str(), "value": finding.value, "threshold": finding.threshold,
        })
    });
    let rows = serde_json::Value::Array(rows.collect());
    let tx = db.begin().await?;
    match write(&tx, rows).await {
        Ok(open) => tx.commit().await.map(|()| open),
        Err(error) => {
            // The reason is what counts; a roll-back that fails closes the connection.
            let _rolled_back = tx.rollback().await;
            Err(error)
        }
    }
}

async fn write(tx: &SystemTransaction, rows: serde_json::Value) -> Result<u64, DbErr> {
    let open = tx
        .execute(raw_sql!(
            Postgres,
            r#"INSERT INTO public.tenant_alerts AS a
                   (id, tenant_id, code, severity, value, threshold, raised_at, seen_at)
               SELECT r.id, r.tenant_id, r.code, r.severity, r.value, r.threshold, now(), now()
               FROM jsonb_to_recordset({rows}) AS r
                   (id uuid, tenant_id uuid, code text, severity text, value double precision,
                    threshold double precision)
               ON CONFLICT (tenant_id, code) WHERE cleared_at IS NULL DO UPDATE
               SET severity = EXCLUDED.severity, value = EXCLUDED.value, threshold = EXCLUDED.threshold,
                   seen_at = EXCLUDED.seen_at"#
        ))
        .await?;
    tx.execute(raw_sql!(
        Postgres,
        r#"UPDATE public.tenant_alerts SET cleared_at = now() WHERE cleared_at IS NULL AND seen_at < now()"#
    ))
    .await?;
    Ok(open)
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Alert {
    /// Names it.
    #[schemars(with = "Uuid")]
    pub id: Uuid,
    /// The tenant's slug.
    pub tenant: String,
    /// Which rule is broken.
    pub code: AlertCode,
    /// How soon somebody should look.
    pub severity: Severity,
    /// What was last measured: seconds of age (null: never), missing migrations, percent of growth or of failed requests.
    pub value: Option<f64>,
    /// From where on the rule is broken, in the same unit.
    pub threshold: Option<f64>,
    /// When it was first seen.
    pub raised_at: DateTime<Utc>,
    /// When it was last seen.
    pub seen_at: DateTime<Utc>,
    /// When it was over; null while it is open.
    pub cleared_at: Option<DateTime<Utc>>,
}

/// Which alerts are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Those of this tenant.
    pub tenant: Option<TenantId>,
    /// Those of this rule.
    pub code: Option<AlertCode>,
    /// Those that are open, or with `false` those that are over.
    pub is_open: Option<bool>,
}

/// Lists alerts, the newest first.
///
/// # Errors
/// What the database answers.
pub async fn list(
    db: &impl SystemExecutor,
    filter: &AlertFilter,
    page: &PageRequest,
) -> Result<Page<Alert>, DbErr> {
    let total = if page.count { Some(count(db, filter).await?) } else { None };
    let mut select = select(filter);
    select.expr(Expr::cust(
        "a.id, t.slug AS tenant, a.code, a.severity, a.value, a.threshold, a.raised_at, a.seen_at, a.cleared_at",
    ));
    let after = page.after.as_ref().and_then(|key| key.0.first()).and_then(|id| id.parse::<Uuid>().ok());
    if let Some(after) = after {
        select.and_where(Expr::cust("a.id").lt(after));
    }
    select.order_by_expr(Expr::cust("a.id"), Order::Desc).limit(u64::from(page.limit()) + 1);
    let rows: Vec<Row> = db.query_all(DbBackend::Postgres.build(&select)).await?;
    let alerts = rows.into_iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::from_rows(alerts, page, total, |alert| vec![alert.id.to_string()]))
}

async fn count(db: &impl SystemExecutor, filter: &AlertFilter) -> Result<u64, DbErr> {
    #[derive(FromQueryResult)]
    struct Count {
        alerts: i64,
    }
    let mut select = select(filter);
    select.expr_as(Expr::cust("count(*)"), Alias::new("alerts"));
    let row: Option<Count> = db.query_one(DbBackend::Postgres.build(&select)).await?;
    Ok(row.map_or(0, |row| u64::try_from(row.alerts).unwrap_or_default()))
}

fn select(filter: &AlertFilter) -> SelectStatement {
    let mut select = Query::select();
    select.from_as((Alias::new("public"), Alias::new("tenant_alerts")), Alias::new("a")).join_as(
        JoinType::InnerJoin,
        (Alias::new("public"), Alias::new("tenants")),
        Alias::new("t"),
        Expr::cust("t.id = a.tenant_id"),
    );
    if let Some(tenant) = filter.tenant {
        select.and_where(Expr::cust("a.tenant_id").eq(tenant.uuid()));
    }
    if let Some(code) = filter.code {
        select.and_where(Expr::cust("a.code").eq(code.as_str()));
    }
    match filter.is_open {
        Some(true) => select.and_where(Expr::cust("a.cleared_at IS NULL")),
        Some(false) => select.and_where(Expr::cust("a.cleared_at IS NOT NULL")),
        None => &mut select,
    };
    select
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    tenant: String,
    code: String,
    severity: String,
    value: Option<f64>,
    threshold: Option<f64>,
    raised_at: DateTime<Utc>,
    seen_at: DateTime<Utc>,
    cleared_at: Option<DateTime<Utc>>,
}

impl Row {
    /// A word that is none of ours is another version's.
    fn read(self) -> Result<Alert, DbErr> {
        let code = self.code.parse().map_err(|_| DbErr::Type("the code of an alert".to_owned()))?;
        Ok(Alert {
            id: self.id,
            tenant: self.tenant,
            code,
            severity: if self.severity == Severity::Critical.as_str() {
                Severity::Critical
            } else {
                Severity::Warning
            },
            value: self.value,
            threshold: self.threshold,
            raised_at: self.raised_at,
            seen_at: self.seen_at,
            cleared_at: self.cleared_at,
        })
    }
}
