//! The OpenAPI document and the pages.

use std::collections::BTreeSet;

use actix_web::{http::header, test::TestRequest};
use serde_json::Value;

use crate::module::{Client, api};

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(path) if name == "$ref" => {
                        found.insert(path);
                    }
                    _ => references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_operation_is_in_the_document_with_its_permission_and_answers() {
    let api = api();
    let document = api.document();
    assert_eq!(document["openapi"], "3.1.0");
    for operation in api.operations() {
        let item = &document["paths"][&operation.path][operation.method.as_str().to_ascii_lowercase()];
        assert_eq!(item["operationId"], operation.id);
        assert_eq!(item["x-permission"], operation.access.as_str(), "{}", operation.id);
        let responses = item["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{}", operation.id);
        for status in ["429", "431", "500", "503", "504"] {
            assert!(responses.contains_key(status), "{status} of {}", operation.id);
        }
        let listed: BTreeSet<_> = responses
            .values()
            .map(|response| match response["$ref"].as_str() {
                Some(path) => document.pointer(path.trim_start_matches('#')).unwrap(),
                None => response,
            })
            .flat_map(|response| response["x-codes"].as_array().cloned().unwrap_or_default())
            .map(|code| code.as_str().unwrap().to_owned())
            .collect();
        let codes: BTreeSet<_> = item["x-codes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|code| code.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(listed, codes, "{}", operation.id);
        assert!(codes.iter().all(|code| api.catalog().status(code).is_some()));
    }
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(found.contains("#/components/schemas/NewThingInput"), "{found:?}");
    for path in found {
        assert!(document.pointer(path.trim_start_matches('#')).is_some(), "{path}");
    }
}

#[test]
fn an_operation_says_what_it_takes_and_answers() {
    let api = api();
    let paths = &api.document()["paths"];
    let statuses = |path: &str, method: &str| -> Vec<String> {
        paths[path][method]["responses"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(
        statuses("/api/v1/things/{id}", "patch"),
        [
            "200", "400", "401", "403", "404", "408", "409", "410", "412", "413", "414", "415", "422", "428",
            "429", "431", "500", "503", "504"
        ],
    );
    assert_eq!(
        statuses("/api/v1/things", "get"),
        ["200", "400", "401", "403", "410", "414", "422", "429", "431", "500", "503", "504"]
    );
    let parameter = |path: &str, method: &str, name: &str| {
        let list = paths[path][method]["parameters"].as_array().unwrap();
        list.iter().find(|parameter| parameter["name"] == name).cloned().unwrap_or_default()
    };
    let q = parameter("/api/v1/things", "get", "q");
    assert_eq!((&q["schema"]["type"], &q["schema"]["maxLength"]), (&Value::from("string"), &Value::from(10)));
    assert_eq!(parameter("/api/v1/things", "get", "limit")["schema"]["maximum"], 200);
    assert_eq!(parameter("/api/v1/things/{id}", "get", "id")["schema"]["format"], "uuid");
    assert_eq!(parameter("/api/v1/things/{id}", "patch", "If-Match")["required"], true);
    assert_eq!(parameter("/api/v1/payments", "post", "Idempotency-Key")["required"], true);
    assert_eq!(parameter("/api/v1/weight", "get", "grams")["required"], true);
    assert_eq!(paths["/api/v1/things"]["post"]["requestBody"]["required"], true);
    assert_eq!(paths["/api/v1/things/{id}/close"]["post"]["requestBody"]["required"], false);
    assert_eq!(paths["/api/v1/chairs"]["get"]["x-module"], "dental");
    assert_eq!(paths["/api/v1/login"]["post"]["security"], serde_json::json!([]));
}

#[actix_web::test]
async fn the_document_and_its_page_are_served_by_the_program() {
    let client = Client::new();
    let document = client.send(TestRequest::get().uri("/openapi.json")).await;
    assert_eq!((document.status.as_u16(), document.header("content-type")), (200, Some("application/json")));
    assert_eq!(&document.json(), api().document());
    let tag = document.header("etag").unwrap();
    let again = TestRequest::get().uri("/openapi.json").insert_header((header::IF_NONE_MATCH, tag));
    let again = client.send(again).await;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
    let page = client.send(TestRequest::get().uri("/docs")).await;
    assert_eq!(page.status, 200);
    assert_eq!(client.send(TestRequest::get().uri("/docs/")).await.text, page.text);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.header("content-security-policy").unwrap().contains("script-src 'self'"));
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "nothing from elsewhere");
    assert!(!page.text.contains("<style") && !page.text.contains("onload="), "the policy lets the page work");
    for file in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        let found = client.send(TestRequest::get().uri(&format!("/docs/{file}"))).await;
        assert_eq!(found.status, 200, "{file}");
        assert_eq!(found.header("content-encoding"), None, "{file}");
    }
    for (accepted, encoding) in [("gzip, deflate, br", Some("gzip")), ("gzip;q=0", None), ("br", None)] {
        let script = TestRequest::get().uri("/docs/swagger-ui-bundle.js");
        let script = client.send(script.insert_header((header::ACCEPT_ENCODING, accepted))).await;
        assert_eq!(
            (script.status.as_u16(), script.header("content-encoding")),
            (200, encoding),
            "{accepted}"
        );
        assert_eq!(script.text.contains("SwaggerUIBundle"), encoding.is_none(), "{accepted}");
    }
    let settings = client.send(TestRequest::get().uri("/docs/swagger-initializer.js")).await;
    assert!(settings.text.contains("/openapi.json"), "{}", settings.text);
    assert_eq!(client.send(TestRequest::get().uri("/docs/nothing")).await.code(), "not_found");
    assert_eq!(client.send(TestRequest::post().uri("/openapi.json")).await.code(), "method_not_allowed");
    let meaning = client.send(TestRequest::get().uri("/problems/slot_taken")).await;
    assert_eq!((meaning.status.as_u16(), meaning.json()["status"].as_u64()), (200, Some(409)));
}
