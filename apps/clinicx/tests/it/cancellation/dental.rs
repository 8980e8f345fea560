//! The operations of the module `dental`.

use clinicx_core::{
    PatientId,
    charge::{Charges, NoCharges},
};
use clinicx_dental::{
    DentalError, LabCaseId, PerioExamId, ProcedureCodeId, ToothFindingId, ToothPresenceEventId, TreatmentId,
    TreatmentPlanId,
    chart::{self, ChartView},
    finding::{self, FindingFilter},
    lab_case::{self, LabAction, LabCaseFilter},
    odontogram,
    perio::{self, PerioFilter},
    presence::{self, PresenceFilter},
    procedure_code::{self, ProcedureCodeFilter},
    treatment::{self, Action, TreatmentFilter},
    treatment_plan::{self, PlanAction, PlanFilter},
};
use clinicx_persistence::TenantTransaction;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    clinic::{self, Call, Clinic, Manner},
    paths::{Answer, Path, Subject, Work, no_query, page, path},
};

/// To what of the module it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Thing {
    Chart,
    Presence,
    Finding,
    WatchedFinding,
    Exam,
    Planned,
    Begun,
    Held,
    Draft,
    Accepted,
    Case,
    SentCase,
    ReceivedCase,
    Code,
}

/// Makes such a thing; all but charts are of the clinic's one patient.
pub(super) async fn prepare(clinic: &Clinic, thing: Thing) -> clinic::Thing {
    let patient = clinic::Thing { id: clinic.patient().uuid(), version: 1 };
    let made = async |id| clinic.done_to(id, patient).await;
    match thing {
        Thing::Chart => {
            clinic::Thing { version: 0, ..clinic.done_to("create_patient", clinic::Thing::default()).await }
        }
        Thing::Presence => made("record_tooth_presence").await,
        Thing::Finding => made("record_tooth_finding").await,
        Thing::WatchedFinding => {
            clinic.done_to("watch_tooth_finding", made("record_tooth_finding").await).await
        }
        Thing::Exam => made("record_perio_exam").await,
        Thing::Planned => made("create_treatment").await,
        Thing::Begun => clinic.done_to("start_treatment", made("create_treatment").await).await,
        Thing::Held => {
            let begun = clinic.done_to("start_treatment", made("create_treatment").await).await;
            clinic.done_to("hold_treatment", begun).await
        }
        Thing::Draft => draft(clinic, patient).await,
        Thing::Accepted => clinic.done_to("accept_treatment_plan", draft(clinic, patient).await).await,
        Thing::Case => made("create_lab_case").await,
        Thing::SentCase => clinic.done_to("send_lab_case", made("create_lab_case").await).await,
        Thing::ReceivedCase => {
            let sent = clinic.done_to("send_lab_case", made("create_lab_case").await).await;
            clinic.done_to("receive_lab_case", sent).await
        }
        Thing::Code => made("create_procedure_code").await,
    }
}

async fn draft(clinic: &Clinic, patient: clinic::Thing) -> clinic::Thing {
    let treatment = clinic.done_to("create_treatment", patient).await;
    let creating = path("create_treatment_plan");
    let mut call = clinic.call(creating, patient);
    call.body = json!({"items": [{"treatment_id": treatment.id}]});
    clinic::thing(&call.run(creating, Manner::Plain).await.unwrap())
}

/// What an operation answers; what only this module refuses is never wanted here.
fn shown<T: Serialize>(result: Result<T, DentalError>) -> Answer {
    match result {
        Ok(value) => Ok(serde_json::to_value(value).unwrap()),
        Err(DentalError::Core(error)) => Err(error),
        Err(error) => panic!("{error:?}"),
    }
}

fn nothing(_: &Call) -> Value {
    json!({})
}

fn patient(call: &Call) -> PatientId {
    PatientId::new(call.subject.id)
}

fn found<'a>(tx: &'a TenantTransaction, call: &'a Call, step: &'static str) -> BoxFuture<'a, Answer> {
    Box::pin(async move {
        let id = ToothFindingId::new(call.subject.id);
        let revision = (call.patient, id, Some(call.subject.version));
        let (scope, cipher) = (&call.scope, &call.cipher);
        shown(match step {
            "watch" => finding::watch(tx, scope, cipher, revision).await,
            "activate" => finding::activate(tx, scope, cipher, revision).await,
            "resolve" => finding::resolve(tx, scope, cipher, revision, call.input()).await,
            _ => finding::void(tx, scope, cipher, revision).await,
        })
    })
}

