//! Two charted mouths for the demo practice: an adult's with ten years of history, and a six-year-old's in which both
//! sets of teeth stand.

use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use clinicx_core::{PatientId, StaffId, charge::Charges, patient};
use clinicx_dental::{
    finding, lab_case, perio, presence,
    treatment::{self, Action, Treatment},
    treatment_plan::{self, PlanAction},
};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::clock::FixedClock;
use serde_json::{Value, json};

use super::demo::input;

/// Who charts, in which practice.
pub(super) struct Chair<'a> {
    pub(super) tx: &'a TenantTransaction,
    pub(super) scope: &'a TenantScope,
    pub(super) cipher: &'a FieldCipher,
    pub(super) charges: &'a dyn Charges,
    pub(super) dentist: StaffId,
}

/// One patient in the chair.
struct Mouth<'a> {
    chair: &'a Chair<'a>,
    patient: PatientId,
}

/// Registers and charts both.
pub(super) async fn add(chair: &Chair<'_>) -> anyhow::Result<usize> {
    adult(chair).await?;
    child(chair).await?;
    Ok(2)
}

async fn register<'a>(chair: &'a Chair<'a>, body: Value) -> anyhow::Result<Mouth<'a>> {
    let made = patient::create(chair.tx, chair.scope, chair.cipher, input(body)?).await?;
    Ok(Mouth { chair, patient: made.id })
}

async fn adult(chair: &Chair<'_>) -> anyhow::Result<()> {
    let body = json!({"given_name": "Greta", "family_name": "Ahrens", "gender": "female", "birth_date": "1979-03-14",
        "phones": ["+49 30 2319900"], "emails": ["greta.ahrens@mail.example"], "preferred_language": "de"});
    let mouth = register(chair, body).await?;
    for quadrant in 1..=4 {
        for place in 1..=8 {
            let state = match (quadrant, place) {
                (1 | 2, 8) => "missing",
                (3, 8) => "impacted",
                (2, 4) => "extracted",
                _ => "present",
            };
            mouth.presence(&format!("{quadrant}{place}"), state, 4_000).await?;
        }
    }
    for (code, tooth, surfaces, days) in [
        ("RE03", "17", "OD", 3_600),
        ("RE01", "16", "MO", 2_900),
        ("RE01", "26", "MOD", 2_500),
        ("RE01", "11", "MI", 1_800),
        ("RE01", "47", "OB", 1_200),
        ("RE04", "37", "MOD", 900),
    ] {
        mouth.filling(code, tooth, surfaces, days).await?;
    }
    for (code, tooth, days) in [("EN01", "46", 1_500), ("CR02", "46", 1_440), ("SU02", "48", 700)] {
        mouth.done(json!({"procedure_code": code, "tooth": tooth, "price": "310.00"}), days).await?;
    }
    mouth.done(json!({"procedure_code": "SU01", "tooth": "35", "price": "85.00"}), 600).await?;
    mouth.done(json!({"procedure_code": "IM01", "tooth": "35", "price": "1450.00"}), 400).await?;
    mouth
        .done(json!({"procedure_code": "BR01", "teeth": ["23", "24", "25"], "price": "1650.00"}), 380)
        .await?;
    for years in 1..=10 {
        mouth.done(json!({"procedure_code": "EX01", "price": "45.00"}), years * 365 - 20).await?;
        mouth.done(json!({"procedure_code": "PR01", "price": "95.00"}), years * 365 - 20).await?;
    }
    mouth.finding(json!({"tooth": "14", "code": "root_filling"}), 3_900).await?;
    mouth.finding(json!({"tooth": "14", "code": "crown"}), 3_900).await?;
    let caries = json!({"tooth": "36", "code": "caries", "surfaces": ["O", "D"], "severity": "moderate"});
    mouth.finding(caries, 14).await?;
    mouth.finding(json!({"tooth": "15", "code": "caries", "surfaces": ["M"], "status": "watch"}), 14).await?;
    mouth
        .finding(json!({"tooth": "17", "code": "defective_restoration", "surfaces": ["O", "D"]}), 14)
        .await?;
    mouth.finding(json!({"tooth": "44", "code": "periapical_lesion"}), 14).await?;
    mouth.finding(json!({"tooth": "41", "code": "wear", "surfaces": ["I"]}), 14).await?;
    mouth.finding(json!({"tooth": "31", "code": "mobility", "severity": "mild"}), 14).await?;
    mouth.examine().await?;
    mouth.plan().await
}

