//! The drawing of a chart, without a browser: what it says of each tooth.

use clinicx_dental::{
    chart::ChartView,
    notation::Notation,
    odontogram::{self, Dentitions, Options, Size, Theme},
};
use serde_json::json;

use crate::practice::Practice;

/// The name of the image of a tooth.
fn name_of<'a>(svg: &'a str, code: &str) -> &'a str {
    let begin = format!("<g id=\"tooth-{code}\"");
    let rest = &svg[svg.find(&begin).unwrap_or_else(|| panic!("no tooth {code}"))..];
    let from = rest.find("aria-label=\"").unwrap() + 12;
    &rest[from..from + rest[from..].find('"').unwrap()]
}

#[tokio::test]
async fn each_tooth_is_named_with_all_that_is_known_of_it() {
    let practice = Practice::open().await;
    practice.presence(json!({"tooth": "36", "state": "present"})).await.unwrap();
    practice.finding(json!({"tooth": "36", "code": "caries", "surfaces": ["M", "O"]})).await.unwrap();
    practice
        .finding(json!({"tooth": "16", "code": "wear", "surfaces": ["P"], "status": "watch"}))
        .await
        .unwrap();
    practice.perform(json!({"procedure_code": "RE01", "tooth": "11", "surfaces": ["I"]})).await.unwrap();
    practice.plan(json!({"procedure_code": "SU01", "tooth": "48"})).await.unwrap();
    practice.perform(json!({"procedure_code": "PE01", "region": "10"})).await.unwrap();
    let chart = practice.chart().await;
    let svg = odontogram::draw(&chart, &Options::default());
    assert_eq!(svg.matches("role=\"img\"").count(), 52);
    assert_eq!(svg.matches("<title").count(), 53);
    let check = |code: &str, name: &str| assert_eq!(name_of(&svg, code), name);
    check("36", "36, lower left first molar: present; caries on mesial, occlusal");
    check("16", "16, upper right first molar: nothing known; wear on palatal, watched");
    check("11", "11, upper right central incisor: nothing known; done: Composite filling on incisal");
    check("48", "48, lower right third molar: nothing known; planned: Extraction");
    check("75", "75, deciduous lower left second molar: nothing known");
    assert!(svg.contains("Done elsewhere than on teeth: Scaling and root planing (quadrant 10)."));

    let view = ChartView { as_of: None, notation: Some(Notation::Universal) };
    let universal = odontogram::draw(&practice.chart_as(view).await, &Options::default());
    assert!(name_of(&universal, "36").starts_with("19, lower left first molar"));
    assert!(universal.contains("Universal notation"));
}

#[tokio::test]
async fn options_choose_the_ground_the_size_and_the_teeth() {
    let practice = Practice::open().await;
    let chart = practice.chart().await;
    let draw = |options: Options| odontogram::draw(&chart, &options);
    let usual = draw(Options::default());
    assert!(usual.contains("prefers-color-scheme:dark") && usual.contains("width=\"800\""));
    assert!(usual.contains("nothing is charted"));
    for theme in [Theme::Light, Theme::Dark] {
        assert!(!draw(Options { theme, ..Options::default() }).contains("prefers-color-scheme"));
    }
    let print = draw(Options { size: Size::Print, ..Options::default() });
    assert!(print.contains("width=\"180mm\""));
    for dentitions in [Dentitions::Permanent, Dentitions::Known] {
        let permanent = draw(Options { dentitions, ..Options::default() });
        assert_eq!(permanent.matches("role=\"img\"").count(), 32);
    }
    // No script, nothing from elsewhere.
    for word in ["<script", "http", "onload", "href", "@import"] {
        assert_eq!(usual.replace("http://www.w3.org/2000/svg", "").matches(word).count(), 0, "{word}");
    }
}

#[tokio::test]
async fn words_of_the_catalogue_stay_words() {
    let practice = Practice::open().await;
    let body = json!({"code": "Q1", "name": "</title><script>\"&", "area": "tooth"});
    let input = serde_json::from_value(body).unwrap();
    practice
        .write(async |tx| clinicx_dental::procedure_code::create(tx, &practice.scope, input).await)
        .await
        .unwrap();
    practice.perform(json!({"procedure_code": "Q1", "tooth": "11"})).await.unwrap();
    let svg = odontogram::draw(&practice.chart().await, &Options::default());
    assert!(!svg.contains("<script>") && svg.contains("&lt;/title&gt;&lt;script&gt;&quot;&amp;"));
}

