//! What a chart shows, and as of when.

use clinicx_core::PatientId;
use clinicx_dental::{
    chart::{self, ChartView, UpdateChart},
    finding::{self, FindingCode, FindingStatus, ResolveInput},
    notation::Notation,
    presence::{self, PresenceFilter, PresenceState},
    treatment::Action,
};
use clinicx_types::page::PageRequest;
use serde_json::json;
use uuid::Uuid;

use crate::practice::{Practice, code, tooth, wrong_field};

#[tokio::test]
async fn of_a_new_patient_nothing_is_known() {
    let practice = Practice::open().await;
    let chart = practice.chart().await;
    assert_eq!((chart.version, chart.charted, chart.teeth.len()), (0, false, 52));
    assert_eq!(chart.id.uuid(), practice.patient.uuid());
    let json = serde_json::to_value(&chart).unwrap();
    for tooth in json["teeth"].as_array().unwrap() {
        assert_eq!((&tooth["presence"], &tooth["findings"]), (&json!("unknown"), &json!([])));
    }
    let nobody = PatientId::new(Uuid::from_u128(1));
    let missing = chart::get(&practice.tenant.connection, &practice.scope, nobody, ChartView::default());
    assert_eq!(code(missing.await), "not_found");
}

#[tokio::test]
async fn the_smallest_bodies_are_recorded() {
    let practice = Practice::open().await;
    let body = json!({"tooth": "36", "state": "present", "effective_on": "2020-01-01"});
    let event = practice.presence(body).await.unwrap();
    assert_eq!((event.version, event.state), (1, PresenceState::Present));
    let body =
        json!({"tooth": "36", "code": "caries", "surfaces": ["O"], "note": "Deep; the patient grinds."});
    let found = practice.finding(body).await.unwrap();
    assert_eq!((found.status, found.surfaces.joined().as_str()), (FindingStatus::Active, "O"));
    assert_eq!(found.note.as_deref(), Some("Deep; the patient grinds."));
    assert_eq!(found.onset_on.to_string(), "2026-06-01");
    let chart = practice.chart().await;
    assert!(chart.charted && chart.version == 2);
    let shown = tooth(&chart, "36");
    assert_eq!((shown.presence, shown.findings[0].id), (Some(PresenceState::Present), found.id));
    // Deciduous and permanent teeth are two.
    practice.presence(json!({"tooth": "75", "state": "present"})).await.unwrap();
    let chart = practice.chart().await;
    assert_eq!(tooth(&chart, "75").presence, Some(PresenceState::Present));
    assert_eq!(tooth(&chart, "35").presence, None);
    for id in [event.id.uuid(), found.id.uuid()] {
        let (audit, events) = practice.trail(id).await;
        assert_eq!((audit.len(), events), (1, audit));
    }
}

#[tokio::test]
async fn teeth_are_read_and_written_in_three_notations() {
    let practice = Practice::open().await;
    for (notation, text) in [("universal", "19"), ("palmer", "LL6"), ("fdi", "36")] {
        let body = json!({"tooth": text, "notation": notation, "code": "wear"});
        assert_eq!(practice.finding(body).await.unwrap().tooth.to_string(), "36");
    }
    let body = json!({"tooth": "K", "notation": "universal", "state": "present"});
    assert_eq!(practice.presence(body).await.unwrap().tooth.to_string(), "75");
    let check = async |text: &str, notation: &str, code: &str| {
        let body = json!({"tooth": text, "notation": notation, "state": "present"});
        assert_eq!(wrong_field(practice.presence(body).await), ("/tooth".into(), code.into()), "{text}");
    };
    check("66", "universal", "ambiguous_tooth").await;
    check("36", "universal", "unknown_tooth").await;
    check("19", "fdi", "unknown_tooth").await;
    check("UR9", "palmer", "unknown_tooth").await;
    let view = ChartView { as_of: None, notation: Some(Notation::Universal) };
    let chart = practice.chart_as(view).await;
    let molar = tooth(&chart, "36");
    assert_eq!((molar.tooth.as_str(), molar.notation, molar.findings.len()), ("19", Notation::Universal, 3));
    assert_eq!(tooth(&chart, "75").tooth, "K");

    let version = chart.version;
    let update = async |expected| {
        let input = UpdateChart { notation: Notation::Palmer };
        practice
            .write(async |tx| chart::update(tx, &practice.scope, practice.patient, expected, input).await)
            .await
    };
    assert_eq!(code(update(Some(version - 1)).await), "version_mismatch");
    let changed = update(Some(version)).await.unwrap();
    assert_eq!((changed.version, changed.notation), (version + 1, Notation::Palmer));
    assert_eq!(tooth(&practice.chart().await, "36").tooth, "LL6");
}

