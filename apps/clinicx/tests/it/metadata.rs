//! What `cargo metadata` says about this workspace: arrows between crates and licences of dependencies.

use std::{collections::BTreeMap, process::Command, sync::OnceLock};

use serde_json::Value;

/// Each crate and the crates of the workspace that it may depend on. Arrows point down only.
const LAYERS: &[(&str, &[&str])] = &[
    ("clinicx-types", &[]),
    ("clinicx-embedded-postgres", &[]),
    ("clinicx-persistence", &["clinicx-types"]),
    ("clinicx-migration", &["clinicx-types", "clinicx-persistence"]),
    ("clinicx-keys", &["clinicx-types", "clinicx-persistence"]),
    ("clinicx-vault", &["clinicx-keys"]),
    ("clinicx-tenancy", &["clinicx-types", "clinicx-persistence", "clinicx-migration", "clinicx-keys"]),
    ("clinicx-jobs", &["clinicx-types", "clinicx-persistence", "clinicx-tenancy"]),
    (
        "clinicx-archive",
        &["clinicx-types", "clinicx-persistence", "clinicx-migration", "clinicx-keys", "clinicx-tenancy"],
    ),
    ("clinicx-identity", &["clinicx-types", "clinicx-persistence"]),
    ("clinicx-core", &["clinicx-types", "clinicx-persistence", "clinicx-migration", "clinicx-keys"]),
    (
        "clinicx-adoption",
        &[
            "clinicx-types",
            "clinicx-persistence",
            "clinicx-migration",
            "clinicx-keys",
            "clinicx-tenancy",
            "clinicx-core",
        ],
    ),
    (
        "clinicx-billing",
        &["clinicx-types", "clinicx-persistence", "clinicx-migration", "clinicx-keys", "clinicx-core"],
    ),
    (
        "clinicx-dental",
        &["clinicx-types", "clinicx-persistence", "clinicx-migration", "clinicx-keys", "clinicx-core"],
    ),
    ("clinicx-audit", &["clinicx-types", "clinicx-persistence", "clinicx-migration"]),
    ("clinicx-web", &["clinicx-types", "clinicx-persistence", "clinicx-keys"]),
];

/// Crates that no library and no domain crate may reach, in any number of steps.
const NOT_BELOW_WEB: &[&str] = &["actix-web", "clap", "figment"];

/// Licences that may be linked into the program.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "PostgreSQL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let version = Command::new("rustc").arg("-vV").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

fn packages() -> &'static [Value] {
    metadata()["packages"].as_array().unwrap()
}

/// The names of a package's dependencies outside its tests.
fn dependencies(package: &Value) -> Vec<&str> {
    let all = package["dependencies"].as_array().unwrap();
    all.iter().filter(|one| one["kind"] != "dev").map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn arrows_between_crates_point_down_only() {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut seen = 0;
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = layers.get(name) else { continue };
        seen += 1;
        for dependency in dependencies(package) {
            let fine = !dependency.starts_with("clinicx") || allowed.contains(&dependency);
            assert!(fine, "{name} must not depend on {dependency}");
        }
    }
    assert_eq!(seen, layers.len(), "a layer has gone: bring the table up to date");
}

#[test]
fn every_crate_of_the_workspace_has_its_place_in_the_layers() {
    let known = |name: &str| LAYERS.iter().any(|(layer, _)| *layer == name);
    for package in packages().iter().filter(|package| package["source"].is_null()) {
        let name = package["name"].as_str().unwrap();
        assert!(known(name) || ["clinicx", "clinicx-testing"].contains(&name), "{name} has no place");
    }
}

#[test]
fn domain_crates_reach_no_http_and_no_command_line() {
    let nodes: BTreeMap<&str, Vec<&str>> = metadata()["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let normal =
                |dep: &&Value| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
            let deps = node["deps"].as_array().unwrap().iter().filter(normal);
            (node["id"].as_str().unwrap(), deps.map(|dep| dep["pkg"].as_str().unwrap()).collect())
        })
        .collect();
    let name_of: BTreeMap<&str, &str> =
        packages().iter().map(|p| (p["id"].as_str().unwrap(), p["name"].as_str().unwrap())).collect();
    for (&id, &name) in &name_of {
        if !name.starts_with("clinicx-") || ["clinicx-web", "clinicx-testing"].contains(&name) {
            continue;
        }
        let (mut open, mut seen) = (vec![id], std::collections::BTreeSet::new());
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                assert!(!NOT_BELOW_WEB.contains(&name_of[next]), "{name} reaches {}", name_of[next]);
                open.extend(nodes.get(next).into_iter().flatten());
            }
        }
    }
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    let allowed: Vec<spdx::Licensee> =
        LICENCES.iter().map(|text| spdx::Licensee::parse(text).unwrap()).collect();
    let mut checked = 0;
    for package in packages().iter().filter(|package| !package["source"].is_null()) {
        let name = package["name"].as_str().unwrap();
        let text = package["license"].as_str().unwrap_or_else(|| panic!("{name} names no licence"));
        let expression = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let fine =
            expression.evaluate(|required| allowed.iter().any(|licensee| licensee.satisfies(required)));
        assert!(fine, "{name} is licensed {text}");
        checked += 1;
    }
    assert!(checked > 100, "only {checked} dependencies were seen");
}

#[test]
fn the_texts_of_our_licences_are_in_the_repository() {
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    for (file, begins) in [("LICENSE-MIT", "MIT License"), ("LICENSE-APACHE", "Apache License")] {
        let text = std::fs::read_to_string(format!("{top}{file}")).unwrap();
        assert!(text.trim_start().starts_with(begins), "{file}");
    }
}