/// The drawing of a tooth.
fn drawn<'a>(svg: &'a str, code: &str) -> &'a str {
    let rest = &svg[svg.find(&format!("<g id=\"tooth-{code}\"")).unwrap()..];
    &rest[..rest.find("</g>").unwrap()]
}

/// The outlines that are filled with a pattern.
fn filled<'a>(drawing: &'a str, ink: &str) -> Vec<&'a str> {
    let begin = format!("<path class=\"fill-{ink}\" d=\"");
    drawing.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn nothing_hides_what_is_on_the_same_surface_or_root() {
    let practice = Practice::open().await;
    for body in [
        json!({"tooth": "36", "code": "caries", "surfaces": ["O"], "onset_on": "2026-01-01"}),
        json!({"tooth": "36", "code": "discolouration", "surfaces": ["O"]}),
        json!({"tooth": "36", "code": "restoration", "surfaces": ["O"]}),
        json!({"tooth": "36", "code": "root_filling"}),
        json!({"tooth": "36", "code": "pulpitis"}),
        json!({"tooth": "46", "code": "caries", "surfaces": ["O"]}),
    ] {
        practice.finding(body).await.unwrap();
    }
    let svg = odontogram::draw(&practice.chart().await, &Options::default());
    let molar = drawn(&svg, "36");
    let mut outlines = Vec::new();
    for ink in ["caries", "defect"] {
        let found = filled(molar, ink);
        assert_eq!(found.len(), 1, "{ink}: {molar}");
        outlines.extend(found);
    }
    // The filling on a third of the surface, the filled root beside the inflamed one.
    let existing = filled(molar, "existing");
    assert_eq!((existing.len(), filled(molar, "pulp").len()), (2, 1));
    outlines.extend(existing);
    outlines.extend(filled(molar, "pulp"));
    let count = outlines.len();
    outlines.sort_unstable();
    outlines.dedup();
    assert_eq!(outlines.len(), count, "none covers another: {outlines:?}");
    // A surface with one of them is filled wholly: its outline is that of the surface.
    let alone = drawn(&svg, "46");
    let whole = filled(alone, "caries");
    assert!(alone.contains(&format!("<path class=\"surface\" d=\"{}\"/>", whole[0])), "{alone}");
    assert!(!molar.contains(&format!("<path class=\"surface\" d=\"{}\"/>", filled(molar, "caries")[0])));
    let name = name_of(&svg, "36");
    for what in ["caries on occlusal", "discolouration on occlusal", "root filling", "pulpitis"] {
        assert!(name.contains(what), "{name}");
    }
}

#[tokio::test]
async fn what_has_no_surface_is_drawn_beside_the_crown() {
    let practice = Practice::open().await;
    for body in [
        json!({"tooth": "46", "code": "caries"}),
        json!({"tooth": "46", "code": "mobility"}),
        json!({"tooth": "16", "code": "caries", "status": "watch"}),
        json!({"tooth": "26", "code": "caries", "surfaces": ["O"], "status": "watch"}),
    ] {
        practice.finding(body).await.unwrap();
    }
    practice.perform(json!({"procedure_code": "RE01", "tooth": "46"})).await.unwrap();
    practice.plan(json!({"procedure_code": "RE01", "tooth": "46"})).await.unwrap();
    let svg = odontogram::draw(&practice.chart().await, &Options::default());
    let molar = drawn(&svg, "46");
    assert_eq!(molar.matches("class=\"fill-").count(), 0, "{molar}");
    let mut places = Vec::new();
    for ink in ["caries", "defect", "done"] {
        let class = format!("class=\"badge fill-{ink} edge-{ink}\"");
        assert_eq!(molar.matches(&class).count(), 1, "{ink}: {molar}");
        places.push(molar.split(&class).nth(1).unwrap().split("/>").next().unwrap().to_owned());
    }
    let planned = molar.split("<rect class=\"line-planned\"").nth(1).unwrap();
    places.push(planned.split("/>").next().unwrap().to_owned());
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 4, "each has a place of its own: {places:?}");
    // What is watched keeps its colour and has a pattern of its own.
    assert!(drawn(&svg, "16").contains("class=\"badge fill-caries-watch edge-caries\""));
    assert_eq!(filled(drawn(&svg, "26"), "caries-watch").len(), 1);
}
