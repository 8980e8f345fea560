//! The program on the command line: what it prints, how it ends, and what it does not tell.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    program::{Program, Running, URL_PASSWORD, eventually, finish},
    support::{Api, OPERATOR, PASSWORD, configuration},
};

/// The program on an empty database, with an administrator's URL that has a password in it.
pub(crate) async fn on_an_empty_database() -> Program {
    let config = configuration("command").await;
    let url = config.database.url.unwrap();
    let url = url.expose().replacen("://postgres@", &format!("://postgres:{URL_PASSWORD}@"), 1);
    assert!(url.contains(URL_PASSWORD));
    let program = Program::new();
    let state = program.folder().join("state").display().to_string();
    program
        .with("CLINICX_DATABASE__URL", url)
        .with("CLINICX_STATE_DIR", state)
        .with("SOME_PASSWORD", PASSWORD)
}

/// The program on a database with the system schema.
pub(crate) async fn on_a_database() -> Program {
    let program = on_an_empty_database().await;
    program.run(&["migrate", "system"]).expect(0);
    program
}

/// Tenants' roles belong to the server, which the tests share: each test has slugs of its own.
pub(crate) fn create_tenant(slug: &str, extra: &[&str]) -> Vec<String> {
    let fixed = [
        "tenant",
        "create",
        slug,
        "--name",
        "A clinic",
        "--time-zone",
        "Europe/Berlin",
        "--currency",
        "EUR",
        "--admin-email",
        "admin@clinic.example",
        "--admin-name",
        "Ada Admin",
        "--admin-password-env",
        "SOME_PASSWORD",
    ];
    fixed.iter().chain(extra).map(|argument| (*argument).to_owned()).collect()
}

