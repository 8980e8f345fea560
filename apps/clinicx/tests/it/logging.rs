//! `docs/logging.md` lists every field and every span that the code logs, and none besides.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What begins a place that names fields.
const EVENTS: &[&str] =
    &["tracing::trace!(", "tracing::debug!(", "tracing::info!(", "tracing::warn!(", "tracing::error!("];
const SPANS: &[&str] = &["tracing::info_span!(", "tracing::debug_span!("];
const FUNCTIONS: &str = "tracing::instrument(";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The sources of the libraries and the program, without their tests' folders.
fn sources() -> Vec<String> {
    fn read(folder: &Path, texts: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, texts);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                texts.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut texts = Vec::new();
    for folder in crates.chain([root().join("apps/clinicx"), root().join("migration")]) {
        read(&folder.join("src"), &mut texts);
    }
    texts
}

/// The arguments of a call whose opening bracket has just been read.
fn arguments(after_bracket: &str) -> Vec<String> {
    let (mut depth, mut all, mut current) = (0, Vec::new(), String::new());
    let mut letters = after_bracket.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                current.push('"');
                let mut is_escaped = false;
                for letter in letters.by_ref() {
                    current.push(letter);
                    if letter == '"' && !is_escaped {
                        break;
                    }
                    is_escaped = letter == '\\' && !is_escaped;
                }
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(std::mem::take(&mut current).trim().to_owned());
                continue;
            }
            _ => {}
        }
        current.push(letter);
    }
    all.push(current.trim().to_owned());
    all.retain(|argument| !argument.is_empty());
    all
}

/// The fields among the arguments of an event or of `fields(..)`: `a.b = x`, `%x`, `?x`, `x`.
fn fields(arguments: &[String]) -> impl Iterator<Item = String> {
    let are_fields = |argument: &&String| !argument.starts_with('"') && !argument.starts_with("target:");
    arguments.iter().filter(are_fields).map(|argument| {
        let name = argument.split('=').next().unwrap().trim().trim_start_matches(['%', '?']);
        name.trim_matches('"').to_owned()
    })
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches('"').to_owned()
}

/// Every field and every span of the code.
fn logged() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut all_fields, mut spans) = (BTreeSet::new(), BTreeSet::new());
    for text in sources() {
        let calls =
            |opening: &str| -> Vec<Vec<String>> { text.split(opening).skip(1).map(arguments).collect() };
        for call in EVENTS.iter().flat_map(|opening| calls(opening)) {
            all_fields.extend(fields(&call));
        }
        for call in SPANS.iter().flat_map(|opening| calls(opening)) {
            spans.insert(unquoted(&call[0]));
            all_fields.extend(fields(&call[1..]));
        }
        for argument in calls(FUNCTIONS).iter().flatten() {
            if let Some(name) = argument.strip_prefix("name = ") {
                spans.insert(unquoted(name));
            }
            if let Some(inner) = argument.strip_prefix("fields(") {
                all_fields.extend(fields(&arguments(inner)));
            }
        }
    }
    (all_fields, spans)
}

/// The names in the first column of the table under a heading.
fn listed(page: &str, heading: &str) -> BTreeSet<String> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    cells.flat_map(|cell| cell.split(", ").map(|name| name.trim_matches('`').to_owned())).collect()
}

#[test]
fn the_page_of_the_log_lists_what_is_logged() {
    let page = fs::read_to_string(root().join("docs/logging.md")).unwrap();
    let (fields, spans) = logged();
    assert!(fields.contains("request.id") && fields.contains("smtp.code"), "{fields:?}");
    assert!(spans.contains("http.request") && spans.contains("core.appointment.transition"), "{spans:?}");
    let check = |heading: &str, used: &BTreeSet<String>| {
        let listed = listed(&page, heading);
        let missing: Vec<_> = used.difference(&listed).collect();
        assert!(missing.is_empty(), "docs/logging.md, {heading}: add {missing:?}");
        let unused: Vec<_> = listed.difference(used).collect();
        assert!(unused.is_empty(), "docs/logging.md, {heading}: nobody logs {unused:?}");
    };
    check("Fields", &fields);
    check("Spans", &spans);
}
