//! The drawing of a chart as a browser shows it, in light and dark: nothing overlaps, and each tooth has its name.
//!
//! `ODONTOGRAM_FOLDER` names a folder into which the pictures go, for whoever wants to look at them.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    browser,
    program::Folder,
    support::{Api, Clinic},
};

/// Looks at the drawing in the page: the boxes of texts and crowns that overlap, texts that are too small, and what
/// the browser's accessibility tree calls the teeth.
const LOOK: &str = r#"
const boxes = (selector) => [...document.querySelectorAll(selector)].map((one) => [one, one.getBoundingClientRect()]);
const meet = (a, b) => a.left < b.right - .5 && b.left < a.right - .5 && a.top < b.bottom - .5 && b.top < a.bottom - .5;
const name = (one) => one.textContent || one.parentNode.id;
const overlaps = [];
const crowns = boxes('.tooth rect.outline'), texts = boxes('svg text');
for (const list of [crowns, texts])
  list.forEach(([one, a], at) => list.slice(at + 1).forEach(([other, b]) => {
    if (meet(a, b)) overlaps.push(name(one) + ' and ' + name(other));
  }));
texts.forEach(([text, a]) => crowns.forEach(([crown, b]) => {
  if (meet(a, b)) overlaps.push(name(text) + ' and ' + name(crown));
}));
const svg = document.querySelector('svg').getBoundingClientRect();
const outside = texts.filter(([, a]) => a.left < 0 || a.right > svg.right || a.bottom > svg.bottom).map(([one]) => name(one));
const small = texts.filter(([one]) => parseFloat(getComputedStyle(one).fontSize) < 12).map(([one]) => name(one));
const teeth = Object.fromEntries([...document.querySelectorAll('.tooth')].map((one) =>
  [one.id.replace('tooth-', ''), [one.computedRole, one.computedName]]));
const ground = getComputedStyle(document.querySelector('.ground')).fill;
const report = { overlaps, outside, small, teeth, ground, crowns: crowns.length, width: svg.width };
document.getElementById('report').textContent = JSON.stringify(report);
"#;

