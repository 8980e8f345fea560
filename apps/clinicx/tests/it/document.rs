//! The API document: kept, served and printed alike, and readable at `/docs` without anything from elsewhere.

use std::{fs, path::PathBuf};

use clinicx::modules;
use serde_json::Value;

use crate::{program::Program, support::Api};

#[test]
fn the_document_in_the_repository_is_what_the_program_prints() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let printed = Program::new().run(&["openapi"]).json();
    let kept: Value = serde_json::from_str(&fs::read_to_string(file).unwrap_or_default()).unwrap_or_default();
    // The documents themselves would fill the screen.
    assert!(kept == printed, "docs/openapi.json is out of date; run `just openapi`");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_that_is_served_is_the_one_that_is_printed() {
    let served = Api::anonymous().await.get("//openapi.json").await.expect(200);
    assert!(served == modules::openapi(&Default::default()).unwrap());
    assert_eq!(served["openapi"], "3.1.0");
}

/// Returns the values of an attribute in HTML.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("{name}=\"");
    html.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_page_loads_nothing_from_elsewhere() {
    let api = Api::anonymous().await;
    let page = api.get("//docs").await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.header("content-type").starts_with("text/html"));
    let mut assets = attributes(&page.text, "src");
    assets.extend(attributes(&page.text, "href"));
    assert!(assets.len() >= 3, "{}", page.text);
    for asset in assets {
        assert!(asset.starts_with("/docs/") && !asset.contains("//"), "{asset} comes from elsewhere");
        let path = format!("/{asset}");
        let answer = api.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text.is_empty(), "{path}");
        if path.ends_with(".css") {
            assert!(!answer.text.contains("url(http") && !answer.text.contains("@import"), "{path}");
        }
        if path.ends_with("initializer.js") {
            assert!(answer.text.contains("/openapi.json") && !answer.text.contains("://"), "{}", answer.text);
        }
    }
    assert!(!page.text.contains("://"), "{}", page.text);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
}
