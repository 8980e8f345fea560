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