/// Shows a drawing in a page of 800 pixels and reports what the page finds.
fn look(svg: &str, scheme: &str, folder: &Path) -> Value {
    let Some(browser) = browser::find() else { return Value::Null };
    let page = folder.join(format!("{scheme}.html"));
    let html = format!(
        "<!doctype html><meta charset=utf-8><style>body{{margin:0}}</style>{svg}<pre id=report hidden></pre>\
         <script>{LOOK}</script>"
    );
    std::fs::write(&page, html).unwrap();
    let kept = std::env::var_os("ODONTOGRAM_FOLDER").map_or_else(|| folder.to_owned(), Into::into);
    let picture = kept.join(format!("{scheme}.png"));
    let run = |what: &str| {
        let profile = Folder::new();
        let preferred = if scheme == "dark" { 0 } else { 1 };
        let mut command = Command::new(&browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
        command.args(["--force-renderer-accessibility", "--enable-blink-features=ComputedAccessibilityInfo"]);
        command.arg(format!("--blink-settings=preferredColorScheme={preferred}"));
        command.args(["--window-size=800,700", "--virtual-time-budget=5000", what]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg(format!("file://{}", page.display()));
        command.output().expect("the browser starts")
    };
    run(&format!("--screenshot={}", picture.display()));
    let size = std::fs::metadata(&picture).map(|file| file.len()).unwrap_or_default();
    assert!(size > 20_000, "the picture has {size} bytes");
    let shown = run("--dump-dom");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let report =
        text.split("<pre id=\"report\" hidden=\"\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let report = report.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&shown.stderr)));
    serde_json::from_str(&report.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")).unwrap()
}

async fn record(api: &Api, path: String, body: Value) {
    api.post(&path, body).await.expect(201);
}

/// Charts a mouth in which every sign, colour and pattern is to be seen.
async fn chart(clinic: &Clinic) -> String {
    let api = &clinic.admin;
    let patient = clinic.patient("Painted").await["id"].as_str().unwrap().to_owned();
    let staff = clinic.staff().await["id"].as_str().unwrap().to_owned();
    let states =
        ["present", "unerupted", "erupting", "impacted", "missing", "extracted", "implant", "pontic"];
    for (place, state) in states.into_iter().enumerate() {
        for quadrant in [1, 4] {
            let body = json!({"tooth": format!("{quadrant}{}", place + 1), "state": state});
            record(api, format!("/patients/{patient}/tooth-presence"), body).await;
        }
    }
    for (tooth, state) in [("51", "exfoliated"), ("52", "present"), ("65", "present"), ("75", "present")] {
        record(api, format!("/patients/{patient}/tooth-presence"), json!({"tooth": tooth, "state": state}))
            .await;
    }
    let findings = [
        ("21", "caries", json!(["M", "I"]), "active"),
        ("22", "fracture", json!(["D", "I"]), "active"),
        ("23", "pulpitis", json!([]), "active"),
        ("24", "periapical_lesion", json!([]), "active"),
        ("25", "defective_restoration", json!(["M", "O", "D"]), "active"),
        ("26", "caries", json!(["O", "B"]), "watch"),
        ("27", "restoration", json!(["M", "O"]), "active"),
        ("28", "mobility", json!([]), "active"),
        ("31", "crown", json!([]), "active"),
        ("32", "root_filling", json!([]), "active"),
        ("65", "caries", json!(["O"]), "active"),
        // More than one thing on a surface, in a root and beside a crown.
        ("27", "caries", json!(["O"]), "active"),
        ("27", "wear", json!(["O", "B"]), "active"),
        ("28", "caries", json!([]), "active"),
        ("28", "defective_restoration", json!([]), "watch"),
        ("32", "pulpitis", json!([]), "active"),
        ("31", "wear", json!(["I"]), "watch"),
        ("75", "mobility", json!([]), "watch"),
        ("75", "caries", json!([]), "active"),
    ];
    for (tooth, code, surfaces, status) in findings {
        let body = json!({"tooth": tooth, "code": code, "surfaces": surfaces, "status": status});
        record(api, format!("/patients/{patient}/tooth-findings"), body).await;
    }
    let works = [
        ("36", "RE01", json!(["M", "O", "D"]), true),
        ("37", "CR01", json!([]), true),
        ("38", "EN01", json!([]), true),
        ("33", "RE01", json!(["V", "I"]), false),
        ("34", "CR01", json!([]), false),
        ("35", "SU01", json!([]), false),
        ("75", "RE02", json!(["O", "B"]), true),
        ("21", "XR01", json!([]), true),
        ("28", "RE01", json!([]), false),
        ("75", "XR01", json!([]), true),
    ];
    for (tooth, code, surfaces, done) in works {
        let body = json!({"procedure_code": code, "tooth": tooth, "surfaces": surfaces, "staff_id": staff});
        let mut current = api.post(&format!("/patients/{patient}/treatments"), body).await.expect(201);
        for action in ["start", "complete"].into_iter().filter(|_| done) {
            let path = format!("/treatments/{}/{action}", current["id"].as_str().unwrap());
            current =
                api.change(reqwest::Method::POST, &path, &current["version"], json!({})).await.expect(200);
        }
    }
    patient
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tooth_can_be_told_from_its_neighbours_and_by_its_name() {
    if browser::find().is_none() {
        println!("SKIPPED: no Chromium on this machine");
        return;
    }
    let clinic = Clinic::with(json!({"modules": ["dental"]})).await;
    let patient = chart(&clinic).await;
    let drawn = clinic.admin.get(&format!("/patients/{patient}/dental-chart.svg")).await;
    assert_eq!(drawn.status, 200, "{}", drawn.text);
    let folder = Folder::new();
    for (scheme, ground) in [("light", "rgb(255, 255, 255)"), ("dark", "rgb(18, 22, 29)")] {
        let (svg, at) = (drawn.text.clone(), folder.path().to_owned());
        let report = tokio::task::spawn_blocking(move || look(&svg, scheme, &at)).await.unwrap();
        assert_eq!(report["ground"], ground, "{scheme}");
        for flaw in ["overlaps", "outside", "small"] {
            assert_eq!(report[flaw], json!([]), "{scheme} {flaw}");
        }
        assert_eq!((&report["crowns"], &report["width"]), (&json!(52), &json!(800)));
        let teeth = report["teeth"].as_object().unwrap();
        assert_eq!(teeth.len(), 52);
        for (code, tooth) in teeth {
            assert!(["img", "image"].contains(&tooth[0].as_str().unwrap()), "{code}: {tooth}");
            assert!(tooth[1].as_str().unwrap().starts_with(&format!("{code}, ")), "{code}: {tooth}");
        }
        let name = |code: &str| teeth[code][1].as_str().unwrap();
        assert!(name("21").ends_with("caries on mesial, incisal; done: Intraoral X-ray"), "{}", name("21"));
        assert!(name("26").ends_with("caries on occlusal, buccal, watched"), "{}", name("26"));
        let all = "work found on mesial, occlusal; caries on occlusal; wear on occlusal, buccal";
        assert!(name("27").ends_with(&all.replace("work found", "restoration")), "{}", name("27"));
        assert!(name("35").ends_with("planned: Extraction"), "{}", name("35"));
        assert!(name("51").ends_with("fallen out"), "{}", name("51"));
    }
}
