//! Operations on charts.

use chrono::Days;
use clinicx_core::{
    CoreError, PatientId, change, local_time,
    patient::{self, PatientStatus},
};
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use sea_orm::{ConnectionTrait, EntityTrait, raw_sql};
use serde_json::json;

use super::{
    dto::{Chart, ChartView, UpdateChart},
    entity::{Entity, Model},
    projection::{Facts, project},
};
use crate::{
    DentalChartId, error::DentalError, event, finding, notation::Notation, presence, reference, trace,
    treatment,
};

const THING: &str = "dental chart";

/// Returns a patient's chart. One to whom nothing was charted has one, on which nothing is known.
///
/// Needs `dental_chart.read`.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Database`].
#[tracing::instrument(name = "dental.chart.get", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn get(
    db: &impl TenantScoped,
    scope: &TenantScope,
    patient_id: PatientId,
    view: ChartView,
) -> Result<Chart, DentalError> {
    let patient = require_patient(db, patient_id).await?;
    let row = Entity::find_by_id(DentalChartId::new(patient_id.uuid())).one(db).await?;
    let preferred = row.as_ref().map_or(Notation::default(), |row| row.notation);
    let revision = row.map_or((0, patient.created_at, patient.created_at), |row: Model| {
        (row.version, row.created_at, row.updated_at)
    });
    let as_of = view.as_of.unwrap_or_else(|| reference::today(scope));
    let until = as_of
        .checked_add_days(Days::new(1))
        .and_then(|next| local_time::start_of_day(next, scope.time_zone))
        .ok_or_else(|| DentalError::invalid("?as_of", "out_of_range", "must be a day of the calendar"))?;
    let treatments = treatment::found_until(db, patient_id, until).await?;
    let is_under_way = |row: &&treatment::entity::Model| {
        row.started_at.is_some_and(|at| at < until) && row.ended_at.is_none_or(|at| at >= until)
    };
    let under_way = treatments.iter().filter(is_under_way).map(|row| row.id);
    let moves = treatment::moves(db, under_way).await?;
    let facts = Facts {
        patient_id,
        revision,
        presence: presence::history(db, patient_id, as_of).await?,
        findings: finding::as_of(db, patient_id, as_of).await?,
        treatments,
        moves,
    };
    Ok(project(&facts, as_of, scope.time_zone, view.notation.unwrap_or(preferred)))
}

/// Changes how a patient's chart is shown.
///
/// Needs `dental_chart.write`. Leaves an audit row and an event.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::Stale`] unless `expected` is
/// `None` or the present version, which is zero before the first change; [`CoreError::Database`].
#[tracing::instrument(name = "dental.chart.update", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn update(
    tx: &TenantTransaction,
    scope: &TenantScope,
    patient_id: PatientId,
    expected: Option<i64>,
    input: UpdateChart,
) -> Result<Chart, DentalError> {
    // Locks first: the version that is compared stays what it is.
    lock(tx, scope, patient_id).await?;
    let id = DentalChartId::new(patient_id.uuid());
    let row = Entity::find_by_id(id).one(tx).await?.ok_or(DentalError::not_found(THING))?;
    // The lock has raised the version by one.
    change::expect_version(THING, expected, row.version.saturating_sub(1))?;
    let notation = input.notation.as_str();
    let uuid = id.uuid();
    tx.execute_raw(raw_sql!(Postgres, r#"UPDATE dental_charts SET notation = {notation} WHERE id = {uuid}"#))
        .await?;
    let subject = trace::Subject {
        event: event::DENTAL_CHART_UPDATED,
        aggregate: "dental_chart",
        id: uuid,
        patient_id: Some(patient_id),
    };
    let (old, new) = (json!({ "notation": row.notation }), json!({ "notation": input.notation }));
    trace::changed(tx, scope, subject, &old, &new).await?;
    get(tx, scope, patient_id, ChartView::default()).await
}

/// Locks a patient's chart until the transaction ends, and raises its version. Whatever changes what a chart shows
/// does this first, so that what it finds out about the teeth stays true.
///
/// # Errors
/// [`CoreError::NotFound`] and [`CoreError::PatientGone`] for the patient; [`CoreError::RefusedTransition`] when the
/// record was entered in error; [`CoreError::Database`].
pub(crate) async fn lock(
    tx: &TenantTransaction,
    scope: &TenantScope,
    patient_id: PatientId,
) -> Result<(), DentalError> {
    patient::require(tx, scope, patient_id).await?;
    let (id, now) = (patient_id.uuid(), scope.now());
    let raised = raw_sql!(
        Postgres,
        r#"UPDATE dental_charts SET version = version + 1, updated_at = {now} WHERE id = {id}"#
    );
    if tx.execute_raw(raised).await?.rows_affected() > 0 {
        return Ok(());
    }
    // Those who chart a patient first take turns: ON CONFLICT looks at one of the table's two unique indexes only.
    let turn = format!("chart of {id}");
    let waited = raw_sql!(
        Postgres,
        r#"SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({turn}, 0))"#
    );
    tx.execute_raw(waited).await?;
    let statement = raw_sql!(
        Postgres,
        r#"INSERT INTO dental_charts (id, patient_id, version, created_at, updated_at)
           VALUES ({id}, {id}, 1, {now}, {now})
           ON CONFLICT (id) DO UPDATE
           SET version = dental_charts.version + 1, updated_at = excluded.updated_at"#
    );
    tx.execute_raw(statement).await?;
    Ok(())
}

/// Makes sure that a patient's record can be read.
///
/// # Errors
/// [`CoreError::NotFound`]; [`CoreError::PatientGone`]; [`CoreError::Database`].
pub(crate) async fn require_patient(
    db: &impl TenantScoped,
    id: PatientId,
) -> Result<patient::entity::Model, DentalError> {
    let found = patient::entity::Entity::find_by_id(id).one(db).await?;
    let row = found.ok_or(DentalError::not_found("patient"))?;
    match row.status {
        PatientStatus::Merged | PatientStatus::Erased => Err(CoreError::PatientGone {
            status: row.status.as_str(),
            survivor: row.merged_into_id.map(PatientId::uuid),
        }
        .into()),
        PatientStatus::Active | PatientStatus::Inactive | PatientStatus::EnteredInError => Ok(row),
    }
}