#[tokio::test]
async fn wrong_teeth_surfaces_and_days_are_refused() {
    let practice = Practice::open().await;
    let finding = async |body, pointer: &str, code: &str| {
        assert_eq!(wrong_field(practice.finding(body).await), (pointer.into(), code.into()));
    };
    finding(json!({"tooth": "36", "code": "caries", "surfaces": ["O", "V"]}), "/surfaces/1", "not_of_tooth")
        .await;
    finding(json!({"tooth": "11", "code": "caries", "surfaces": ["O"]}), "/surfaces/0", "not_of_tooth").await;
    finding(json!({"tooth": "36", "code": "caries", "surfaces": ["P"]}), "/surfaces/0", "not_of_tooth").await;
    finding(json!({"tooth": "36", "code": "caries", "surfaces": ["Q"]}), "/surfaces/0", "unknown_surface")
        .await;
    finding(json!({"tooth": "36", "code": "caries", "onset_on": "2026-06-02"}), "/onset_on", "in_future")
        .await;
    let nobody = json!({"tooth": "36", "code": "caries", "staff_id": Uuid::from_u128(7)});
    finding(nobody, "/staff_id", "not_found").await;
    let presence = async |body, pointer: &str, code: &str| {
        assert_eq!(wrong_field(practice.presence(body).await), (pointer.into(), code.into()));
    };
    presence(json!({"tooth": "36", "state": "exfoliated"}), "/state", "not_of_tooth").await;
    presence(json!({"tooth": "75", "state": "implant"}), "/state", "not_of_tooth").await;
    let later = json!({"tooth": "36", "state": "missing", "effective_on": "2026-07-01"});
    presence(later, "/effective_on", "in_future").await;
    // Nothing of all that has left a trace on the chart.
    assert_eq!(practice.chart().await.version, 0);
}

#[tokio::test]
async fn a_chart_is_that_of_its_day() {
    let practice = Practice::open().await;
    for (state, day) in [("erupting", "2001-02-01"), ("present", "2003-05-01"), ("missing", "2020-03-04")] {
        practice.presence(json!({"tooth": "46", "state": state, "effective_on": day})).await.unwrap();
    }
    let body = json!({"tooth": "46", "code": "caries", "surfaces": ["M"], "onset_on": "2015-01-01"});
    let found = practice.finding(body).await.unwrap();
    let input = ResolveInput { resolved_on: Some("2016-01-01".parse().unwrap()) };
    let revision = (practice.patient, found.id, Some(1));
    let resolved = practice
        .write(async |tx| {
            finding::resolve(tx, &practice.scope, &practice.tenant.cipher, revision, input).await
        })
        .await
        .unwrap();
    assert_eq!(resolved.status, FindingStatus::Resolved);
    let check = async |day: &str, state: Option<PresenceState>, findings: &[FindingCode]| {
        let chart = practice.chart_of(day).await;
        let shown = tooth(&chart, "46");
        let codes: Vec<_> = shown.findings.iter().map(|finding| finding.code).collect();
        assert_eq!((shown.presence, codes.as_slice()), (state, findings), "{day}");
        assert!(shown.findings.iter().all(|finding| finding.status == FindingStatus::Active));
    };
    check("2001-01-31", None, &[]).await;
    check("2001-02-01", Some(PresenceState::Erupting), &[]).await;
    check("2015-01-01", Some(PresenceState::Present), &[FindingCode::Caries]).await;
    check("2015-12-31", Some(PresenceState::Present), &[FindingCode::Caries]).await;
    check("2016-01-01", Some(PresenceState::Present), &[]).await;
    check("2020-03-04", Some(PresenceState::Missing), &[]).await;
    check("2026-06-01", Some(PresenceState::Missing), &[]).await;
    // Something on a tooth that is gone can have been there before only.
    assert_eq!(code(practice.finding(json!({"tooth": "46", "code": "wear"})).await), "tooth_gone");
    let before = json!({"tooth": "46", "code": "wear", "onset_on": "2019-01-01"});
    practice.finding(before).await.unwrap();
}