fn treated<'a>(tx: &'a TenantTransaction, call: &'a Call, action: Action) -> BoxFuture<'a, Answer> {
    Box::pin(async move {
        let revision = (TreatmentId::new(call.subject.id), Some(call.subject.version));
        let charges: &dyn Charges = &NoCharges;
        let hand = (&call.cipher, charges);
        shown(treatment::transition(tx, &call.scope, hand, revision, (action, call.input())).await)
    })
}

fn planned<'a>(tx: &'a TenantTransaction, call: &'a Call, action: PlanAction) -> BoxFuture<'a, Answer> {
    Box::pin(async move {
        let revision = (TreatmentPlanId::new(call.subject.id), Some(call.subject.version));
        let step = (action, call.input());
        shown(treatment_plan::transition(tx, &call.scope, &call.cipher, revision, step).await)
    })
}

fn moved<'a>(tx: &'a TenantTransaction, call: &'a Call, action: LabAction) -> BoxFuture<'a, Answer> {
    Box::pin(async move {
        let revision = (LabCaseId::new(call.subject.id), Some(call.subject.version));
        shown(lab_case::transition(tx, &call.scope, &call.cipher, revision, action).await)
    })
}

const fn on(thing: Thing) -> Subject {
    Subject::Dental(thing)
}