async fn child(chair: &Chair<'_>) -> anyhow::Result<()> {
    let born = today(chair) - Days::new(6 * 365 + 120);
    let body = json!({"given_name": "Emil", "family_name": "Ahrens", "gender": "male", "birth_date": born,
        "preferred_language": "de"});
    let mouth = register(chair, body).await?;
    for quadrant in 5..=8 {
        for place in 1..=5 {
            let state = match (quadrant, place) {
                (7 | 8, 1) => "exfoliated",
                _ => "present",
            };
            mouth.presence(&format!("{quadrant}{place}"), state, 60).await?;
        }
    }
    for quadrant in 1..=4 {
        for place in 1..=8 {
            let state = match (quadrant, place) {
                (3 | 4, 1) => "present",
                (_, 6) => "erupting",
                (3 | 4, 2) => "erupting",
                (_, 8) => continue,
                _ => "unerupted",
            };
            mouth.presence(&format!("{quadrant}{place}"), state, 60).await?;
        }
    }
    mouth
        .finding(json!({"tooth": "74", "code": "caries", "surfaces": ["D"], "severity": "mild"}), 30)
        .await?;
    mouth
        .finding(
            json!({"tooth": "36", "code": "hypomineralisation", "surfaces": ["O"], "status": "watch"}),
            30,
        )
        .await?;
    mouth.filling("RE02", "85", "MO", 200).await?;
    mouth.done(json!({"procedure_code": "PR02", "price": "20.00"}), 30).await?;
    let sealing = json!({"procedure_code": "PR03", "tooth": "46", "surfaces": ["O"], "price": "18.00"});
    mouth.treatment(sealing, 20).await?;
    let filling = json!({"procedure_code": "RE02", "tooth": "74", "surfaces": ["D", "O"], "price": "55.00"});
    mouth.treatment(filling, 20).await?;
    Ok(())
}

