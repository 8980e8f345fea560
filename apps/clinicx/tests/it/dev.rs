//! `clinicx dev` as a newcomer meets it: an empty folder, one command, two clinics.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Days, NaiveDate, Utc};
use reqwest::Client;
use serde_json::{Value, json};

use crate::{
    program::{Program, Running, eventually, finish, is_alive},
    support::Api,
};

/// A log-in as it is printed: clinic or `operator`, address, password.
type LogIn = (String, String, String);

/// A `clinicx dev` that serves.
struct Dev {
    running: Running,
    api: Api,
    log_ins: Vec<LogIn>,
    postgres: u32,
    took: Duration,
}

impl Dev {
    async fn start(program: &Program) -> Self {
        let begun = Instant::now();
        let mut running = program.start(&["dev", "--port", "0"]);
        running.until(|line| line.contains("Ctrl-C"));
        let took = begun.elapsed();
        let url = running.stdout.iter().find_map(|line| line.trim().strip_prefix("API ")).unwrap().trim();
        let base = url.strip_suffix("/api/v1").unwrap().to_owned();
        let log_ins = running.stdout.iter().filter_map(|line| log_in(line)).collect();
        let api = Api { base, token: None, client: Client::new() };
        api.get("//readyz").await.expect(200);
        Self { running, api, log_ins, postgres: postmaster(program, 0).parse().unwrap(), took }
    }

    /// Logs in with the first of what is printed for a clinic or the operator.
    async fn log_in(&self, who: &str) -> Api {
        let (_, email, password) = self.log_ins.iter().find(|(name, ..)| name == who).unwrap();
        self.api.login(json!({"email": email, "password": password})).await
    }

    /// Everything by which a start that changed something would be found out.
    async fn contents(&self) -> Value {
        let mut contents =
            json!({"tenants": self.log_in("operator").await.get("/platform/tenants").await.expect(200)});
        for clinic in ["clinic1", "dental1"] {
            let api = self.log_in(clinic).await;
            for list in ["patients", "appointments", "staff", "rooms", "services", "invoices", "payments"] {
                let page = api.get(&format!("/{list}?count=true&limit=200")).await.expect(200);
                contents[clinic][list] = json!({"total": page["total"], "items": page["items"]});
            }
        }
        contents
    }

    fn assert_postgres_is_gone(&self) {
        eventually("PostgreSQL has ended", || !is_alive(self.postgres));
    }
}

fn log_in(line: &str) -> Option<LogIn> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let (who, email, password) = (words.next()?, words.next()?, words.next()?);
    email.contains('@').then_some((who, email, password))
}

/// Returns a line of the file that a running server keeps in its folder.
fn postmaster(program: &Program, line: usize) -> String {
    let file = pid_file(program);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines().nth(line).unwrap().trim().to_owned()
}

fn pid_file(program: &Program) -> PathBuf {
    program.folder().join(".clinicx/postgres/postgres/data/postmaster.pid")
}

async fn total(api: &Api, path: &str) -> u64 {
    api.get(path).await.expect(200)["total"].as_u64().unwrap()
}

