//! What holds for every operation of the API document alike: shapes, dates, words.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clinicx::{modules, wiring::Slot};
use clinicx_types::lang::Language;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Api, Clinic};

/// Parts of what Rust, its libraries and PostgreSQL say, which no caller should read.
const INNER_WORDS: [&str; 14] = [
    "::", "struct ", "enum ", "tuple ", "Option", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "DbErr",
    "SQLSTATE",
];

/// An operation that the tests below call, with a path that names nothing.
struct Operation {
    id: String,
    method: Method,
    path: String,
    public: bool,
    for_operators: bool,
    parameters: Vec<Value>,
    body: Option<Value>,
}

/// Replaces a reference into the document by what it points to.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|path| document.pointer(path.trim_start_matches('#')));
    target.map_or(schema, |target| resolved(document, target))
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let filled: Vec<String> = path
                .split('/')
                .map(|part| match part {
                    "{slug}" => "nobody-has-this".to_owned(),
                    _ if part.starts_with('{') => Uuid::now_v7().to_string(),
                    _ => part.to_owned(),
                })
                .collect();
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            found.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: filled.join("/"),
                public: operation["x-permission"] == "public",
                for_operators: operation["x-permission"] == "operator",
                parameters: operation["parameters"].as_array().cloned().unwrap_or_default(),
                body: (!body.is_null()).then(|| resolved(document, body).clone()),
            });
        }
    }
    found
}

struct World {
    document: Value,
    clinic: Clinic,
    operator: Api,
}

impl World {
    async fn create() -> Self {
        let operator = Api::operator().await;
        let clinic = Clinic::with(json!({"modules": ["billing", "dental"]})).await;
        Self { document: modules::openapi(&Default::default()).unwrap(), clinic, operator }
    }

    async fn send(&self, operation: &Operation, query: &str, body: Option<&Value>) -> Answer {
        let api = if operation.for_operators { &self.operator } else { &self.clinic.admin };
        let url = format!("{}{}{query}", api.base, operation.path);
        let mut request = api.client.request(operation.method.clone(), url);
        if !operation.public {
            request = request.bearer_auth(api.token.as_deref().unwrap());
        }
        for parameter in operation.parameters.iter().filter(|one| one["required"] == true) {
            request = match parameter["name"].as_str().unwrap() {
                "If-Match" => request.header("If-Match", "*"),
                "Idempotency-Key" => request.header("Idempotency-Key", Uuid::new_v4().to_string()),
                _ => request,
            };
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        api.send(request).await
    }
}

/// Lists the members of a body's schema, of its nested objects as well, each with its pointer.
fn members(document: &Value, schema: &Value, pointer: &str, found: &mut Vec<(String, Value)>) {
    let schema = resolved(document, schema);
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{pointer}/{name}");
        found.push((place.clone(), resolved(document, member).clone()));
        for choice in member["anyOf"].as_array().into_iter().flatten() {
            members(document, choice, &place, found);
        }
        members(document, member, &place, found);
        if !member["items"].is_null() {
            let choices = member["items"]["anyOf"].as_array().cloned();
            for choice in choices.unwrap_or_else(|| vec![member["items"].clone()]) {
                let choice = resolved(document, &choice);
                if choice["type"] == "object" {
                    found.push((format!("{place}/0"), choice.clone()));
                }
                members(document, choice, &format!("{place}/0"), found);
            }
        }
    }
}

/// Makes a body with nothing but a value at a pointer.
fn with_value(pointer: &str, value: &Value) -> Value {
    pointer.rsplit('/').filter(|part| !part.is_empty()).fold(value.clone(), |inner, part| match part {
        "0" => json!([inner]),
        name => json!({name: inner}),
    })
}

