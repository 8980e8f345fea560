//! The built program with a PostgreSQL of its own, for benchmarks that send it real HTTP.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use reqwest::Client;
use serde_json::{Value, json};

/// The operator whom the program is started with.
pub(crate) const OPERATOR: (&str, &str) = ("operator@bench.example", "correct horse battery staple");

/// The program, ended with the benchmark.
pub(crate) struct Program {
    child: Child,
    folder: std::path::PathBuf,
    /// Where it serves.
    pub(crate) base: String,
}

impl Program {
    /// Starts `clinicx dev` in an empty folder, with further variables of the environment, and waits until it serves.
    pub(crate) fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("clinicx-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(env!("CARGO_BIN_EXE_clinicx"))
            .args(["dev", "--json"])
            .current_dir(&folder)
            .env("CLINICX_HTTP__PORT", port.to_string())
            .env("CLINICX_BOOTSTRAP__EMAIL", OPERATOR.0)
            .env("CLINICX_BOOTSTRAP__PASSWORD", OPERATOR.1)
            .env("CLINICX_LOG__FILTER", std::env::var("BENCH_LOG").unwrap_or_else(|_| "warn".to_owned()))
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut program = Self { child, folder, base: String::new() };
        let lines = BufReader::new(program.child.stdout.take().unwrap()).lines();
        let mut text = String::new();
        for line in lines.map_while(Result::ok) {
            text.push_str(&line);
            if let Ok(told) = serde_json::from_str::<Value>(&text) {
                told["url"].as_str().unwrap().clone_into(&mut program.base);
                return program;
            }
        }
        panic!("the program has ended: {text}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Sends a body and returns the answer's.
pub(crate) async fn post(client: &Client, base: &str, token: Option<&str>, path: &str, body: Value) -> Value {
    let mut request = client.post(format!("{base}/api/v1{path}")).json(&body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

/// Returns an access token.
pub(crate) async fn log_in(client: &Client, base: &str, email: &str, password: &str) -> String {
    let tokens = post(client, base, None, "/auth/login", json!({"email": email, "password": password})).await;
    tokens["access_token"].as_str().unwrap().to_owned()
}

/// Reads a number from the environment.
pub(crate) fn setting(name: &str, usual: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Runs a benchmark, unless `cargo test --benches` asks for a run as a test; `cargo bench` passes flags of its own.
pub(crate) fn bench(run: impl Future<Output = ()>) {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(run);
}
