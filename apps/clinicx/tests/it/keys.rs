//! Keys: the wrong one is noticed before it does harm.

use clinicx::{
    config::{Profile, StateDir},
    server::Service,
};

use crate::support::configuration;

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
