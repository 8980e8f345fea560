//! What a start says that can't succeed: which value is wrong, and why.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, time::Duration};

use clinicx::wiring::Platform;
use serde_json::{Value, json};

use crate::{
    command::on_a_database,
    program::{Program, finish},
    support::configuration,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_value_is_named_with_what_is_wrong_about_it() {
    let program = on_a_database().await.with("CLINICX_LOG__FILTER", "error");
    let check = |command: &[&str], variables: &[(&str, &str)], code: i32, wanted: &str| {
        let ran = finish(program.command(command).envs(variables.iter().copied()));
        let line = ran.refusal(code);
        assert!(line.contains(wanted), "{wanted}: {line}");
    };
    let (system, list) = (&["migrate", "system"][..], &["tenant", "list"][..]);
    let (email, password) = ("CLINICX_BOOTSTRAP__EMAIL", "CLINICX_BOOTSTRAP__PASSWORD");
    let short = [(email, "op@platform.example"), (password, "short")];
    check(system, &short, 2, "bootstrap.password: must have at least 8 characters");
    check(&["serve", "--port", "0"], &short, 2, "bootstrap.password: must have at least 8 characters");
    check(system, &[(email, "nobody"), (password, "a good passphrase")], 2, "bootstrap.email: ");
    check(system, &short[..1], 2, "bootstrap.password is not");
    let issuers = [("CLINICX_AUTH__OIDC", r#"[{name="x", issuer="ftp://y"}]"#)];
    check(list, &issuers, 1, "auth.oidc: ");
    let claims = [("CLINICX_AUTH__OIDC", r#"[{name="x", issuer="https://y", tenant_claim=""}]"#)];
    check(list, &claims, 1, "auth.oidc x: tenant_claim must name a claim");
    let former = [("CLINICX_AUDIT__FORMER_PUBLIC_KEYS", r#"["nonsense"]"#)];
    check(list, &former, 1, "audit.former_public_keys: a public key looks like");
    let vault = [
        ("CLINICX_KEYS__PROVIDER", "vault"),
        ("CLINICX_KEYS__VAULT__ADDRESS", "http://elsewhere.example"),
        ("CLINICX_KEYS__VAULT__TOKEN", "t"),
    ];
    check(list, &vault, 1, "keys.vault: the address must begin with https://");
}

#[test]
fn values_that_serve_nobody_are_refused_before_anything_is_connected_to() {
    let program = Program::new().with("CLINICX_DATABASE__URL", "postgres://nobody@127.0.0.1:1/x");
    for (name, value, wanted) in [
        ("CLINICX_HTTP__WORKERS", "0", "http.workers must be from 1"),
        ("CLINICX_DATABASE__POOL__MAX_CONNECTIONS", "0", "database.pool.max_connections must be from 1"),
        ("CLINICX_DATABASE__POOL__TENANT_SHARE", "7", "database.pool.tenant_share must be from 0 to 1"),
        ("CLINICX_HTTP__BODY_TIMEOUT", "0s", "http.body_timeout must not be 0"),
        ("CLINICX_BOOTSTRAP__EMAIL", "op@platform.example", "bootstrap.password is not"),
    ] {
        for command in [&["serve"][..], &["doctor", "--json"]] {
            let ran = finish(program.command(command).env(name, value));
            assert!(ran.refusal(2).contains(wanted), "{name}: {}", ran.stderr);
        }
    }
}

#[test]
fn the_doctor_says_to_programs_what_is_configured_even_without_a_database() {
    let ran = Program::new().run(&["doctor", "--json"]);
    let line = ran.refusal(1).trim();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["checks"], &report["error"]), (&json!([]), &json!(line)));
    assert_eq!(report["configuration"]["http"]["port"], 8080);
}

#[test]
fn a_variable_that_is_no_text_matters_only_when_it_is_ours() {
    let program = Program::new();
    let rubbish = || OsString::from_vec(vec![0xff]);
    let ran = finish(program.command(&["tenant", "list"]).env("FOO", rubbish()));
    assert!(ran.refusal(1).contains("CLINICX_DATABASE__URL"), "{}", ran.stderr);
    let ran = finish(program.command(&["tenant", "list"]).env("CLINICX_STATE_DIR", rubbish()));
    assert!(ran.refusal(2).contains("CLINICX_STATE_DIR is not valid UTF-8"), "{}", ran.stderr);
    // A service called clinicx gives this to every container in its namespace.
    let ran = finish(program.command(&["tenant", "list"]).env("CLINICX_PORT", "tcp://10.0.0.1:80"));
    assert!(ran.refusal(2).contains("key port; did you mean http.port?"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_keeps_no_connections_ready() {
    let mut config = configuration("lazy").await;
    config.database.pool.min_connections = 10;
    clinicx::cli::migrate::system(&config).await.unwrap();
    let serving = Platform::open(&config).await.unwrap();
    let patience = Duration::from_secs(60);
    let filled = async {
        while serving.cluster.stats().opened < 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, filled).await.expect("a service keeps them ready");
    // As long as the other took, and this one has opened none but what it looked at the server with.
    let command = Platform::open_for_command(&config).await.unwrap();
    let stats = command.cluster.stats();
    assert!(stats.idle <= 1, "{stats:?}");
    assert_eq!(command.config.database.pool.min_connections, 0);
    command.close().await;
    serving.close().await;
}