#[tokio::test]
async fn history_is_corrected_by_a_status_and_never_changed() {
    let practice = Practice::open().await;
    let cipher = &practice.tenant.cipher;
    let event = practice.presence(json!({"tooth": "11", "state": "extracted"})).await.unwrap();
    let void = async |expected| {
        let which = (practice.patient, event.id);
        practice.write(async |tx| presence::void(tx, &practice.scope, cipher, which, expected).await).await
    };
    assert_eq!(code(void(Some(9)).await), "version_mismatch");
    let voided = void(Some(1)).await.unwrap();
    assert_eq!((voided.version, voided.status.as_str()), (2, "entered-in-error"));
    assert_eq!(code(void(None).await), "transition_refused");
    assert_eq!(tooth(&practice.chart().await, "11").presence, None);
    let page = PageRequest::default();
    let db = &practice.tenant.connection;
    let filter = PresenceFilter { tooth: Some("11".parse().unwrap()) };
    let all = presence::list(db, &practice.scope, cipher, practice.patient, (filter, &page)).await.unwrap();
    assert_eq!(all.items, [voided]);
    let (audit, events) = practice.trail(event.id.uuid()).await;
    assert_eq!(audit, ["tooth_presence.recorded", "tooth_presence.voided"]);
    assert_eq!(events, audit);

    let found = practice.finding(json!({"tooth": "11", "code": "fracture"})).await.unwrap();
    let watched = practice
        .write(async |tx| {
            let revision = (practice.patient, found.id, Some(1));
            finding::watch(tx, &practice.scope, cipher, revision).await
        })
        .await
        .unwrap();
    assert_eq!(watched.status, FindingStatus::Watch);
    assert_eq!(tooth(&practice.chart().await, "11").findings[0].status, FindingStatus::Watch);
    let revision = (practice.patient, found.id, None);
    practice.write(async |tx| finding::void(tx, &practice.scope, cipher, revision).await).await.unwrap();
    assert!(tooth(&practice.chart().await, "11").findings.is_empty());
    let again =
        practice.write(async |tx| finding::activate(tx, &practice.scope, cipher, revision).await).await;
    assert_eq!(code(again), "transition_refused");
    // Another patient's path does not lead there.
    let elsewhere = practice.register().await;
    let other = finding::get(db, &practice.scope, cipher, (elsewhere, found.id)).await;
    assert_eq!(code(other), "not_found");
}

#[tokio::test]
async fn those_who_chart_first_at_once_wait_for_each_other() {
    let practice = Practice::open().await;
    for round in 1..=10 {
        let patient = practice.register().await;
        let record = async |tooth: &str| {
            let body = json!({"tooth": tooth, "state": "present"});
            let input = serde_json::from_value(body).unwrap();
            let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
            practice.write(async |tx| presence::record(tx, scope, cipher, patient, input).await).await
        };
        let all = tokio::join!(record("11"), record("12"), record("13"), record("14"));
        for one in [all.0, all.1, all.2, all.3] {
            one.unwrap();
        }
        let tx = practice.tenant.connection.begin_read_only().await.unwrap();
        let chart = chart::get(&tx, &practice.scope, patient, ChartView::default()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(chart.version, 4, "round {round}");
    }
}

#[tokio::test]
async fn words_about_a_patient_are_sealed_in_the_table_and_masked_in_the_audit() {
    let practice = Practice::open().await;
    let note = "canary-of-a-note";
    practice.presence(json!({"tooth": "11", "state": "present", "note": note})).await.unwrap();
    practice.finding(json!({"tooth": "11", "code": "other", "note": note})).await.unwrap();
    let planned =
        practice.plan(json!({"procedure_code": "RE01", "tooth": "11", "note": note})).await.unwrap();
    practice.act_with(&planned, Action::Stop, json!({"reason": note})).await.unwrap();
    practice.draft(json!({"title": note, "note": note, "phases": [{"title": note}]})).await.unwrap();
    let mut superuser = practice.tenant.database.superuser().await;
    let schema = practice.tenant.tenant.database_schema.quoted();
    let tables =
        ["tooth_presence_events", "tooth_findings", "treatments", "treatment_plans", "treatment_plan_phases"];
    for table in
        tables.map(|table| format!("{schema}.{table}")).iter().chain([&"public.audit_logs".to_owned()])
    {
        let question = format!(
            "SELECT count(*) FROM {table} AS t
             WHERE tenant_id = $1 AND t::text LIKE '%' || $2 || '%'"
        );
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(question))
            .bind(practice.tenant.tenant.id.uuid())
            .bind(note)
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        assert_eq!(found, 0, "{table}");
    }
}

