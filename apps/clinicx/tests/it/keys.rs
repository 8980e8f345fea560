//! Keys: the wrong one is noticed before it does harm.

use clinicx::{
    config::{Profile, StateDir},
    server::Service,
};

use serde_json::Value;

use crate::{program::Program, support::configuration};

/// Starts a service and returns the one line with which it refuses.
async fn refusal(config: &clinicx::config::Config) -> String {
    match Service::start(config).await {
        Ok(service) => {
            service.stop().await;
            panic!("it started");
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_than_the_databases_refuses_the_start() {
    let config = configuration("keys").await;
    clinicx::cli::migrate::system(&config).await.unwrap();
    Service::start(&config).await.unwrap().stop().await;
    Service::start(&config).await.unwrap().stop().await;
    let mut elsewhere = config.clone();
    elsewhere.state_dir = StateDir(config.state_dir.0.with_extension("elsewhere"));
    let line = refusal(&elsewhere).await;
    assert!(line.contains("master key") && line.contains("keys.master_key_file"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_no_key_is_made_up() {
    let mut config = configuration("keys").await;
    config.bootstrap = clinicx::config::BootstrapConfig::default();
    clinicx::cli::migrate::system(&config).await.unwrap();
    config.profile = Profile::Production;
    let line = refusal(&config).await;
    assert!(line.contains("is not configured") && line.contains("openssl rand"), "{line}");
    assert!(!config.state_dir.0.join("keys").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_service_that_is_away_is_named_by_doctor_and_refuses_the_start() {
    const TOKEN: &str = "hvs.the-token-of-the-test";
    let config = configuration("keys").await;
    clinicx::cli::migrate::system(&config).await.unwrap();
    let program = Program::new()
        .with("CLINICX_DATABASE__URL", config.database.url.as_ref().unwrap().expose())
        .with("CLINICX_STATE_DIR", config.state_dir.0.display().to_string())
        .with("CLINICX_KEYS__PROVIDER", "vault")
        // Nobody listens there.
        .with("CLINICX_KEYS__VAULT__ADDRESS", "http://127.0.0.1:1")
        .with("CLINICX_KEYS__VAULT__TOKEN", TOKEN);
    let doctor = program.run(&["doctor", "--json"]);
    doctor.expect(1);
    let report: Value = serde_json::from_str(&doctor.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "master key").unwrap();
    assert_eq!(check["status"], "failed");
    assert!(check["finding"].as_str().unwrap().contains("does not answer"), "{check}");
    assert!(check["mend"].as_str().unwrap().contains("key service"), "{check}");
    let serve = program.run(&["serve"]);
    let last = serve.expect(1).stderr.lines().last().unwrap_or_default();
    assert!(last.contains("master key") && last.contains("does not answer"), "{}", serve.stderr);
    for ran in [doctor, serve] {
        assert!(!ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN), "the token was printed");
    }
}
