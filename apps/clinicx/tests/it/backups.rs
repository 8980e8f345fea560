//! Backups and clones, over HTTP and on the command line.

use std::time::{Duration, Instant};

use clinicx::config::Config;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    command::{create_tenant, on_a_database, run},
    support::{Answer, Api, Clinic, OPERATOR, PASSWORD, configuration, start},
};

async fn with_archives() -> Config {
    let mut config = configuration("backups").await;
    config.jobs.enabled = true;
    config.jobs.poll = Duration::from_millis(100);
    config
}

/// Asks for something that has no body.
async fn ask(operator: &Api, path: &str) -> Answer {
    operator.send(operator.request(Method::POST, path)).await
}

/// Waits for the job that an answer names, and returns what came of it.
async fn done(operator: &Api, answer: Answer) -> Value {
    let location = answer.header("location").to_owned();
    let body = answer.expect(202);
    assert!(
        location.ends_with(&format!("/platform/jobs/{}", body["job_id"].as_str().unwrap())),
        "{location}"
    );
    let path = format!("/platform/jobs/{}", body["job_id"].as_str().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let job = operator.get(&path).await.expect(200);
        match job["state"].as_str().unwrap() {
            "succeeded" => return job["output"].clone(),
            "queued" | "running" => assert!(Instant::now() < deadline, "{job}"),
            _ => panic!("{job}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_back_up_verify_restore_and_clone() {
    let anonymous = Api { base: start(with_archives().await).await, token: None, client: Client::new() };
    let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let clinic = Clinic::made_by(&operator, json!({})).await;
    let patient = json!({"family_name": "Haddad", "given_name": "Layla", "notes": "afraid of needles"});
    clinic.admin.post("/patients", patient).await.expect(201);
    let slug = clinic.slug.clone();
    let path = format!("/platform/tenants/{slug}");

    let made = done(&operator, ask(&operator, &format!("{path}/backups")).await).await;
    let backup = made["backup"].as_str().unwrap().to_owned();
    let listed = operator.get(&format!("{path}/backups")).await.expect(200);
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["state"]), (&json!(backup), &json!("stored")));
    assert_eq!(listed["items"][0].get("manifest_mac"), None);

    done(&operator, ask(&operator, &format!("{path}/backups/{backup}/verify")).await).await;
    let listed = operator.get(&format!("{path}/backups?state=stored")).await.expect(200);
    assert_eq!(listed["items"][0]["verification"], "passed");

    let restore = format!("{path}/backups/{backup}/restore");
    let (again, copy) = (format!("{slug}-r"), format!("{slug}-c"));
    let restored = done(&operator, operator.post(&restore, json!({"into": again})).await).await;
    assert_eq!(restored["tenant"], json!(again));
    let cloning = json!({"slug": copy, "name": "Training"});
    done(&operator, operator.post(&format!("{path}/clone"), cloning.clone()).await).await;
    assert_eq!(operator.get(&format!("/platform/tenants/{copy}")).await.expect(200)["name"], "Training");

    // Who was a member is one, and reads what was written before.
    let email = format!("admin@{slug}.example");
    for tenant in [&again, &copy] {
        let owner = anonymous.login(json!({"email": email, "password": PASSWORD, "tenant": tenant})).await;
        let found = owner.get("/patients?q=Haddad").await.expect(200);
        let id = found["items"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(owner.get(&format!("/patients/{id}")).await.expect(200)["notes"], "afraid of needles");
    }

    // The clinic itself is put back, and what it was meanwhile is kept.
    clinic.patient("Latecomer").await;
    let back = done(&operator, operator.post(&restore, json!({})).await).await;
    assert_eq!(back["tenant"], json!(slug));
    assert_eq!(clinic.admin.get("/patients?q=Latecomer").await.expect(200)["items"], json!([]));
    assert_eq!(
        clinic.admin.get("/patients?q=Haddad").await.expect(200)["items"].as_array().unwrap().len(),
        1
    );
    let kept = back["kept"].as_str().unwrap();
    assert_eq!(operator.get(&format!("/platform/tenants/{kept}")).await.expect(200)["status"], "archived");

    // What can't be done is said before there is a job.
    operator.post(&restore, json!({"into": again})).await.expect_problem(409, "slug_taken");
    operator.post(&restore, json!({"into": "No Slug"})).await.expect_problem(422, "invalid");
    operator.post(&format!("{path}/clone"), cloning).await.expect_problem(409, "slug_taken");
    let other = format!("/platform/tenants/{copy}/backups/{backup}/verify");
    ask(&operator, &other).await.expect_problem(404, "not_found");
    ask(&operator, "/platform/tenants/nobody-knows/backups").await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_backs_up_and_restores() {
    let program = on_a_database().await;
    let folder = program.folder().join("archives");
    run(&program, &create_tenant("kept-one", &["--module", "billing"])).expect(0);
    assert!(program.run(&["tenant", "backup", "kept-one"]).refusal(1).contains("archive.folder"));
    let program = program.with("CLINICX_ARCHIVE__FOLDER", folder.display().to_string());
    assert!(
        program.run(&["tenant", "verify-backup", "kept-one"]).refusal(1).contains("clinicx tenant backup")
    );
    let made = program.run(&["tenant", "backup", "kept-one", "--json"]).json();
    assert_eq!((&made["state"], &made["tenant"]), (&json!("stored"), &json!("kept-one")));
    let proven = program.run(&["tenant", "verify-backup", "kept-one", "--json"]).json();
    assert_eq!((&proven["id"], &proven["verification"]), (&made["id"], &json!("passed")));
    let id = made["id"].as_str().unwrap();
    let restored =
        program.run(&["tenant", "restore-backup", "kept-one", id, "--into", "kept-two", "--json"]).json();
    assert_eq!((&restored["slug"], &restored["status"]), (&json!("kept-two"), &json!("active")));
    program.run(&["tenant", "restore-backup", "kept-one", "--into", "kept-two"]).refusal(1);
    program.run(&["tenant", "restore-backup", "kept-one"]).expect(2);
    let cloned =
        program.run(&["tenant", "clone", "kept-two", "kept-three", "--name", "Three", "--json"]).json();
    assert_eq!((&cloned["slug"], &cloned["name"]), (&json!("kept-three"), &json!("Three")));
    assert_eq!(program.run(&["tenant", "backups", "kept-one", "--json"]).json().as_array().unwrap().len(), 1);

    program.run(&["tenant", "restore-backup", "kept-one", "--in-place"]).refusal(2);
    let back = program.run(&["tenant", "restore-backup", "kept-one", "--in-place", "--yes", "--json"]).json();
    assert_eq!((&back["slug"], &back["status"]), (&json!("kept-one"), &json!("active")));
    let kept = program.run(&["tenant", "show", back["kept"].as_str().unwrap(), "--json"]).json();
    assert_eq!(kept["status"], "archived");

    // A purge keeps the backups unless it is told otherwise, and says what is left.
    program.run(&["tenant", "archive", "kept-one"]).expect(0);
    let purged = program.run(&["tenant", "purge", "kept-one", "--yes", "--force", "--json"]).json();
    let nothing = json!({"schemas": 0, "roles": 0, "keys": 0, "people": 0});
    assert_eq!((&purged["backups"], &purged["left"]), (&json!(1), &nothing));
    program.run(&["tenant", "restore-backup", "kept-one", "--into", "kept-four"]).expect(0);
    program.run(&["tenant", "backup", "kept-four"]).expect(0);
    program.run(&["tenant", "archive", "kept-four"]).expect(0);
    let purge = ["tenant", "purge", "kept-four", "--yes", "--force", "--backups", "--json"];
    let purged = program.run(&purge).json();
    assert_eq!((&purged["backups"], &purged["left"]), (&json!(0), &nothing));
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert_eq!(left.len(), 1, "only the folder of the tenant whose backups were kept");
}
