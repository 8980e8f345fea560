//! The same against a provider that others wrote: the npm package `oidc-provider`, a certified one, as a process of its
//! own. Its version and those of all that it needs are in `real/package-lock.json`; they are installed below `target`.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use clinicx::config::{OidcConfig, Secret};
use reqwest::{Client, Response, header, redirect};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::world::{AUDIENCE, CLIENT, back, provider};
use crate::support::{Answer, Api, Clinic, OPERATOR, configuration, start};

const SECRET: &str = "a secret/with:signs";
const MACHINE: &str = "reports";
/// The name of the provider.
const NAME: &str = "real";

/// The running provider; ended when dropped.
struct Process {
    child: Child,
    url: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it. Without Node.js it is `None`, loudly; in CI that is a failure.
    #[expect(clippy::print_stdout, reason = "what was not tried is said")]
    fn start(tenant: &str) -> Option<Self> {
        let has = |program: &str| {
            let version = Command::new(program).arg("--version").stderr(Stdio::null()).output();
            version.is_ok_and(|output| output.status.success())
        };
        if !has("node") || !has("npm") {
            assert!(env::var_os("CI").is_none(), "no node or npm; .ci/run installs them");
            println!("SKIPPED: no node and npm on this machine, so no real OpenID Connect provider");
            return None;
        }
        let people = json!({
            "ada": {
                "name": "Ada Byron", "email": "ada@real.example", "email_verified": true, "tenant": tenant,
                "roles": ["admins"],
            },
            "eve": {"name": "Eve", "tenant": tenant, "roles": ["visitors"]},
        });
        let settings = json!({
            "audience": AUDIENCE,
            "client": {"id": CLIENT, "secret": SECRET, "redirect": back(NAME)},
            "machine": {"id": MACHINE, "secret": "m", "claims": {"tenant": tenant, "roles": ["desk"]}},
            "people": people,
        });
        let mut child = Command::new("node")
            .arg("issuer.js")
            .arg(settings.to_string())
            .current_dir(installed())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let process = Self { child, url: url.trim().to_owned() };
        let runs = process.url.starts_with("http://127.0.0.1:");
        assert!(runs, "the provider did not start; it needs Node.js 20 or newer");
        Some(process)
    }
}

/// Installs what the lock file names, once for each lock file, and returns the folder.
fn installed() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oidc/real");
    let files = ["package.json", "package-lock.json", "issuer.js"].map(|name| source.join(name));
    let digest = {
        use sha2::Digest;
        let all: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap()).collect();
        super::forge::encode(sha2::Sha256::digest(all)).replace('-', "_")
    };
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("oidc-provider_{digest}"));
    if place.is_dir() {
        return place;
    }
    // Made beside it and moved, so that a run that was stopped leaves nothing half done.
    let draft = place.with_extension(Uuid::new_v4().simple().to_string());
    fs::create_dir_all(&draft).unwrap();
    for file in &files {
        fs::copy(file, draft.join(file.file_name().unwrap())).unwrap();
    }
    let output = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&draft)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    if fs::rename(&draft, &place).is_err() {
        // Another run was first.
        fs::remove_dir_all(&draft).unwrap();
    }
    place
}

/// A person's browser: it keeps cookies and follows redirects within the provider.
struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new() -> Self {
        let client = Client::builder().redirect(redirect::Policy::none()).pool_max_idle_per_host(0).build();
        Self { client: client.unwrap(), cookies: BTreeMap::new() }
    }

    /// Sends a request, and returns where its answer leads.
    async fn step(&mut self, url: &Url, form: Option<&str>) -> Url {
        let request = match form {
            Some(form) => self.client.post(url.clone()).body(form.to_owned()),
            None => self.client.get(url.clone()),
        };
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer: Response = request
            .header(header::COOKIE, cookies.join("; "))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .send()
            .await
            .unwrap();
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = answer.headers().get(header::LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let Some(location) = location else {
            panic!("{url}: {} {}", answer.status(), answer.text().await.unwrap());
        };
        url.join(&location).unwrap()
    }

    /// Logs somebody in at the provider, who agrees to everything; returns the parameters that come back.
    async fn log_in(&mut self, begin: &str, person: &str) -> BTreeMap<String, String> {
        let mut url = Url::parse(begin).unwrap();
        let login = format!("prompt=login&login={person}&password=any");
        let mut forms = [login.as_str(), "prompt=consent"].into_iter();
        for _ in 0..12 {
            if url.as_str().starts_with(&back(NAME)) {
                return url.query_pairs().into_owned().collect();
            }
            let asks = url.path().starts_with("/interaction/");
            let form = if asks { forms.next() } else { None };
            url = self.step(&url, form).await;
        }
        panic!("the provider does not come to an end: {url}");
    }
}

