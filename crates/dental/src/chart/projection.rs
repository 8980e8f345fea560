//! Puts a chart together from what was recorded. Pure: no clock, no database.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use clinicx_core::{PatientId, local_time};

use super::{
    dto::{Chart, ChartFinding, ChartTooth, ChartTreatment},
    standing::Standing,
};
use crate::{
    DentalChartId, TreatmentId, finding, notation::Notation, presence, procedure_code::Effect, tooth::Tooth,
    treatment, treatment::Status,
};

/// What a chart is made of: everything that was recorded and is no error.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whose chart it is.
    pub patient_id: PatientId,
    /// The version, the first and the last change.
    pub revision: (i64, DateTime<Utc>, DateTime<Utc>),
    /// What became of each tooth until the end of the day, oldest first.
    pub presence: BTreeMap<Tooth, Vec<presence::entity::Model>>,
    /// The findings that were there as of the day, each with the status that it had then.
    pub findings: Vec<finding::entity::Model>,
    /// Treatments, whether or not they were done or planned as of the day.
    pub treatments: Vec<treatment::entity::Model>,
    /// The moves of those that were begun and had not ended as of the day, by what was recorded first.
    pub moves: BTreeMap<TreatmentId, Vec<treatment::history::entity::Model>>,
}

/// Makes a chart as of the end of a day of the clinic's calendar.
///
/// On a tooth that is gone or replaced there is nothing of what was found or done before. What was planned stands where
/// it stood then, whatever has become of it since.
pub fn project(facts: &Facts, as_of: NaiveDate, zone: Tz, notation: Notation) -> Chart {
    let standing = Standing { facts, as_of, zone };
    let by = |at| standing.by(at);
    let done = |row: &&treatment::entity::Model| row.status == Status::Completed && by(row.completed_at);
    let planned = |row: &&treatment::entity::Model| by(Some(row.created_at)) && !by(row.ended_at);
    let (done, planned): (Vec<_>, Vec<_>) =
        (facts.treatments.iter().filter(done).collect(), facts.treatments.iter().filter(planned).collect());
    let planned_of = |row: &treatment::entity::Model| ChartTreatment {
        status: standing.status(row),
        flag: standing.flag(row),
        completed_at: None,
        ..treatment_of(row)
    };
    let (version, created_at, updated_at) = facts.revision;
    let teeth = Tooth::ALL.map(|tooth| {
        let events = facts.presence.get(&tooth).map(Vec::as_slice).unwrap_or_default();
        let (event, losses) = (events.last(), presence::losses_of_gone(events));
        let found = |row: &&finding::entity::Model| {
            let before =
                |loss: &&presence::entity::Model| presence::is_after(loss, row.onset_on, row.id.uuid());
            row.tooth == tooth && !losses.iter().any(before)
        };
        let kept: Vec<_> = done
            .iter()
            .copied()
            .filter(|row| losses.iter().all(|loss| outlasts(row, loss, &facts.treatments, zone)))
            .collect();
        ChartTooth {
            tooth: notation.write(tooth),
            notation,
            fdi: tooth,
            dentition: tooth.dentition(),
            presence: event.map(|event| event.state),
            presence_since: event.map(|event| event.effective_on),
            findings: facts.findings.iter().filter(found).map(finding_of).collect(),
            treatments: on_tooth(&kept, tooth, treatment_of),
            planned: on_tooth(&planned, tooth, planned_of),
        }
    });
    Chart {
        id: DentalChartId::new(facts.patient_id.uuid()),
        version,
        created_at,
        updated_at,
        patient_id: facts.patient_id,
        as_of,
        notation,
        charted: teeth.iter().any(|tooth| {
            tooth.presence.is_some() || !tooth.findings.is_empty() || !tooth.treatments.is_empty()
        }),
        teeth: teeth.to_vec(),
        treatments: elsewhere(&done, treatment_of),
        planned: elsewhere(&planned, planned_of),
    }
}

/// Tells whether work that was done is still there after a tooth was lost: what caused the loss, what was done later,
/// and what fills gaps on the same day.
fn outlasts(
    row: &treatment::entity::Model,
    loss: &presence::entity::Model,
    all: &[treatment::entity::Model],
    zone: Tz,
) -> bool {
    let Some(at) = row.completed_at else { return true };
    let day = local_time::local_date(at, zone);
    if loss.treatment_id == Some(row.id) || day > loss.effective_on {
        return true;
    }
    if day < loss.effective_on {
        return false;
    }
    let cause = all.iter().find(|cause| loss.treatment_id == Some(cause.id));
    let lost_at = cause.and_then(|cause| cause.completed_at).unwrap_or(loss.created_at);
    row.effect.is_some_and(Effect::fills_gaps) || (!loss.state.is_gone() && at >= lost_at)
}

fn on_tooth(
    rows: &[&treatment::entity::Model],
    tooth: Tooth,
    shown: impl Fn(&treatment::entity::Model) -> ChartTreatment,
) -> Vec<ChartTreatment> {
    rows.iter().filter(|row| row.tooth_list().contains(&tooth)).map(|row| shown(row)).collect()
}

fn elsewhere(
    rows: &[&treatment::entity::Model],
    shown: impl Fn(&treatment::entity::Model) -> ChartTreatment,
) -> Vec<ChartTreatment> {
    rows.iter().filter(|row| row.teeth.is_empty()).map(|row| shown(row)).collect()
}

fn finding_of(row: &finding::entity::Model) -> ChartFinding {
    ChartFinding {
        id: row.id,
        code: row.code,
        surfaces: crate::surface::SurfaceSet::stored(&row.surfaces),
        severity: row.severity,
        status: row.status,
        onset_on: row.onset_on,
    }
}

fn treatment_of(row: &treatment::entity::Model) -> ChartTreatment {
    ChartTreatment {
        id: row.id,
        procedure_code: row.procedure_code.clone(),
        procedure_name: row.procedure_name.clone(),
        category: row.category,
        effect: row.effect,
        status: row.status,
        flag: row.flag,
        area: row.area,
        region: row.region,
        surfaces: row.surface_set(),
        staff_id: row.staff_id,
        completed_at: row.completed_at,
    }
}