fn is_of(schema: &Value, format: &str) -> bool {
    schema["format"] == format
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_takes_an_array_where_an_object_belongs() {
    let world = World::create().await;
    let mut nested = 0;
    for operation in operations(&world.document) {
        let Some(schema) = &operation.body else { continue };
        for body in [json!([]), json!(["a", "b"]), json!([[], {}])] {
            let problem = world.send(&operation, "", Some(&body)).await.expect_problem(422, "invalid");
            assert_eq!(problem["errors"][0]["pointer"], "", "{} {body}: {problem}", operation.id);
            assert_eq!(problem["errors"][0]["code"], "wrong_type", "{} {body}: {problem}", operation.id);
        }
        let mut all = Vec::new();
        members(&world.document, schema, "", &mut all);
        for (pointer, member) in all.iter().filter(|(_, member)| member["type"] == "object") {
            let body = with_value(pointer, &json!(["a", "b"]));
            let problem = world.send(&operation, "", Some(&body)).await.expect_problem(422, "invalid");
            assert_eq!(
                problem["errors"][0]["pointer"],
                pointer.as_str(),
                "{} {member}: {problem}",
                operation.id
            );
            nested += 1;
        }
    }
    assert!(nested >= 5, "only {nested} nested objects were seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_and_instants_are_of_the_years_1_to_9999_everywhere() {
    const DAYS: [&str; 6] =
        ["+262142-12-31", "10000-01-01", "-0001-01-01", "0000-01-01", "2026-02-30", "2026-2-1"];
    const INSTANTS: [&str; 5] = [
        "+262142-12-31T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
    ];
    let world = World::create().await;
    let (mut in_bodies, mut in_queries) = (0, 0);
    for operation in operations(&world.document) {
        let mut all = Vec::new();
        if let Some(schema) = &operation.body {
            members(&world.document, schema, "", &mut all);
        }
        for (pointer, member) in all {
            let bad: &[&str] = match () {
                () if is_of(&member, "date") => &DAYS,
                () if is_of(&member, "date-time") => &INSTANTS,
                () => continue,
            };
            for value in bad {
                let body = with_value(&pointer, &json!(value));
                let problem = world.send(&operation, "", Some(&body)).await.expect_problem(422, "invalid");
                assert_eq!(problem["errors"][0]["pointer"], pointer.as_str(), "{} {value}", operation.id);
                in_bodies += 1;
            }
        }
        // The path's things do not exist, and a list's filter is read before they are looked for.
        for parameter in operation.parameters.iter().filter(|one| one["in"] == "query") {
            let bad: &[&str] = match () {
                () if is_of(&parameter["schema"], "date") => &DAYS,
                () if is_of(&parameter["schema"], "date-time") => &INSTANTS,
                () => continue,
            };
            let name = parameter["name"].as_str().unwrap();
            for value in bad {
                let query = format!("?{name}={}", value.replace('+', "%2B"));
                let problem = world.send(&operation, &query, None).await.expect_problem(422, "invalid");
                assert_eq!(problem["errors"][0]["pointer"], format!("?{name}"), "{} {value}", operation.id);
                in_queries += 1;
            }
        }
    }
    assert!(in_bodies >= 30 && in_queries >= 25, "only {in_bodies} and {in_queries} were seen");
    let birth_dates = ["0000", "0000-12", "0000-12-31", "-0001-01-01", "%2B262142-12-31", "10000-01-01"];
    for value in birth_dates {
        let answer = world.clinic.admin.get(&format!("/patients?birth_date={value}")).await;
        assert_eq!(answer.expect_problem(422, "invalid")["errors"][0]["pointer"], "?birth_date", "{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_in_the_callers_words_and_no_type_of_rust() {
    let world = World::create().await;
    let api = modules::api(&Slot::default(), &Default::default()).unwrap();
    let kinds = [
        json!(null),
        json!(true),
        json!(-7),
        json!(1.5),
        json!(10_u64.pow(19)),
        json!(""),
        json!("\u{1}"),
        json!("x"),
        json!([]),
        json!([null]),
        json!({}),
        json!({"x": 1}),
    ];
    let (mut told, mut asked) = (0, 0);
    for operation in operations(&world.document) {
        // What ends the session of the rest of the test.
        if operation.id == "logout" {
            continue;
        }
        let mut all = Vec::new();
        if let Some(schema) = &operation.body {
            members(&world.document, schema, "", &mut all);
        }
        for (pointer, _) in &all {
            for kind in &kinds {
                let answer = world.send(&operation, "", Some(&with_value(pointer, kind))).await;
                asked += 1;
                assert!(answer.status.as_u16() < 500, "{} {pointer} {kind}: {}", operation.id, answer.text);
                if answer.status.as_u16() < 400 {
                    continue;
                }
                let found = INNER_WORDS.iter().find(|word| answer.text.contains(**word));
                assert_eq!(found, None, "{} {pointer} {kind}: {}", operation.id, answer.text);
                let problem = answer.json();
                for error in problem["errors"].as_array().into_iter().flatten() {
                    told += 1;
                    let code = error["code"].as_str().unwrap();
                    for language in [Language::English, Language::German, Language::Arabic] {
                        let text = api.catalog().field(code, language);
                        assert!(text.is_some(), "{code} has no text in {}: {problem}", language.tag());
                    }
                }
            }
        }
    }
    assert!(asked > 1000 && told > 500, "only {asked} were asked and {told} told");
}

/// Lists the source files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the text up to the bracket that closes the one it starts in.
fn arguments(text: &str) -> &str {
    let (mut depth, mut in_string, mut escaped) = (1, false, false);
    for (at, sign) in text.char_indices() {
        match sign {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '(' | '{' | '[' if !in_string => depth += 1,
            ')' | '}' | ']' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// Returns the string literals that look like a code: lower case, digits, underscores.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let fits = |word: &&str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.split('"').skip(1).step_by(2).filter(fits)
}

#[test]
fn every_code_that_the_source_names_has_a_text_in_every_language() {
    /// What makes the error of a field, and what says an error's code.
    const MAKERS: [&str; 9] = [
        "FieldError::new(",
        "ValidationError::new(",
        "refusal(",
        "refuse(",
        "::invalid(",
        "invalid_field(",
        "TenancyError::field(",
        "findings.add(",
        "let code = match error {",
    ];
    const SAYERS: [&str; 2] = ["fn code(&self) -> &'static str {", "fn code(self) -> &'static str {"];
    let api = modules::api(&Slot::default(), &Default::default()).unwrap();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    sources(&root.join("apps/clinicx/src"), &mut files);
    for crate_ in fs::read_dir(root.join("crates")).unwrap() {
        sources(&crate_.unwrap().path().join("src"), &mut files);
    }
    let (mut fields, mut codes) = (BTreeSet::new(), BTreeSet::new());
    // The names there are those of settings, and nothing that a request can meet.
    files.retain(|file| !file.ends_with("identity/src/settings.rs"));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        let after = |marker: &'static str| text.split(marker).skip(1).map(arguments);
        fields.extend(MAKERS.into_iter().flat_map(after).flat_map(words).map(str::to_owned));
        let said = SAYERS.into_iter().flat_map(after).flat_map(|body| body.split("=> \"").skip(1));
        codes.extend(said.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
    assert!(fields.len() > 40 && codes.len() > 30, "{fields:?} {codes:?}");
    let mut missing = Vec::new();
    for language in [Language::English, Language::German, Language::Arabic] {
        let catalog = api.catalog();
        let known = |code: &&String| catalog.field(code, language).is_some();
        missing.extend(fields.iter().filter(|code| !known(code)).map(|code| (code, language.tag())));
        let known = |code: &&String| known(code) || catalog.status(code).is_some();
        missing.extend(codes.iter().filter(|code| !known(code)).map(|code| (code, language.tag())));
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_input_says_that_null_is_what_an_absent_member_stands_for() {
    fn walk(value: &Value, place: &str) {
        match value {
            Value::Object(members) => {
                assert!(members.get("default").is_none_or(|default| !default.is_null()), "{place}");
                members.iter().for_each(|(name, member)| walk(member, &format!("{place}/{name}")));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, place)),
            _ => {}
        }
    }
    walk(&modules::openapi(&Default::default()).unwrap(), "");
}
