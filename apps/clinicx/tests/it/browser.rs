//! The pages as a browser shows them: Chromium, headless, with nothing but this service to load from.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use crate::{
    program::Folder,
    support::{Api, base},
};

/// The names under which distributions install it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Finds a browser. CI has one; elsewhere the test says that it could not look.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|file| file.is_file());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "no Chromium; .ci/run installs one");
    found
}

fn show(browser: PathBuf, profile: &Folder, url: &str) -> Output {
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        // Time as the page sees it: it ends when nothing is left to load.
        "--virtual-time-budget=30000",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
    command.output().expect("the browser starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_page_shows_every_operation() {
    let Some(browser) = find() else {
        println!("SKIPPED: no Chromium on this machine");
        return;
    };
    let document = Api::anonymous().await.get("//openapi.json").await.expect(200);
    let url = format!("{}/docs/", base().await);
    let profile = Folder::new();
    let shown = tokio::task::spawn_blocking(move || show(browser, &profile, &url)).await.unwrap();
    let (page, log) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    let operations = document["paths"].as_object().unwrap().values().flat_map(|path| {
        let methods = path.as_object().unwrap().values();
        methods.filter_map(|operation| operation["operationId"].as_str().map(str::to_owned))
    });
    let missing: Vec<_> = operations.filter(|id| !page.contains(&format!("-{id}\""))).collect();
    assert!(missing.is_empty(), "the page does not show {missing:?}\n{log}");
    // A refused script or style would leave a line; so would an error of the page's own script.
    let complaint = log.lines().find(|line| line.contains("CONSOLE") && !line.contains("INFO:CONSOLE:"));
    assert_eq!(complaint, None, "{log}");
    for word in ["Content Security Policy", "Refused to", "Uncaught"] {
        assert!(!log.contains(word), "{log}");
    }
}