#[tokio::test]
async fn the_database_knows_which_surfaces_and_states_fit_a_tooth() {
    let practice = Practice::open().await;
    practice.finding(json!({"tooth": "36", "code": "caries", "surfaces": ["O", "B"]})).await.unwrap();
    practice.finding(json!({"tooth": "11", "code": "caries", "surfaces": ["I", "V"]})).await.unwrap();
    practice.presence(json!({"tooth": "36", "state": "present"})).await.unwrap();
    practice.presence(json!({"tooth": "75", "state": "present"})).await.unwrap();
    practice.plan(json!({"procedure_code": "RE01", "tooth": "54", "surfaces": ["O"]})).await.unwrap();
    practice.plan(json!({"procedure_code": "IM01", "tooth": "46"})).await.unwrap();
    let mut superuser = practice.tenant.database.superuser().await;
    let schema = practice.tenant.tenant.database_schema.quoted();
    for (statement, constraint) in [
        (
            "UPDATE {schema}.tooth_findings SET surfaces = '{V}' WHERE tooth = '36'",
            "ck_tooth_findings__surfaces_of_tooth",
        ),
        (
            "UPDATE {schema}.tooth_findings SET surfaces = '{M,O}' WHERE tooth = '11'",
            "ck_tooth_findings__surfaces_of_tooth",
        ),
        (
            "UPDATE {schema}.treatments SET surfaces = '{I}' WHERE area = 'surface'",
            "ck_treatments__surfaces_of_tooth",
        ),
        (
            "UPDATE {schema}.treatments SET teeth = '{54,55}' WHERE area = 'surface'",
            "ck_treatments__surfaces_of_tooth",
        ),
        (
            "UPDATE {schema}.treatments SET teeth = '{46,85}' WHERE effect = 'implant'",
            "ck_treatments__implant",
        ),
        (
            "UPDATE {schema}.tooth_presence_events SET state = 'exfoliated' WHERE tooth = '36'",
            "ck_tooth_presence_events__state_of_tooth",
        ),
        (
            "UPDATE {schema}.tooth_presence_events SET state = 'pontic' WHERE tooth = '75'",
            "ck_tooth_presence_events__state_of_tooth",
        ),
    ] {
        let statement = statement.replace("{schema}", &schema);
        let refused = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut superuser).await.unwrap_err();
        let refused = refused.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
        assert_eq!(refused.as_deref(), Some(constraint));
    }
}

#[tokio::test]
async fn a_finding_is_watched_from_the_day_on_which_somebody_says_so() {
    let mut practice = Practice::open().await;
    let body = json!({"tooth": "36", "code": "caries", "surfaces": ["O"], "onset_on": "2026-01-01"});
    let found = practice.finding(body).await.unwrap();
    let days = ["2026-06-01", "2026-06-10", "2026-06-20"];
    for (number, day) in days.into_iter().enumerate() {
        let now = format!("{day}T07:00:00Z").parse().unwrap();
        practice.scope.clock = std::sync::Arc::new(clinicx_types::clock::FixedClock(now));
        let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
        let revision = (practice.patient, found.id, None);
        practice
            .write(async |tx| match number {
                1 => finding::activate(tx, scope, cipher, revision).await,
                _ => finding::watch(tx, scope, cipher, revision).await,
            })
            .await
            .unwrap();
    }
    let check = async |day: &str, expected: FindingStatus| {
        let chart = practice.chart_of(day).await;
        assert_eq!(tooth(&chart, "36").findings[0].status, expected, "{day}");
    };
    check("2026-05-31", FindingStatus::Active).await;
    check("2026-06-01", FindingStatus::Watch).await;
    check("2026-06-09", FindingStatus::Watch).await;
    check("2026-06-10", FindingStatus::Active).await;
    check("2026-06-20", FindingStatus::Watch).await;
    // What has been resolved since stood then where it stood.
    let input = ResolveInput { resolved_on: Some("2026-06-20".parse().unwrap()) };
    let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
    let revision = (practice.patient, found.id, None);
    practice.write(async |tx| finding::resolve(tx, scope, cipher, revision, input).await).await.unwrap();
    check("2026-06-09", FindingStatus::Watch).await;
    check("2026-06-19", FindingStatus::Active).await;
    assert!(tooth(&practice.chart().await, "36").findings.is_empty());
}
