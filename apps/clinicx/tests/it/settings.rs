//! Configurations and feature flags over HTTP and on the command line, and what they change in the service.

use std::time::{Duration, Instant};

use clinicx::config::Config;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    program::Program,
    support::{Answer, Api, Clinic, OPERATOR, PASSWORD, configuration, start},
};

const READ_ONLY: &str = "/platform/configurations/platform.read_only";
const SIMILAR: &str = "/platform/feature-flags/patient.similar_search";

/// A platform of its own, because what is set there is set for everybody.
struct World {
    config: Config,
    operator: Api,
    slug: String,
    admin: Api,
}

impl World {
    async fn create(purpose: &str) -> Self {
        let config = configuration(purpose).await;
        let anonymous = Api { base: start(config.clone()).await, token: None, client: Client::new() };
        let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
        let slug = format!("s-{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
        let email = format!("admin@{slug}.example");
        let body = json!({
            "slug": slug, "name": "A clinic", "modules": [], "time_zone": "Europe/Berlin", "currency": "EUR",
            "locale": "de-DE", "admin": {"email": email, "full_name": "Ada", "password": PASSWORD},
        });
        operator.post("/platform/tenants", body).await.expect(201);
        let admin = anonymous.login(json!({"email": email, "password": PASSWORD})).await;
        Self { config, operator, slug, admin }
    }

    async fn put(&self, path: &str, if_match: Option<&str>, body: Value) -> Answer {
        let request = self.operator.request(Method::PUT, path).json(&body);
        let request = match if_match {
            Some(tag) => request.header("If-Match", tag),
            None => request,
        };
        self.operator.send(request).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.operator.send(self.operator.request(Method::DELETE, path)).await
    }
}

fn keys(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_platform_refuses_writes_and_answers_reads() {
    let world = World::create("readonly").await;
    let patient = json!({"family_name": "A", "given_name": "B"});
    let made = world.admin.post("/patients", patient.clone()).await.expect(201);
    let before = world.operator.get(READ_ONLY).await;
    assert_eq!((before.expect(200)["value"].clone(), before.header("etag")), (json!(false), "\"0\""));
    world.put(READ_ONLY, None, json!({"value": true})).await.expect_problem(428, "precondition_required");
    world.put(READ_ONLY, Some("\"9\""), json!({"value": true})).await.expect_problem(412, "version_mismatch");
    world
        .put(READ_ONLY, Some("W/\"0\""), json!({"value": true}))
        .await
        .expect_problem(412, "version_mismatch");
    for (body, pointer) in
        [(json!({"value": "yes"}), "/value"), (json!({}), "/value"), (json!({"value": true, "x": 1}), "/x")]
    {
        let problem = world.put(READ_ONLY, Some("*"), body).await.expect_problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    world
        .put(
            "/platform/configurations/platform.maintenance_message",
            Some("*"),
            json!({"value": "Back at noon"}),
        )
        .await
        .expect(200);
    world
        .put("/platform/configurations/platform.maintenance_retry_after", Some("*"), json!({"value": "90s"}))
        .await
        .expect(200);
    let set = world.put(READ_ONLY, Some("\"0\""), json!({"value": true})).await;
    assert_eq!((set.expect(200)["version"].clone(), set.header("etag")), (json!(1), "\"1\""));

    // This process sees its own change at once.
    let refused = world.admin.post("/patients", patient.clone()).await;
    let problem = refused.expect_problem(503, "maintenance");
    assert_eq!((&problem["message"], refused.header("retry-after")), (&json!("Back at noon"), "90"));
    let path = format!("/patients/{}", made["id"].as_str().unwrap());
    world.admin.patch(&path, &json!(1), json!({})).await.expect_problem(503, "maintenance");
    world.admin.get(&path).await.expect(200);
    world.admin.get("/patients").await.expect(200);
    // Operators go on, or nobody could end it; log-ins go on as well.
    world.admin.login(json!({"email": format!("admin@{}.example", world.slug), "password": PASSWORD})).await;
    world.delete(READ_ONLY).await.expect(204);
    world.delete(READ_ONLY).await.expect(204);
    world.admin.post("/patients", patient).await.expect(201);
    let after = world.operator.get(READ_ONLY).await.expect(200);
    assert_eq!((&after["value"], &after["version"]), (&json!(false), &json!(2)));
    // Whoever has read it before it was ever set is too late.
    world.put(READ_ONLY, Some("\"0\""), json!({"value": true})).await.expect_problem(412, "version_mismatch");
    let trail = world.operator.get("/platform/audit-logs?limit=200").await;
    assert!(
        trail.text.contains("configuration.set") && trail.text.contains("configuration.unset"),
        "{}",
        trail.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_decides_whether_a_search_goes_on_to_names_that_resemble() {
    let world = World::create("flag").await;
    let body = json!({"family_name": "Petersen", "given_name": "Anna"});
    world.admin.post("/patients", body).await.expect(201);
    let found = async |q: &str| {
        let list = world.admin.get(&format!("/patients?q={q}")).await.expect(200);
        list["items"].as_array().unwrap().len()
    };
    assert_eq!((found("Petersen").await, found("Petrsen").await), (1, 1));
    let own = world.admin.get("/feature-flags").await.expect(200);
    assert_eq!(own["items"][0], json!({"key": "patient.similar_search", "enabled": true}));

    let overridden = format!("{SIMILAR}/overrides/{}", world.slug);
    world
        .put(&overridden, None, json!({"enabled": false}))
        .await
        .expect_problem(428, "precondition_required");
    let changed = world.put(&overridden, Some("\"0\""), json!({"enabled": false})).await;
    assert_eq!((changed.expect(200)["override_count"].clone(), changed.header("etag")), (json!(1), "\"1\""));
    assert_eq!((found("Petersen").await, found("Petrsen").await), (1, 0));
    assert_eq!(world.admin.get("/feature-flags").await.expect(200)["items"][0]["enabled"], false);
    let list = world.operator.get(&format!("{SIMILAR}/overrides?count=true")).await.expect(200);
    assert_eq!((&list["items"][0]["slug"], &list["total"]), (&json!(world.slug), &json!(1)));
    // The clinic sees in its own audit what was switched for it.
    let trail = world.admin.get("/audit-logs?limit=200").await.expect(200);
    assert!(trail.to_string().contains("feature_flag.overridden"), "{trail}");

    world.delete(&overridden).await.expect(200);
    assert_eq!(found("Petrsen").await, 1);
    world.put(SIMILAR, Some("*"), json!({"enabled": true, "rollout_percent": 0})).await.expect(200);
    assert_eq!(found("Petrsen").await, 0);
    world.put(SIMILAR, Some("*"), json!({"enabled": true, "rollout_percent": 100})).await.expect(200);
    assert_eq!(found("Petrsen").await, 1);
    world.put(SIMILAR, Some("*"), json!({"enabled": false})).await.expect(200);
    assert_eq!(found("Petrsen").await, 0);
    for (body, pointer) in [
        (json!({"enabled": true, "rollout_percent": 101}), "/rollout_percent"),
        (json!({"enabled": true, "rollout_percent": 1.5}), "/rollout_percent"),
        (json!({"enabled": "yes"}), "/enabled"),
        (json!({}), "/enabled"),
    ] {
        let problem = world.put(SIMILAR, Some("*"), body).await.expect_problem(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    world.delete(SIMILAR).await.expect(204);
    assert_eq!(found("Petrsen").await, 1);
    another_clinic_is_left_alone(&world).await;
}

/// An override for one clinic leaves another one alone.
async fn another_clinic_is_left_alone(world: &World) {
    let other = Clinic::made_by(&world.operator, json!({})).await;
    let sees = async |admin: &Api| {
        let own = admin.get("/feature-flags").await.expect(200);
        let found = admin.get("/patients?q=Petrsen").await.expect(200)["items"].as_array().unwrap().len();
        (own["items"][0]["enabled"].as_bool().unwrap(), found)
    };
    let body = json!({"family_name": "Petersen", "given_name": "Anna"});
    other.admin.post("/patients", body).await.expect(201);
    assert_eq!((sees(&world.admin).await, sees(&other.admin).await), ((true, 1), (true, 1)));
    let overridden = format!("{SIMILAR}/overrides/{}", world.slug);
    world.put(&overridden, Some("*"), json!({"enabled": false})).await.expect(200);
    assert_eq!((sees(&world.admin).await, sees(&other.admin).await), ((false, 0), (true, 1)));
    // Neither in what the other sees of itself is there anything of it.
    for path in ["/feature-flags", "/audit-logs?limit=200"] {
        let text = other.admin.get(path).await.text;
        assert!(!text.contains(&world.slug) && !text.contains("overridden"), "{path}: {text}");
    }
    // The override counts before what holds for all, in both directions.
    world.put(SIMILAR, Some("*"), json!({"enabled": false})).await.expect(200);
    world.put(&overridden, Some("*"), json!({"enabled": true})).await.expect(200);
    assert_eq!((sees(&world.admin).await, sees(&other.admin).await), ((true, 1), (false, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_declared_is_not_there() {
    let world = World::create("unknown").await;
    for key in ["keys.master_key_check", "patient.similar_search", "no.such", "%00"] {
        let path = format!("/platform/configurations/{key}");
        world.operator.get(&path).await.expect_problem(404, "not_found");
        world.put(&path, Some("*"), json!({"value": 1})).await.expect_problem(404, "not_found");
        world.delete(&path).await.expect_problem(404, "not_found");
    }
    let path = "/platform/feature-flags/platform.read_only";
    world.operator.get(path).await.expect_problem(404, "not_found");
    world.put(path, Some("*"), json!({"enabled": true})).await.expect_problem(404, "not_found");
    let nobody = format!("{SIMILAR}/overrides/nobody-has-this");
    world.put(&nobody, Some("*"), json!({"enabled": true})).await.expect_problem(404, "not_found");
    let list = world.operator.get("/platform/configurations?count=true").await.expect(200);
    let all = keys(&list);
    assert!(all.contains(&"platform.read_only") && !all.contains(&"keys.master_key_check"), "{all:?}");
    assert_eq!(list["total"], all.len());
    let mut paged = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let page = world.operator.get(&format!("/platform/configurations?limit=1{cursor}")).await.expect(200);
        paged.extend(keys(&page).into_iter().map(str::to_owned));
        next = page["next_cursor"].as_str().map(|cursor| format!("&cursor={cursor}"));
    }
    assert_eq!(paged, all);
    world.admin.get("/platform/configurations").await.expect_problem(403, "permission_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_and_the_command_line_agree_within_five_seconds() {
    let world = World::create("processes").await;
    let other = Api { base: start(world.config.clone()).await, ..world.admin.clone() };
    let patient = json!({"family_name": "A", "given_name": "B"});
    other.post("/patients", patient.clone()).await.expect(201);
    let until = async |status: u16| {
        let started = Instant::now();
        while other.post("/patients", patient.clone()).await.status != status {
            assert!(started.elapsed() < Duration::from_secs(5), "{status} was not seen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    world.put(READ_ONLY, Some("*"), json!({"value": true})).await.expect(200);
    until(503).await;
    let program = Program::new();
    let state = world.config.state_dir.0.display().to_string();
    let program = program
        .with("CLINICX_DATABASE__URL", world.config.database.url.as_ref().unwrap().expose())
        .with("CLINICX_STATE_DIR", state);
    let shown = program.run(&["config", "show", "platform.read_only", "--json"]).json();
    assert_eq!((&shown["value"], &shown["type"]), (&json!(true), &json!("boolean")));
    let set = program.run(&["config", "set", "platform.read_only", "false", "--json"]).json();
    assert_eq!((&set["value"], &set["version"]), (&json!(false), &json!(2)));
    until(201).await;

    let span = program.run(&["config", "set", "platform.maintenance_retry_after", "5m", "--json"]).json();
    assert_eq!(span["value"], "5m");
    // A text stays a text, whatever it looks like.
    let text = program.run(&["config", "set", "platform.maintenance_message", "12", "--json"]).json();
    assert_eq!(text["value"], "12");
    let wrong = program.run(&["config", "set", "platform.maintenance_retry_after", "2d"]);
    assert!(wrong.refusal(2).contains("from 1s to 1d"), "{}", wrong.stderr);
    assert!(program.run(&["config", "set", "no.such", "1"]).refusal(1).contains("no such setting"));
    let listed = program.run(&["config", "list", "--json"]).json();
    assert!(listed.as_array().unwrap().iter().any(|one| one["key"] == "platform.read_only"), "{listed}");
    assert!(program.run(&["config", "list"]).expect(0).stdout.contains("platform.read_only"));
    let unset = program.run(&["config", "unset", "platform.maintenance_message", "--json"]).json();
    assert_eq!((&unset["value"], &unset["version"]), (&json!(""), &json!(2)));

    let key = "patient.similar_search";
    let set = program.run(&["flag", "set", key, "on", "--percent", "25", "--json"]).json();
    assert_eq!((&set["enabled"], &set["rollout_percent"]), (&json!(true), &json!(25)));
    let overridden = program.run(&["flag", "override", key, &world.slug, "off", "--json"]).json();
    assert_eq!(overridden["override_count"], 1);
    let shown = program.run(&["flag", "show", key, "--json"]).json();
    assert_eq!(shown["overrides"], json!({ world.slug.as_str(): false }));
    let removed = program.run(&["flag", "unset", key, "--tenant", &world.slug, "--json"]).json();
    assert_eq!(removed["override_count"], 0);
    assert!(program.run(&["flag", "list"]).expect(0).stdout.contains(key));
    let unset = program.run(&["flag", "unset", key, "--json"]).json();
    assert_eq!((&unset["version"], &unset["rollout_percent"]), (&json!(4), &json!(100)));
    program.run(&["flag", "set", key, "on", "--percent", "101"]).expect(2);
}
