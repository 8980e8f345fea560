//! The second factor over HTTP.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{Answer, Api, Clinic, OPERATOR, PASSWORD, code_at, code_of, configuration, start};

fn now_s() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// A code that fits and is later than the one that has confirmed: that of the step to come.
fn next_code(secret: &str) -> String {
    code_at(secret, now_s() + 30)
}

async fn enrol(api: &Api) -> (String, Vec<String>) {
    let begun = api.post("/auth/totp", json!({"current_password": PASSWORD})).await.expect(200);
    let secret = begun["secret"].as_str().unwrap().to_owned();
    assert!(begun["otpauth_uri"].as_str().unwrap().starts_with("otpauth://totp/"), "{begun}");
    let confirmed = api.post("/auth/totp/confirm", json!({"code": code_of(&secret)})).await.expect(200);
    let codes: Vec<String> = serde_json::from_value(confirmed["recovery_codes"].clone()).unwrap();
    assert_eq!(codes.len(), 10);
    (secret, codes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_needs_the_second_factor_from_its_confirmation_on() {
    let clinic = Clinic::create().await;
    let anonymous = Api::anonymous().await;
    let log_in = async |totp: Option<&str>| -> Answer {
        let mut body = json!({"email": format!("admin@{}.example", clinic.slug), "password": PASSWORD});
        if let Some(totp) = totp {
            body["totp"] = json!(totp);
        }
        anonymous.post("/auth/login", body).await
    };
    let wrong = clinic.admin.post("/auth/totp", json!({"current_password": "no"})).await;
    assert_eq!(wrong.expect_problem(422, "invalid")["errors"][0]["code"], "wrong_password");
    clinic.admin.post("/auth/totp/confirm", json!({"code": "123456"})).await.expect_problem(404, "not_found");
    let begun = clinic.admin.post("/auth/totp", json!({"current_password": PASSWORD})).await.expect(200);
    let stale = clinic.admin.post("/auth/totp/confirm", json!({"code": "000000"})).await;
    assert_eq!(stale.expect_problem(422, "invalid")["errors"][0]["pointer"], "/code");
    clinic.admin.post("/auth/totp/confirm", json!({})).await.expect_problem(422, "invalid");
    log_in(None).await.expect(200);
    let (secret, codes) = enrol(&clinic.admin).await;
    assert_ne!(begun["secret"], json!(secret));
    log_in(None).await.expect_problem(401, "totp_required");
    log_in(Some("000000")).await.expect_problem(401, "invalid_totp");
    log_in(Some(&"9".repeat(65))).await.expect_problem(422, "invalid");
    let next = next_code(&secret);
    log_in(Some(&next)).await.expect(200);
    log_in(Some(&next)).await.expect_problem(401, "invalid_totp");
    log_in(Some(&codes[3])).await.expect(200);
    log_in(Some(&codes[3])).await.expect_problem(401, "invalid_totp");
    clinic
        .admin
        .post("/auth/totp", json!({"current_password": PASSWORD}))
        .await
        .expect_problem(409, "totp_enrolled");
    let end = async |body: Value| {
        clinic.admin.send(clinic.admin.request(Method::DELETE, "/auth/totp").json(&body)).await
    };
    end(json!({"current_password": PASSWORD})).await.expect_problem(422, "invalid");
    end(json!({"current_password": PASSWORD, "code": "1"})).await.expect_problem(401, "invalid_totp");
    end(json!({"current_password": PASSWORD, "code": codes[4]})).await.expect(204);
    log_in(None).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_a_service_that_demands_it_enrols_before_anything_else() {
    let mut config = configuration("demanding").await;
    config.auth.require_operator_totp = Some(true);
    let api = Api { base: start(config).await, token: None, client: Client::new() };
    let operator = api.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    for path in ["/platform/tenants", "/platform/users"] {
        operator.get(path).await.expect_problem(403, "totp_enrolment_required");
    }
    operator.get("/auth/me").await.expect(200);
    let begun = operator.post("/auth/totp", json!({"current_password": OPERATOR.1})).await.expect(200);
    let secret = begun["secret"].as_str().unwrap();
    operator.post("/auth/totp/confirm", json!({"code": code_of(secret)})).await.expect(200);
    operator.get("/platform/tenants").await.expect(200);
    let without = api.post("/auth/login", json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    without.expect_problem(401, "totp_required");
    let body = json!({"email": OPERATOR.0, "password": OPERATOR.1, "totp": next_code(secret)});
    api.login(body).await.get("/platform/tenants").await.expect(200);
}