/// A service that trusts the provider.
async fn service(process: &Process, slug: &str) -> Api {
    let mut config = configuration("real").await;
    config.auth.oidc = vec![OidcConfig {
        client_secret: Some(Secret::new(SECRET)),
        authorized_parties: vec![MACHINE.to_owned()],
        tenant_claim: Some("tenant".to_owned()),
        ..provider(NAME, &process.url)
    }];
    let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let anonymous = Api { base: start(config).await, token: None, client };
    let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    Clinic::made_by(&operator, json!({ "slug": slug })).await;
    anonymous
}

async fn begin(api: &Api) -> Value {
    api.post("/auth/oidc/real/authorize", json!({"redirect_uri": back(NAME)})).await.expect(200)
}

async fn finish(api: &Api, begun: &Value, back: &BTreeMap<String, String>, iss: Option<&str>) -> Answer {
    let mut body = json!({
        "code": back["code"], "state": begun["state"], "binding": begun["binding"],
        "redirect_uri": super::world::back(NAME),
    });
    if let Some(iss) = iss {
        body["iss"] = json!(iss);
    }
    api.post("/auth/oidc/real/callback", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_real_provider_log_in_and_its_machines_bear_its_tokens() {
    let slug = format!("real-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let Some(process) = Process::start(&slug) else { return };
    let api = service(&process, &slug).await;

    // Somebody logs in with a browser and works with the roles of the mapping.
    let begun = begin(&api).await;
    let url = begun["authorization_url"].as_str().unwrap();
    let back = Browser::new().log_in(url, "ada").await;
    assert_eq!(back["state"], begun["state"].as_str().unwrap());
    assert_eq!(back["iss"], process.url, "the provider names itself (RFC 9207)");
    let tokens = finish(&api, &begun, &back, Some(&back["iss"])).await.expect(200);
    let ada = api.with_token(tokens["access_token"].as_str().unwrap());
    let me = ada.get("/auth/me").await.expect(200);
    assert_eq!(
        (&me["email"], &me["full_name"], &me["tenant"], &me["roles"]),
        (&json!("ada@real.example"), &json!("Ada Byron"), &json!(slug), &json!(["admin"]))
    );
    ada.get("/patients").await.expect(200);
    let body = json!({"refresh_token": tokens["refresh_token"]});
    let next = api.post("/auth/refresh", body).await.expect(200);
    let ada = api.with_token(next["access_token"].as_str().unwrap());
    ada.post("/auth/logout", json!({})).await.expect(204);
    ada.get("/patients").await.expect_problem(401, "invalid_token");

    // A provider that says that it names itself must do so.
    let begun = begin(&api).await;
    let back = Browser::new().log_in(begun["authorization_url"].as_str().unwrap(), "ada").await;
    finish(&api, &begun, &back, None).await.expect_problem(401, "login_refused");

    // Whoever catches the code has no verifier for it (RFC 7636).
    let begun = begin(&api).await;
    let back = Browser::new().log_in(begun["authorization_url"].as_str().unwrap(), "ada").await;
    for verifier in ["", "&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"] {
        let (id, secret, back_to) = (encoded(CLIENT), encoded(SECRET), encoded(&super::world::back(NAME)));
        let form =
            format!("grant_type=authorization_code&code={}&redirect_uri={back_to}{verifier}", back["code"]);
        let answer = ask(&process, &form, (&id, &secret)).await;
        assert_eq!(answer["error"], "invalid_grant", "{answer}");
    }

    // The mapping knows nothing of a visitor.
    let begun = begin(&api).await;
    let back = Browser::new().log_in(begun["authorization_url"].as_str().unwrap(), "eve").await;
    finish(&api, &begun, &back, Some(&process.url)).await.expect_problem(403, "account_not_linked");

    // A machine's access token is a bearer's; for another audience it is nobody's.
    let form = format!("grant_type=client_credentials&resource={}", encoded(AUDIENCE));
    let token = ask(&process, &form, (MACHINE, "m")).await;
    let machine = api.with_token(token["access_token"].as_str().unwrap());
    let me = machine.get("/auth/me").await.expect(200);
    assert_eq!((&me["tenant"], &me["roles"]), (&json!(slug), &json!(["receptionist"])));
    machine.get("/patients").await.expect(200);
    let form = format!("grant_type=client_credentials&resource={}", encoded("https://other.example"));
    let token = ask(&process, &form, (MACHINE, "m")).await;
    let other = api.with_token(token["access_token"].as_str().unwrap());
    other.get("/patients").await.expect_problem(401, "invalid_token");
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Asks the provider for tokens.
async fn ask(process: &Process, form: &str, (id, secret): (&str, &str)) -> Value {
    let request = Client::new()
        .post(format!("{}/token", process.url))
        .basic_auth(id, Some(secret))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.to_owned());
    serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
}