/// All of them.
pub(super) static PATHS: &[Path] = &[
    Path::get(
        "get_dental_chart",
        Subject::Patient,
        Work::Read(|tx, call| {
            Box::pin(
                async move { shown(chart::get(tx, &call.scope, patient(call), ChartView::default()).await) },
            )
        }),
    ),
    Path::get(
        "draw_dental_chart",
        Subject::Patient,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let found = chart::get(tx, &call.scope, patient(call), ChartView::default()).await;
                shown(found.map(|chart| odontogram::draw(&chart, &odontogram::Options::default())))
            })
        }),
    ),
    Path::write(
        "update_dental_chart",
        on(Thing::Chart),
        |_| json!({"notation": "palmer"}),
        |tx, call| {
            Box::pin(async move {
                let expected = Some(call.subject.version);
                shown(chart::update(tx, &call.scope, patient(call), expected, call.input()).await)
            })
        },
    ),
    Path::write(
        "record_tooth_presence",
        Subject::Patient,
        |call| json!({"tooth": "36", "state": "present", "note": call.text()}),
        |tx, call| {
            Box::pin(async move {
                shown(presence::record(tx, &call.scope, &call.cipher, patient(call), call.input()).await)
            })
        },
    ),
    Path::get(
        "list_tooth_presence",
        Subject::Patient,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let (filter, page) = (PresenceFilter::default(), page());
                let found =
                    presence::list(tx, &call.scope, &call.cipher, call.patient, (filter, &page)).await;
                shown(found.map(|page| page.items))
            })
        }),
    ),
    Path::get(
        "get_tooth_presence",
        on(Thing::Presence),
        Work::Single(|db, call| {
            Box::pin(async move {
                let which = (call.patient, ToothPresenceEventId::new(call.subject.id));
                shown(presence::get(db, &call.scope, &call.cipher, which).await)
            })
        }),
    ),
    Path::write("void_tooth_presence", on(Thing::Presence), nothing, |tx, call| {
        Box::pin(async move {
            let which = (call.patient, ToothPresenceEventId::new(call.subject.id));
            let expected = Some(call.subject.version);
            shown(presence::void(tx, &call.scope, &call.cipher, which, expected).await)
        })
    }),
    Path::write(
        "record_tooth_finding",
        Subject::Patient,
        |call| json!({"tooth": "36", "code": "caries", "surfaces": ["O"], "note": call.text()}),
        |tx, call| {
            Box::pin(async move {
                shown(finding::record(tx, &call.scope, &call.cipher, patient(call), call.input()).await)
            })
        },
    ),
    Path::get(
        "list_tooth_findings",
        Subject::Patient,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let (filter, page) = (FindingFilter::default(), page());
                let found =
                    finding::list(tx, &call.scope, &call.cipher, call.patient, (&filter, &page)).await;
                shown(found.map(|page| page.items))
            })
        }),
    ),
    Path::get(
        "get_tooth_finding",
        on(Thing::Finding),
        Work::Single(|db, call| {
            Box::pin(async move {
                let which = (call.patient, ToothFindingId::new(call.subject.id));
                shown(finding::get(db, &call.scope, &call.cipher, which).await)
            })
        }),
    ),
    Path::write("resolve_tooth_finding", on(Thing::Finding), nothing, |tx, call| found(tx, call, "resolve")),
    Path::write("watch_tooth_finding", on(Thing::Finding), nothing, |tx, call| found(tx, call, "watch")),
    Path::write("activate_tooth_finding", on(Thing::WatchedFinding), nothing, |tx, call| {
        found(tx, call, "activate")
    }),
    Path::write("void_tooth_finding", on(Thing::Finding), nothing, |tx, call| found(tx, call, "void")),
    Path::write(
        "record_perio_exam",
        Subject::Patient,
        |call| {
            let sites =
                json!({"buccal": {"probing_mm": 3, "recession_mm": 1}, "lingual": {"bleeding": true}});
            json!({"teeth": [{"tooth": "36", "sites": sites}], "note": call.text()})
        },
        |tx, call| {
            Box::pin(async move {
                shown(perio::record(tx, &call.scope, &call.cipher, patient(call), call.input()).await)
            })
        },
    ),
    Path::get(
        "list_perio_exams",
        Subject::Patient,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let (filter, page) = (PerioFilter::default(), page());
                let found = perio::list(tx, &call.scope, &call.cipher, call.patient, (filter, &page)).await;
                shown(found.map(|page| page.items))
            })
        }),
    ),
    Path::get(
        "get_perio_exam",
        on(Thing::Exam),
        Work::Read(|tx, call| {
            Box::pin(async move {
                let which = (call.patient, PerioExamId::new(call.subject.id));
                shown(perio::get(tx, &call.scope, &call.cipher, which).await)
            })
        }),
    ),
    Path::write("void_perio_exam", on(Thing::Exam), nothing, |tx, call| {
        Box::pin(async move {
            let which = (call.patient, PerioExamId::new(call.subject.id));
            let expected = Some(call.subject.version);
            shown(perio::void(tx, &call.scope, &call.cipher, which, expected).await)
        })
    }),
    Path::write(
        "create_treatment",
        Subject::Patient,
        |call| json!({"procedure_code": "EX01", "staff_id": call.staff, "note": call.text()}),
        |tx, call| {
            Box::pin(async move {
                shown(treatment::create(tx, &call.scope, &call.cipher, patient(call), call.input()).await)
            })
        },
    ),
    Path::get(
        "list_treatments",
        Subject::Patient,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let (filter, page) = (TreatmentFilter::default(), page());
                let found =
                    treatment::list(tx, &call.scope, &call.cipher, call.patient, (&filter, &page)).await;
                shown(found.map(|page| page.items))
            })
        }),
    ),
    Path::get(
        "get_treatment",
        on(Thing::Planned),
        Work::Single(|db, call| {
            Box::pin(async move {
                shown(treatment::get(db, &call.scope, &call.cipher, TreatmentId::new(call.subject.id)).await)
            })
        }),
    ),
    Path::get(
        "list_treatment_events",
        on(Thing::Held),
        Work::Read(|tx, call| {
            Box::pin(async move {
                let id = TreatmentId::new(call.subject.id);
                let found = treatment::history(tx, &call.scope, &call.cipher, id, &page()).await;
                shown(found.map(|page| page.items))
            })
        }),
    ),
    Path::write(
        "update_treatment",
        on(Thing::Planned),
        |call| json!({"note": call.text()}),
        |tx, call| {
            Box::pin(async move {
                let revision = (TreatmentId::new(call.subject.id), Some(call.subject.version));
                shown(treatment::update(tx, &call.scope, &call.cipher, revision, call.input()).await)
            })
        },
    ),
    Path::write("start_treatment", on(Thing::Planned), nothing, |tx, call| treated(tx, call, Action::Start)),
    Path::write("hold_treatment", on(Thing::Begun), nothing, |tx, call| treated(tx, call, Action::Hold)),
    Path::write("resume_treatment", on(Thing::Held), nothing, |tx, call| treated(tx, call, Action::Resume)),
    Path::write("complete_treatment", on(Thing::Begun), nothing, |tx, call| {
        treated(tx, call, Action::Complete)
    }),
    Path::write("stop_treatment", on(Thing::Planned), nothing, |tx, call| treated(tx, call, Action::Stop)),
    Path::write("void_treatment", on(Thing::Planned), nothing, |tx, call| treated(tx, call, Action::Void)),
    Path::write(
        "create_treatment_plan",
        Subject::Patient,
        |call| json!({"title": call.text(), "phases": [{"title": "First"}]}),
        |tx, call| {
            Box::pin(async move {
                let input = call.input();
                shown(treatment_plan::create(tx, &call.scope, &call.cipher, patient(call), input).await)
            })
        },
    ),
    Path::get(
        "list_treatment_plans",
        Subject::Patient,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let (filter, page) = (PlanFilter::default(), page());
                let wanted = (&filter, &page);
                let found = treatment_plan::list(tx, &call.scope, &call.cipher, call.patient, wanted).await;
                shown(found.map(|page| page.items))
            })
        }),
    ),
    Path::get(
        "get_treatment_plan",
        on(Thing::Draft),
        Work::Read(|tx, call| {
            Box::pin(async move {
                let id = TreatmentPlanId::new(call.subject.id);
                shown(treatment_plan::get(tx, &call.scope, &call.cipher, id).await)
            })
        }),
    ),
    Path::write(
        "update_treatment_plan",
        on(Thing::Draft),
        |call| json!({"title": call.text()}),
        |tx, call| {
            Box::pin(async move {
                let revision = (TreatmentPlanId::new(call.subject.id), Some(call.subject.version));
                shown(treatment_plan::update(tx, &call.scope, &call.cipher, revision, call.input()).await)
            })
        },
    ),
    Path::write("present_treatment_plan", on(Thing::Draft), nothing, |tx, call| {
        planned(tx, call, PlanAction::Present)
    }),
    Path::write("accept_treatment_plan", on(Thing::Draft), nothing, |tx, call| {
        planned(tx, call, PlanAction::Accept)
    }),
    Path::write("revoke_treatment_plan", on(Thing::Accepted), nothing, |tx, call| {
        planned(tx, call, PlanAction::Revoke)
    }),
    Path::write("void_treatment_plan", on(Thing::Accepted), nothing, |tx, call| {
        planned(tx, call, PlanAction::Void)
    }),
    Path::write(
        "create_lab_case",
        Subject::Patient,
        |call| json!({"laboratory": "Bright Labs", "work": "crown", "note": call.text()}),
        |tx, call| {
            Box::pin(async move {
                shown(lab_case::create(tx, &call.scope, &call.cipher, patient(call), call.input()).await)
            })
        },
    ),
    Path::get(
        "list_lab_cases",
        Subject::Patient,
        Work::Read(|tx, call| {
            Box::pin(async move {
                let (filter, page) = (LabCaseFilter::default(), page());
                let found =
                    lab_case::list(tx, &call.scope, &call.cipher, call.patient, (&filter, &page)).await;
                shown(found.map(|page| page.items))
            })
        }),
    ),
    Path::get(
        "get_lab_case",
        on(Thing::Case),
        Work::Single(|db, call| {
            Box::pin(async move {
                shown(lab_case::get(db, &call.scope, &call.cipher, LabCaseId::new(call.subject.id)).await)
            })
        }),
    ),
    Path::write(
        "update_lab_case",
        on(Thing::Case),
        |call| json!({"note": call.text()}),
        |tx, call| {
            Box::pin(async move {
                let revision = (LabCaseId::new(call.subject.id), Some(call.subject.version));
                shown(lab_case::update(tx, &call.scope, &call.cipher, revision, call.input()).await)
            })
        },
    ),
    Path::write("send_lab_case", on(Thing::Case), nothing, |tx, call| moved(tx, call, LabAction::Send)),
    Path::write("receive_lab_case", on(Thing::SentCase), nothing, |tx, call| {
        moved(tx, call, LabAction::Receive)
    }),
    Path::write("complete_lab_case", on(Thing::ReceivedCase), nothing, |tx, call| {
        moved(tx, call, LabAction::Complete)
    }),
    Path::write("cancel_lab_case", on(Thing::Case), nothing, |tx, call| moved(tx, call, LabAction::Cancel)),
    Path::write("void_lab_case", on(Thing::Case), nothing, |tx, call| moved(tx, call, LabAction::Void)),
    Path::write(
        "create_procedure_code",
        Subject::Nothing,
        |call| json!({"code": format!("N{}", call.number), "name": call.text()}),
        |tx, call| {
            Box::pin(async move { shown(procedure_code::create(tx, &call.scope, call.input()).await) })
        },
    ),
    Path::list("list_procedure_codes", no_query, |tx, call| {
        Box::pin(async move {
            let found = procedure_code::list(tx, &call.scope, &ProcedureCodeFilter::default(), &page()).await;
            shown(found.map(|page| page.items))
        })
    }),
    Path::write(
        "import_procedure_codes",
        Subject::Nothing,
        |call| json!({"csv": format!("code,name,price\nI{},{},1.50\n", call.number, call.text())}),
        |tx, call| {
            Box::pin(async move { shown(procedure_code::import(tx, &call.scope, call.input()).await) })
        },
    ),
    Path::get(
        "get_procedure_code",
        on(Thing::Code),
        Work::Single(|db, call| {
            Box::pin(async move {
                shown(procedure_code::get(db, &call.scope, ProcedureCodeId::new(call.subject.id)).await)
            })
        }),
    ),
    Path::write(
        "update_procedure_code",
        on(Thing::Code),
        |call| json!({"name": call.text()}),
        |tx, call| {
            Box::pin(async move {
                let (id, expected) = (ProcedureCodeId::new(call.subject.id), Some(call.subject.version));
                shown(procedure_code::update(tx, &call.scope, id, expected, call.input()).await)
            })
        },
    ),
];