impl Mouth<'_> {
    async fn presence(&self, tooth: &str, state: &str, days: u64) -> anyhow::Result<()> {
        let Chair { tx, scope, cipher, .. } = self.chair;
        let body =
            json!({"tooth": tooth, "state": state, "effective_on": today(self.chair) - Days::new(days)});
        presence::record(tx, scope, cipher, self.patient, input(body)?).await?;
        Ok(())
    }

    async fn finding(&self, mut body: Value, days: u64) -> anyhow::Result<()> {
        let Chair { tx, scope, cipher, dentist, .. } = self.chair;
        let day = today(self.chair) - Days::new(days);
        if let Some(fields) = body.as_object_mut() {
            fields.insert("onset_on".to_owned(), json!(day));
            fields.insert("staff_id".to_owned(), json!(dentist));
        }
        finding::record(tx, scope, cipher, self.patient, input(body)?).await?;
        Ok(())
    }

    /// Plans a treatment so many days ago.
    async fn treatment(&self, mut body: Value, days: u64) -> anyhow::Result<Treatment> {
        let Chair { tx, cipher, dentist, .. } = self.chair;
        let scope = at(self.chair, days);
        if let Some(fields) = body.as_object_mut() {
            fields.insert("staff_id".to_owned(), json!(dentist));
        }
        Ok(treatment::create(tx, &scope, cipher, self.patient, input(body)?).await?)
    }

    /// Plans, begins and completes a treatment so many days ago.
    async fn done(&self, body: Value, days: u64) -> anyhow::Result<()> {
        let Chair { tx, cipher, charges, .. } = self.chair;
        let scope = at(self.chair, days);
        let mut current = self.treatment(body, days).await?;
        for action in [Action::Start, Action::Complete] {
            let revision = (current.id, Some(current.version));
            let step = (action, treatment::TreatmentStep::default());
            current = treatment::transition(tx, &scope, (cipher, *charges), revision, step).await?;
        }
        Ok(())
    }

    async fn filling(&self, code: &str, tooth: &str, surfaces: &str, days: u64) -> anyhow::Result<()> {
        let surfaces: Vec<String> = surfaces.chars().map(String::from).collect();
        let body = json!({"procedure_code": code, "tooth": tooth, "surfaces": surfaces, "price": "120.00"});
        self.done(body, days).await
    }

    async fn examine(&self) -> anyhow::Result<()> {
        let Chair { tx, scope, cipher, dentist, .. } = self.chair;
        let depth = |tooth: usize, site: usize| 2 + (tooth * 5 + site * 3) % 3;
        let teeth: Vec<Value> = ["16", "11", "26", "36", "31", "46"]
            .into_iter()
            .enumerate()
            .map(|(number, tooth)| {
                let site = |site: usize| {
                    let deep = depth(number, site);
                    json!({"probing_mm": deep, "recession_mm": number % 2, "bleeding": deep > 3})
                };
                json!({"tooth": tooth, "sites": {
                    "mesio_buccal": site(0), "buccal": site(1), "disto_buccal": site(2),
                    "mesio_lingual": site(3), "lingual": site(4), "disto_lingual": site(5),
                }})
            })
            .collect();
        let body =
            json!({"staff_id": dentist, "examined_on": today(self.chair) - Days::new(14), "teeth": teeth});
        perio::record(tx, scope, cipher, self.patient, input(body)?).await?;
        Ok(())
    }

    /// An accepted plan, of which a laboratory has a part.
    async fn plan(&self) -> anyhow::Result<()> {
        let Chair { tx, scope, cipher, dentist, .. } = self.chair;
        let item = |body: Value| {
            let mut body = body;
            if let Some(fields) = body.as_object_mut() {
                fields.insert("staff_id".to_owned(), json!(dentist));
            }
            json!({ "treatment": body })
        };
        let filling =
            json!({"procedure_code": "RE01", "tooth": "36", "surfaces": ["O", "D"], "price": "120.00"});
        let root = json!({"procedure_code": "EN01", "tooth": "44", "price": "380.00"});
        let crown = json!({"procedure_code": "IM02", "tooth": "35", "price": "980.00"});
        let wisdom = json!({"procedure_code": "SU03", "tooth": "38", "price": "210.00"});
        let body = json!({"staff_id": dentist, "title": "Gesamtsanierung", "phases": [
            {"title": "Akut", "items": [item(filling), item(root)]},
            {"title": "Versorgung", "items": [item(crown), item(wisdom)]},
        ]});
        let plan = treatment_plan::create(tx, scope, cipher, self.patient, input(body)?).await?;
        let mut current = plan;
        for action in [PlanAction::Present, PlanAction::Accept] {
            let revision = (current.id, Some(current.version));
            let step = (action, treatment_plan::PlanStep::default());
            current = treatment_plan::transition(tx, scope, cipher, revision, step).await?;
        }
        let crown =
            current.phases.iter().flat_map(|phase| &phase.items).find(|item| item.procedure_code == "IM02");
        let body = json!({"laboratory": "Dentallabor Lindenufer", "work": "crown", "shade": "A3", "staff_id": dentist,
            "treatment_id": crown.map(|item| item.treatment_id), "due_on": today(self.chair) + Days::new(12)});
        let case = lab_case::create(tx, scope, cipher, self.patient, input(body)?).await?;
        let revision = (case.id, Some(case.version));
        lab_case::transition(tx, scope, cipher, revision, lab_case::LabAction::Send).await?;
        Ok(())
    }
}

fn today(chair: &Chair<'_>) -> NaiveDate {
    chair.scope.now().with_timezone(&chair.scope.time_zone).date_naive()
}

/// The same actor so many days ago.
fn at(chair: &Chair<'_>, days: u64) -> TenantScope {
    let at: DateTime<Utc> = chair.scope.now() - TimeDelta::days(i64::try_from(days).unwrap_or_default());
    TenantScope { clock: Arc::new(FixedClock(at)), ..chair.scope.clone() }
}