pub(crate) fn run(program: &Program, arguments: &[String]) -> crate::program::Ran {
    program.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Returns the slugs and states of all tenants.
fn tenants(program: &Program) -> Vec<(String, String)> {
    let listed = program.run(&["tenant", "list", "--json"]).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(|one| (text(&one["slug"]), text(&one["status"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_structure_is_made_once() {
    let program = on_an_empty_database().await.with("CLINICX_LOG__FILTER", "error");
    // On a new server not even the roles are there.
    let mut fresh = program.command(&["serve", "--port", "0"]);
    let ran = finish(fresh.env("CLINICX_DATABASE__ROLE_PREFIX", "not_made_yet"));
    assert!(ran.refusal(1).contains("clinicx migrate system"), "{}", ran.stderr);
    for command in [
        &["serve", "--port", "0"][..],
        &["tenant", "list"],
        &["user", "create", "a@b.example", "--name", "A"],
        &["migrate", "tenants"],
    ] {
        let ran = program.run(command);
        assert!(ran.refusal(1).contains("clinicx migrate system"), "{}", ran.stderr);
    }
    let before = program.run(&["migrate", "status", "--json"]).json();
    assert!(before["system_pending"].as_u64().unwrap() > 0, "{before}");
    assert_eq!(before["tenants"], json!([]));

    let first = program.run(&["migrate", "system", "--json"]).json();
    assert!(!first["applied"].as_array().unwrap().is_empty());
    let second = program.run(&["migrate", "system", "--json"]).json();
    assert_eq!(second["applied"], json!([]));
    let third = program.run(&["migrate", "system"]);
    assert!(third.expect(0).stdout.contains("0 migrations applied"), "{}", third.stdout);

    let after = program.run(&["migrate", "status", "--json"]).json();
    assert_eq!(after, json!({"system_pending": 0, "tenants": []}));
    run(&program, &create_tenant("of-structure", &["--module", "dental"])).expect(0);
    let status = program.run(&["migrate", "status", "--json"]).json();
    assert_eq!(
        (&status["tenants"][0]["slug"], &status["tenants"][0]["state"]),
        (&json!("of-structure"), &json!("up to date"))
    );
    let status = program.run(&["migrate", "status"]);
    assert!(status.expect(0).stdout.contains("system schema: 0 migrations pending"), "{}", status.stdout);
    assert!(status.stdout.contains("up to date"), "{}", status.stdout);
    let fleet = program.run(&["migrate", "tenants", "--json"]).json();
    assert_eq!(fleet[0]["applied"], 0);
    assert_eq!(fleet[0]["error"], Value::Null);
    let fleet = program.run(&["migrate", "tenants"]);
    assert!(fleet.expect(0).stdout.contains("1 tenants, 0 brought forward, 0 failed"), "{}", fleet.stdout);
    program.run(&["migrate", "tenants", "--dry-run"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_made_and_get_roles() {
    let program = on_a_database().await;
    let arguments =
        ["user", "create", "op@platform.example", "--name", "Olga Operator", "--operator", "--json"];
    let made = program.run(&[&arguments[..], &["--password-env", "SOME_PASSWORD"]].concat()).json();
    assert_eq!((&made["email"], &made["operator"]), (&json!("op@platform.example"), &json!(true)));
    let again = program.run(&arguments);
    again.refusal(1);
    assert_eq!(again.stdout, "");
    let missing = program.run(&["user", "create", "a@b.example", "--name", "A", "--password-env", "NOT_SET"]);
    assert!(missing.refusal(2).contains("NOT_SET"), "{}", missing.stderr);
    assert!(program.run(&["user", "create", "nobody", "--name", "A"]).refusal(2).contains("email"));
    program.run(&["user", "create", "a@b.example", "--name", "A"]).expect(0);

    run(&program, &create_tenant("with-users", &[])).expect(0);
    let grant = |tenant: &str, roles: &[&str]| {
        let roles = roles.iter().flat_map(|role| ["--role", role]);
        program.run(
            &["user", "grant", "a@b.example", tenant]
                .into_iter()
                .chain(roles)
                .chain(["--json"])
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        grant("with-users", &["nurse", "receptionist"]).json()["roles"],
        json!(["nurse", "receptionist"])
    );
    assert_eq!(grant("with-users", &["doctor"]).json()["roles"], json!(["doctor"]));
    assert!(grant("no-such-clinic", &["doctor"]).refusal(1).contains("no-such-clinic"));
    assert!(grant("with-users", &["astronaut"]).expect(2).stderr.contains("astronaut"));
    grant("with-users", &[]).expect(2);
    let nobody = program.run(&["user", "grant", "x@y.example", "with-users", "--role", "doctor"]);
    assert!(nobody.refusal(1).contains("clinicx user create"), "{}", nobody.stderr);
    let unmake = ["user", "grant", "admin@clinic.example", "with-users", "--role", "nurse"];
    let kept = program.run(&unmake);
    assert!(kept.refusal(1).contains("--force"), "{}", kept.stderr);
    program.run(&[&unmake[..], &["--force"]].concat()).expect(0);
    let link = program.run(&["user", "reset-password", "a@b.example", "--json"]).expect(0).json();
    assert!(link["token"].as_str().unwrap().starts_with("cxp_") && link["link"].is_null(), "{link}");
    let nobody = program.run(&["user", "reset-password", "x@y.example"]);
    assert!(nobody.refusal(1).contains("clinicx user create"), "{}", nobody.stderr);
    // Without a terminal or a file there is nothing to read a password from.
    let empty = program.run(&["user", "reset-password", "a@b.example", "--password-stdin"]);
    assert!(empty.refusal(2).contains("8 characters"), "{}", empty.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_lives_from_its_creation_to_its_purge() {
    let program = on_a_database().await;
    let made = run(
        &program,
        &create_tenant("smile-berlin", &["--module", "dental", "--module", "billing", "--json"]),
    );
    let made = made.json();
    assert_eq!((&made["slug"], &made["status"]), (&json!("smile-berlin"), &json!("active")));
    assert_eq!(made["database_schema"], "tenant_smile_berlin");
    assert_eq!(made["modules"], json!(["billing", "dental"]));

    let refused = |slug: &str, extra: &[&str], code: i32, word: &str| {
        let ran = run(&program, &create_tenant(slug, extra));
        assert!(ran.refusal(code).contains(word), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    };
    refused("smile-berlin", &[], 1, "taken; choose another");
    refused("Smile_Berlin", &[], 2, "slug must");
    refused("public", &[], 2, "slug is a reserved word");
    refused("two", &["--module", "astrology"], 2, "module");
    assert_eq!(tenants(&program), [("smile-berlin".to_owned(), "active".to_owned())]);

    let shown = program.run(&["tenant", "show", "smile-berlin", "--json"]).json();
    assert_eq!(shown, made);
    let shown = program.run(&["tenant", "show", "smile-berlin"]);
    assert!(shown.expect(0).stdout.contains("tenant_smile_berlin"), "{}", shown.stdout);
    let table = program.run(&["tenant", "list"]);
    assert!(
        table.expect(0).stdout.contains("smile-berlin") && table.stdout.contains("schema version"),
        "{}",
        table.stdout
    );
    assert!(program.run(&["tenant", "show", "nobody"]).refusal(1).contains("`clinicx tenant list`"));
    program.run(&["tenant", "show", "No Slug"]).expect(2);

    let step = |step: &str| program.run(&["tenant", step, "smile-berlin", "--json"]);
    assert_eq!(step("suspend").json()["status"], "suspended");
    assert!(step("suspend").refusal(1).contains("it can become active or archived"));
    assert_eq!(step("resume").json()["status"], "active");
    step("resume").refusal(1);

    let purge = |flags: &[&str]| program.run(&[&["tenant", "purge", "smile-berlin"], flags].concat());
    purge(&["--yes", "--force"]).refusal(1);
    assert!(purge(&["--force"]).refusal(1).contains("it can become suspended or archived"));
    assert_eq!(step("archive").json()["status"], "archived");
    assert_eq!(step("restore").json()["status"], "active");
    assert_eq!(step("archive").json()["status"], "archived");
    let archived = program.run(&["tenant", "show", "smile-berlin", "--json"]).json();
    for flags in [&["--force"][..], &["--force", "--json"]] {
        assert!(purge(flags).refusal(2).contains("--yes"));
    }
    // Nobody is asked for what would be refused.
    assert!(purge(&[]).refusal(1).contains("--force"));
    let destroy = ["keys", "destroy", "--tenant", "smile-berlin", "--key-version", "1"];
    for flags in [&[][..], &["--json"]] {
        assert!(program.run(&[&destroy, flags].concat()).refusal(2).contains("--yes"));
    }
    // Whoever says it is held to what may be destroyed.
    assert!(program.run(&[&destroy[..], &["--yes"]].concat()).refusal(1).contains("in use"));
    let early = purge(&["--yes"]);
    assert!(early.refusal(1).contains("until") && early.stderr.contains("--force"), "{}", early.stderr);
    assert_eq!(program.run(&["tenant", "show", "smile-berlin", "--json"]).json(), archived);
    let listed = program.run(&["tenant", "list", "--status", "archived", "--json"]).json();
    assert_eq!(listed[0]["slug"], "smile-berlin");

    let mut without = create_tenant("smile-bonn", &["--json"]);
    without.truncate(without.iter().position(|word| word == "--admin-password-env").unwrap());
    let made = run(&program, &without);
    assert!(made.expect(0).stderr.contains("`clinicx user reset-password admin@clinic.example`"), "{made:?}");
    program.run(&["tenant", "archive", "smile-bonn"]).expect(0);
    program.run(&["tenant", "purge", "smile-bonn", "--yes", "--force"]).expect(0);

    assert_eq!(purge(&["--yes", "--force", "--json"]).json()["status"], "purged");
    assert_eq!(tenants(&program), []);
    purge(&["--yes", "--force"]).refusal(1);
    refused("smile-berlin", &[], 1, "taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_is_wrong_and_what_is_configured() {
    let program = on_an_empty_database().await;
    let empty = program.run(&["doctor", "--json"]);
    assert!(empty.refusal(1).contains("checks failed"), "{}", empty.stderr);
    let report: Value = serde_json::from_str(&empty.stdout).unwrap();
    assert!(report["checks"][0]["mend"].as_str().unwrap().contains("clinicx migrate system"), "{report}");

    program.run(&["migrate", "system"]).expect(0);
    let ran = program.run(&["doctor", "--json"]);
    ran.refusal(1);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["configuration"]["database"]["url"], "[redacted]");
    assert_eq!(report["configuration"]["database"]["pool"]["max_connections"], 50);
    let with = |status: &str| -> Vec<&str> {
        let all = report["checks"].as_array().unwrap().iter();
        all.filter(|check| check["status"] == status).map(|check| check["name"].as_str().unwrap()).collect()
    };
    // A test server may lose what it has written, and the URL is a superuser's, which is good enough in development.
    assert_eq!(with("failed"), ["fsync", "full_page_writes", "synchronous_commit"]);
    assert_eq!(with("warning"), ["application login"]);

    let ran = program.run(&["doctor"]);
    ran.refusal(1);
    for part in ["[redacted]", "[database.pool]", "max_connections = 50", "fences", "fsync", "server version"]
    {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}

#[test]
fn a_configuration_that_is_not_right_is_refused_in_one_line() {
    let program = Program::new();
    let file = program.folder().join("clinicx.toml");
    let refused = |text: &str, words: &[&str]| {
        fs::write(&file, text).unwrap();
        let ran = program.run(&["doctor"]);
        let line = ran.refusal(2);
        for word in words {
            assert!(line.contains(word), "{word}: {line}");
        }
        assert!(!line.contains("dont-show") && !line.contains("700007"), "{line}");
        assert_eq!(ran.stdout, "");
    };
    refused("[http]\nprot = 1\n", &["http.prot", "http.port"]);
    refused("[database.pool]\nmax_conections = 1\n", &["database.pool.max_connections"]);
    refused("[htpp]\nport = 1\n", &["htpp", "http"]);
    refused("[http]\nport = \"many\"\n", &["http.port"]);
    refused("[http]\nport = 70000\n", &["http.port"]);
    refused("[http]\nport = 1\nport = 2\n", &["clinicx.toml"]);
    refused("[bootstrap]\npassword = \"dont-show\n", &["clinicx.toml"]);
    refused("[bootstrap]\npassword = [\"dont-show\"]\n", &["bootstrap.password"]);
    refused("[database]\nurl = { of = \"dont-show\" }\n", &["database.url.of"]);
    refused("[bootstrap]\npassword = 700007\n", &["bootstrap.password"]);
    refused("[auth]\naccess_token_ttl = \"soon\"\n", &["auth.access_token_ttl"]);
    refused("[database]\napply_mode = \"magic\"\n", &["database.apply_mode"]);
    fs::remove_file(&file).unwrap();

    let ran = finish(program.command(&["doctor"]).env("CLINICX_HTTP__PROT", "1"));
    assert!(ran.refusal(2).contains("http.port"), "{}", ran.stderr);
    let ran = finish(program.command(&["doctor"]).env("CLINICX_HTTP__PORT", "many"));
    assert!(
        ran.refusal(2).contains("http.port") || ran.stderr.contains("CLINICX_HTTP__PORT"),
        "{}",
        ran.stderr
    );
    let ran = program.run(&["doctor", "--config", "nowhere.toml"]);
    assert!(ran.refusal(2).contains("nowhere.toml"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_said_in_one_line() {
    let program = Program::new();
    for command in
        [&["serve", "--port", "0"][..], &["migrate", "system"], &["tenant", "list"], &["doctor", "--json"]]
    {
        let ran = program.run(command);
        assert!(ran.refusal(1).contains("CLINICX_DATABASE__URL"), "{}", ran.stderr);
    }
    let with =
        |url: String| finish(program.command(&["serve", "--port", "0"]).env("CLINICX_DATABASE__URL", url));
    let user = format!("app:{URL_PASSWORD}");
    let ran = with(format!("postgres://{user}@127.0.0.1:1/clinicx"));
    assert!(ran.refusal(1).contains("127.0.0.1:1"), "{}", ran.stderr);
    for no_url in
        [format!("postgres://{user}@host:port/x"), format!("mysql://{user}@host/x"), URL_PASSWORD.to_owned()]
    {
        let ran = with(no_url);
        assert!(ran.refusal(1).contains("database.url"), "{}", ran.stderr);
    }
    let url = configuration("absent").await.database.url.unwrap();
    let absent = url.expose().replace("absent_", "never_made_");
    let ran = with(absent.replacen("://postgres@", &format!("://postgres:{URL_PASSWORD}@"), 1));
    ran.refusal(1);
    // With `-v` the causes are told, and the password still is not.
    let url = format!("postgres://{user}@127.0.0.1:1/clinicx");
    finish(program.command(&["serve", "-v"]).env("CLINICX_DATABASE__URL", url)).refusal(1);
}

/// Waits until a started service listens.
fn listening(running: &mut Running) -> SocketAddr {
    let line = running.until(|line| line.contains("\"serving\""));
    let line: Value = serde_json::from_str(&line).unwrap();
    line["address"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_said_in_one_line() {
    let program = on_a_database().await.with("CLINICX_LOG__FILTER", "error");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = program.run(&["serve", "--port", &port]);
    let line = ran.refusal(1);
    assert!(line.contains(&format!("127.0.0.1:{port} is in use")) && line.contains("--port"), "{line}");
    let ran = finish(program.command(&["serve", "--port", "0"]).env("CLINICX_HTTP__METRICS_PORT", &port));
    let line = ran.refusal(1);
    assert!(line.contains(&format!(":{port} is in use")), "{line}");
    assert!(line.contains("CLINICX_HTTP__METRICS_PORT") && !line.contains("--port"), "{line}");

    // The same port once it is free again.
    drop(taken);
    let mut command = program.command(&["serve", "--port", "0"]);
    let mut running = Running::start(
        command.env("CLINICX_HTTP__METRICS_PORT", &port).env("CLINICX_LOG__FILTER", "clinicx=info"),
    );
    let address = listening(&mut running);
    let figures = format!("http://127.0.0.1:{port}/metrics");
    for method in [Method::GET, Method::HEAD] {
        let answer = Client::new().request(method.clone(), &figures).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{method}");
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.text().await.unwrap().contains("clinicx_pool_idle"), method == Method::GET);
    }
    let main = Client::new().get(format!("http://{address}/metrics")).send().await.unwrap();
    assert_eq!(main.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_service_finishes_what_runs() {
    // Whoever waited for idle clients or for the time-out would wait for an hour.
    let program = on_a_database()
        .await
        .with("CLINICX_HTTP__SHUTDOWN_TIMEOUT", "1h")
        .with("CLINICX_HTTP__BODY_TIMEOUT", "5m");
    let program =
        program.with("CLINICX_BOOTSTRAP__EMAIL", OPERATOR.0).with("CLINICX_BOOTSTRAP__PASSWORD", OPERATOR.1);
    let mut running = program.start(&["serve", "--port", "0"]);
    let address = listening(&mut running);
    let api = Api { base: format!("http://{address}"), token: None, client: Client::new() };
    api.get("//readyz").await.expect(200);

    // A request that has begun, and whose second half is still to come.
    let body = json!({"email": OPERATOR.0, "password": OPERATOR.1}).to_string();
    let (first, second) = body.split_at(10);
    let mut slow = TcpStream::connect(address).unwrap();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    write!(slow, "{head}content-length: {}\r\n\r\n{first}", body.len()).unwrap();
    loop {
        let figures = api.get("//metrics").await.text;
        // The slow one and the question itself.
        if figures.lines().any(|line| line == "clinicx_http_requests_in_flight 2") {
            break;
        }
    }

    running.signal("TERM");
    running.until(|line| line.contains("running requests are finished first"));
    eventually("nobody new is let in", || TcpStream::connect(address).is_err());
    slow.write_all(second.as_bytes()).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"access_token\""), "{answer}");
    let status = running.wait();
    assert_eq!(status.code(), Some(0), "{:#?}", running.stderr);
    assert!(!running.stderr.join("\n").contains(URL_PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_service_ends_well() {
    let program = on_a_database().await;
    let mut running = program.start(&["serve", "--port", "0"]);
    listening(&mut running);
    running.signal("INT");
    assert_eq!(running.wait().code(), Some(0), "{:#?}", running.stderr);
}

#[test]
fn every_command_explains_itself() {
    let program = Program::new();
    let help = program.run(&["--help"]);
    for command in
        ["dev", "serve", "doctor", "openapi", "migrate", "tenant", "fleet", "user", "audit", "completions"]
    {
        assert!(help.expect(0).stdout.contains(&format!("\n  {command} ")), "{command}");
        program.run(&[command, "--help"]).expect(0);
    }
    for (group, commands) in [
        ("migrate", &["system", "tenants", "status"][..]),
        ("fleet", &["migrate", "status", "drift", "ring", "pin", "unpin"]),
        (
            "tenant",
            &[
                "create", "list", "show", "suspend", "resume", "archive", "restore", "purge", "backup",
                "clone", "adopt",
            ],
        ),
        ("user", &["create", "grant", "reset-password", "reset-totp"]),
        ("audit", &["checkpoint", "verify", "public-key", "prove", "prune"]),
    ] {
        for command in commands {
            program.run(&[group, command, "--help"]).expect(0);
        }
        program.run(&[group]).expect(2);
        program.run(&[group, "frobnicate"]).expect(2);
    }
    assert!(program.run(&["--version"]).expect(0).stdout.starts_with("clinicx "));
    program.run(&[]).expect(2);
    let unknown = program.run(&["migrat"]);
    assert!(unknown.expect(2).stderr.contains("migrate"), "{}", unknown.stderr);
    program.run(&["serve", "--port", "70000"]).expect(2);
    program.run(&["completions", "abacus"]).expect(2);
    for shell in ["bash", "zsh", "fish"] {
        assert!(program.run(&["completions", shell]).expect(0).stdout.contains("clinicx"), "{shell}");
    }
    assert!(program.run(&["completions", "bash"]).stdout.contains("complete -F _clinicx"));
    assert_eq!(program.run(&["openapi"]).json()["openapi"], "3.1.0");
}