async fn found(api: &Api, name: &str) -> Vec<Value> {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let page = api.get(&format!("/patients?q={name}")).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

/// Looks for invoices in every state, and for accounts that add up.
async fn assert_money(api: &Api) {
    for status in ["draft", "issued", "balanced", "cancelled", "entered-in-error"] {
        assert!(
            total(api, &format!("/invoices?status={status}&count=true")).await > 0,
            "no invoice is {status}"
        );
    }
    assert!(total(api, "/invoices?overdue=true&count=true").await > 0);
    for status in ["completed", "voided"] {
        assert!(
            total(api, &format!("/payments?status={status}&count=true")).await > 0,
            "no payment is {status}"
        );
    }
    let amount = |account: &Value, field: &str| account[field].as_str().unwrap().parse::<f64>().unwrap();
    let accounts = api.get("/accounts?limit=200").await.expect(200);
    for account in accounts["items"].as_array().unwrap() {
        let owed = amount(account, "open_invoices") - amount(account, "unapplied_credit");
        assert!((amount(account, "balance") - owed).abs() < 0.001, "{account}");
    }
}

/// Looks at everything that a newcomer is promised.
async fn assert_complete(dev: &Dev) {
    let tenants = dev.log_in("operator").await.get("/platform/tenants").await.expect(200);
    let modules = |slug: &str| {
        let tenant =
            tenants["items"].as_array().unwrap().iter().find(|tenant| tenant["slug"] == slug).unwrap();
        assert_eq!(tenant["status"], "active");
        tenant["modules"].as_array().unwrap().clone()
    };
    assert!(modules("dental1").contains(&json!("dental")));
    assert!(!modules("clinic1").contains(&json!("dental")));
    for clinic in ["clinic1", "dental1"] {
        assert_money(&dev.log_in(clinic).await).await;
    }

    // Everybody who is announced gets in, to the clinic beside which the address stands.
    for (who, email, password) in &dev.log_ins {
        let me = dev
            .api
            .login(json!({"email": email, "password": password}))
            .await
            .get("/auth/me")
            .await
            .expect(200);
        match who.as_str() {
            "operator" => assert_eq!((&me["is_operator"], &me["tenant"]), (&json!(true), &Value::Null)),
            clinic => assert_eq!(&me["tenant"], clinic),
        }
    }
    for clinic in ["clinic1", "dental1"] {
        assert!(dev.log_ins.iter().filter(|(who, ..)| who == clinic).count() >= 3, "{:?}", dev.log_ins);
        let api = dev.log_in(clinic).await;
        assert!(total(&api, "/patients?count=true&limit=1").await >= 200);
        assert!(total(&api, "/staff?count=true").await >= 3);
        assert!(total(&api, "/rooms?count=true").await >= 2);
        assert!(total(&api, "/services?count=true").await >= 2);
        let staff = api.get("/staff?limit=1").await.expect(200);
        let hours = format!("/staff/{}/working-hours?count=true", staff["items"][0]["id"].as_str().unwrap());
        assert!(total(&api, &hours).await >= 5);
        for name in ["ليلى", "حداد", "Олена", "muller", "NUÑEZ"] {
            assert!(!found(&api, name).await.is_empty(), "{clinic} has nobody by the name of {name}");
        }
        assert_weeks_are_booked(&api).await;
    }
    assert_mouths_are_charted(&dev.log_in("dental1").await).await;
}

/// Looks for an adult with years of history and a child in whom both sets of teeth stand.
async fn assert_mouths_are_charted(api: &Api) {
    let mut mixed = 0;
    for (name, plans) in [("Greta Ahrens", 1), ("Emil Ahrens", 0)] {
        let people = found(api, name).await;
        let id =
            people.first().unwrap_or_else(|| panic!("nobody by the name of {name}"))["id"].as_str().unwrap();
        let chart = api.get(&format!("/patients/{id}/dental-chart")).await.expect(200);
        let teeth = chart["teeth"].as_array().unwrap();
        let stands = |dentition: &str| {
            let of = |tooth: &&Value| tooth["dentition"] == dentition && tooth["presence"] == "present";
            teeth.iter().filter(of).count()
        };
        assert!(stands("permanent") >= 2, "{name}");
        mixed += usize::from(stands("deciduous") >= 10);
        let done = teeth.iter().map(|tooth| tooth["treatments"].as_array().unwrap().len()).sum::<usize>();
        assert!(done > 0 && teeth.iter().any(|tooth| tooth["findings"][0].is_object()), "{name}");
        let path = format!("/patients/{id}/treatment-plans?status=active&count=true");
        assert_eq!(total(api, &path).await, plans, "{name}");
        let drawn = api.get(&format!("/patients/{id}/dental-chart.svg")).await;
        assert_eq!(drawn.status, 200, "{}", drawn.text);
    }
    assert_eq!(mixed, 1);
}

/// Looks for visits in the week before this one, in this one, and in the next.
async fn assert_weeks_are_booked(api: &Api) {
    let today: NaiveDate = Utc::now().date_naive();
    let midnight = |day: NaiveDate| -> DateTime<Utc> { day.and_hms_opt(0, 0, 0).unwrap().and_utc() };
    for (back, ahead) in [(10, 0), (3, 7), (0, 11)] {
        let (from, to) = (midnight(today - Days::new(back)), midnight(today + Days::new(ahead)));
        let path = format!("/appointments?count=true&limit=1&from={}&to={}", plain(from), plain(to));
        assert!(total(api, &path).await > 0, "nothing from {from} to {to}");
    }
}

fn plain(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// In the same folder other commands find the database of the demo, and the doctor finds nothing wrong with it.
fn assert_healthy(program: &Program) {
    let ran = program.run(&["doctor", "--json"]);
    let report = ran.json();
    assert!(ran.stderr.contains("using the database of `clinicx dev`"), "{}", ran.stderr);
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() > 5 && checks.iter().all(|check| check["status"] == "ok"), "{report}");
    let status = program.run(&["migrate", "status", "--json"]).json();
    assert_eq!(status["system_pending"], 0, "{status}");
    let tenants = program.run(&["tenant", "list", "--json"]).json();
    let slugs: Vec<_> = tenants.as_array().unwrap().iter().map(|tenant| &tenant["slug"]).collect();
    assert_eq!(slugs, ["clinic1", "dental1"]);

    // Not what is served for good, and not where something else is configured.
    for (name, value) in [
        ("CLINICX_PROFILE", "production"),
        ("CLINICX_DATABASE__ADMIN_URL", "postgres://nobody@localhost/x"),
        ("CLINICX_STATE_DIR", "elsewhere"),
    ] {
        let ran = finish(program.command(&["tenant", "list"]).env(name, value));
        assert!(ran.refusal(1).contains("CLINICX_DATABASE__URL"), "{name}: {}", ran.stderr);
    }
    assert!(program.run(&["serve", "--port", "0"]).refusal(1).contains("CLINICX_DATABASE__URL"));
}

/// A second `clinicx dev` in the folder says who has it, and takes nothing from the first.
fn assert_alone(dev: &Dev, program: &Program) {
    let taken = dev.api.base.rsplit(':').next().unwrap();
    for port in ["0", taken] {
        let ran = program.run(&["dev", "--port", port]);
        let line = ran.refusal(1);
        assert!(line.contains(&format!("(process {})", dev.running.pid)), "{line}");
        assert!(line.contains(&dev.api.base) && line.contains("CLINICX_STATE_DIR"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_makes_two_clinics_and_a_second_start_changes_nothing() {
    let program = Program::new();
    let mut first = Dev::start(&program).await;
    assert_complete(&first).await;
    assert_healthy(&program);
    assert_alone(&first, &program);
    let contents = first.contents().await;
    first.running.signal("INT");
    assert_eq!(first.running.wait().code(), Some(0), "{:#?}", first.running.stderr);
    first.assert_postgres_is_gone();
    assert!(!pid_file(&program).exists());
    let gone = program.run(&["tenant", "list"]);
    assert!(gone.refusal(1).contains("CLINICX_DATABASE__URL"), "{}", gone.stderr);

    let second = Dev::start(&program).await;
    assert!(second.took < first.took, "{:?} and then {:?}", first.took, second.took);
    assert_eq!(second.log_ins, first.log_ins);
    assert!(second.contents().await == contents, "the second start changed something");

    // The hard way: nobody is left to stop PostgreSQL, and it stops.
    let Dev { mut running, postgres, .. } = second;
    running.signal("KILL");
    assert_eq!(running.wait().code(), None);
    eventually("PostgreSQL has ended by itself", || !is_alive(postgres));

    let mut third = Dev::start(&program).await;
    assert!(third.contents().await == contents, "the third start changed something");
    third.running.signal("TERM");
    assert_eq!(third.running.wait().code(), Some(0), "{:#?}", third.running.stderr);
    third.assert_postgres_is_gone();

    // Without its keys the database is of no use, and it is said where it is.
    fs::remove_dir_all(program.folder().join(".clinicx/keys")).unwrap();
    let ran = program.run(&["dev", "--port", "0"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let (line, folder) =
        (ran.stderr.lines().last().unwrap(), program.folder().join(".clinicx/postgres/postgres"));
    let remove = format!("remove {} to begin anew", folder.canonicalize().unwrap().display());
    assert!(line.contains(&remove), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_cut_short_is_completed_by_the_next() {
    let program = Program::new();
    let mut cut = program.start(&["dev", "--port", "0"]);
    cut.until(|line| line.contains("creating"));
    let postgres: u32 = postmaster(&program, 0).parse().unwrap();
    cut.signal("INT");
    assert_eq!(cut.wait().code(), Some(1), "{:#?}", cut.stderr);
    assert!(cut.stderr.last().unwrap().contains("start again"), "{:#?}", cut.stderr);
    eventually("PostgreSQL has ended", || !is_alive(postgres));

    // Cut in the midst of the work, without a chance to tidy up.
    let mut cut = program.start(&["dev", "--port", "0"]);
    cut.until(|line| line.contains("patients"));
    cut.signal("KILL");
    cut.wait();

    let dev = Dev::start(&program).await;
    assert_complete(&dev).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_whose_postgresql_is_killed_ends_and_says_so() {
    let program = Program::new();
    let Dev { mut running, postgres, .. } = Dev::start(&program).await;
    assert!(Command::new("kill").args(["-KILL", &postgres.to_string()]).status().unwrap().success());
    assert_eq!(running.wait().code(), Some(1), "{:#?}", running.stderr);
    let line = running.stderr.last().unwrap();
    assert!(line.contains("PostgreSQL has ended by itself") && line.contains("start again"), "{line}");

    let again = Dev::start(&program).await;
    assert_complete(&again).await;
}

#[test]
fn of_two_first_starts_at_once_one_goes_on() {
    let program = Program::new();
    let start = || {
        let mut running = program.start(&["dev", "--port", "0"]);
        running.until(|line| line.contains("Ctrl-C"));
        running
    };
    let mut both = thread::scope(|scope| [(); 2].map(|()| scope.spawn(start)).map(|one| one.join().unwrap()));
    let serves = |one: &Running| one.stdout.iter().any(|line| line.contains("API "));
    assert_eq!(
        both.iter().filter(|one| serves(one)).count(),
        1,
        "{:?}",
        both.each_ref().map(|one| &one.stderr)
    );
    for one in &mut both {
        let served = serves(one);
        if served {
            one.signal("INT");
        } else {
            assert!(one.stderr.last().unwrap().contains("another `clinicx dev`"), "{:?}", one.stderr);
        }
        assert_eq!(one.wait().code(), Some(i32::from(!served)), "{:?}", one.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_before_postgresql_is_up_ends_what_was_begun() {
    let program = Program::new();
    for (moment, signal) in [("making a database", "INT"), ("starting PostgreSQL", "TERM")] {
        let mut cut = program.start(&["dev", "--port", "0"]);
        cut.until(|line| line.contains(moment));
        cut.signal(signal);
        assert_eq!(cut.wait().code(), Some(1), "{:#?}", cut.stderr);
        assert!(cut.stderr.last().unwrap().contains("start again"), "{:#?}", cut.stderr);
        assert!(!pid_file(&program).exists());
        let home = program.folder().join(".clinicx/postgres/postgres");
        let left: Vec<_> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("unfinished")), "{left:?}");
    }
    // Without a chance to tidy up: initdb ends by itself.
    let other = Program::new();
    let mut cut = other.start(&["dev", "--port", "0"]);
    cut.until(|line| line.contains("making a database"));
    cut.signal("KILL");
    cut.wait();
    for program in [program, other] {
        Dev::start(&program).await;
    }
}

#[test]
fn without_postgresql_one_line_says_how_to_get_it() {
    let program = Program::new();
    let empty = program.folder().join("empty");
    fs::create_dir(&empty).unwrap();
    let ran = finish(program.command(&["dev", "--port", "0"]).env("CLINICX_POSTGRES_BIN", &empty));
    let line = ran.refusal(1);
    assert!(line.contains("CLINICX_POSTGRES_BIN") && line.contains(empty.to_str().unwrap()), "{line}");
    assert!(line.contains("install"), "{line}");
}

#[test]
fn a_port_in_use_is_said_before_anything_is_started() {
    let program = Program::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = program.run(&["dev", "--port", &port]);
    assert!(ran.refusal(1).contains(&format!("127.0.0.1:{port} is in use")), "{}", ran.stderr);
    let ran = finish(program.command(&["dev", "--port", "0"]).env("CLINICX_HTTP__METRICS_PORT", &port));
    assert!(ran.refusal(1).contains("CLINICX_HTTP__METRICS_PORT"), "{}", ran.stderr);
    assert!(!program.folder().join(".clinicx").exists());
}
