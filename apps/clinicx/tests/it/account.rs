//! One's own account over HTTP: log-ins, the password, a forgotten password.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clinicx::config::Profile;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{Api, Clinic, PASSWORD, configuration, mail_folder, start};

const NEW: &str = "quite another passphrase";

/// The files in the mail folder of the shared service.
pub(crate) async fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some("eml".as_ref()))
        .collect()
}

/// The text of the first mail to an address that comes after these files.
pub(crate) async fn mail_to(folder: &Path, email: &str, before: &BTreeSet<PathBuf>) -> String {
    let begin = Instant::now();
    loop {
        for path in files(folder).await.difference(before) {
            let text = std::fs::read_to_string(path).unwrap();
            if text.contains(&format!("To: {email}")) {
                return text;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "no mail to {email}");
        tokio::task::yield_now().await;
    }
}

/// The token in a mail: the line that begins with its prefix.
pub(crate) fn token_in(mail: &str, prefix: &str) -> String {
    let at = mail.find(prefix).unwrap_or_else(|| panic!("no token in {mail}"));
    let token: String =
        mail[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    assert_eq!(token.len(), prefix.len() + 43, "{mail}");
    token
}

fn email_of(clinic: &Clinic) -> String {
    format!("admin@{}.example", clinic.slug)
}

async fn log_in(clinic: &Clinic, password: &str) -> crate::support::Answer {
    let body = json!({"email": email_of(clinic), "password": password});
    Api::anonymous().await.post("/auth/login", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn log_ins_are_listed_and_ended() {
    let clinic = Clinic::create().await;
    let second =
        Api::anonymous().await.login(json!({"email": email_of(&clinic), "password": PASSWORD})).await;
    let list = clinic.admin.get("/auth/sessions").await.expect(200);
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{list}");
    assert_eq!(items[0]["tenants"], json!([clinic.slug]));
    let other = items.iter().find(|item| item["current"] == json!(false)).unwrap();
    let path = format!("/auth/sessions/{}", other["id"].as_str().unwrap());
    let end = async |path: &str| clinic.admin.send(clinic.admin.request(Method::DELETE, path)).await;
    end(&path).await.expect(204);
    second.get("/auth/me").await.expect_problem(401, "invalid_token");
    end(&path).await.expect_problem(404, "not_found");
    clinic.admin.get("/auth/me").await.expect(200);
    let stranger = Clinic::create().await;
    let mine = stranger.admin.get("/auth/sessions").await.expect(200);
    end(&format!("/auth/sessions/{}", mine["items"][0]["id"].as_str().unwrap()))
        .await
        .expect_problem(404, "not_found");
    stranger.admin.get("/auth/me").await.expect(200);
    clinic.admin.get("/auth/sessions?limit=0").await.expect_problem(422, "invalid");
    clinic.admin.get("/auth/sessions?cursor=nonsense").await.expect_problem(422, "invalid_cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_out_everywhere_ends_every_session() {
    let clinic = Clinic::create().await;
    let second =
        Api::anonymous().await.login(json!({"email": email_of(&clinic), "password": PASSWORD})).await;
    clinic.admin.post("/auth/logout-all", json!({})).await.expect(204);
    for api in [&clinic.admin, &second] {
        api.get("/auth/me").await.expect_problem(401, "invalid_token");
    }
    log_in(&clinic, PASSWORD).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_changed_by_whoever_knows_it() {
    let clinic = Clinic::create().await;
    let second =
        Api::anonymous().await.login(json!({"email": email_of(&clinic), "password": PASSWORD})).await;
    let change = async |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        clinic.admin.post("/auth/password", body).await
    };
    let wrong = change("not the password", NEW).await.expect_problem(422, "invalid");
    assert_eq!(wrong["errors"][0]["code"], "wrong_password");
    assert_eq!(wrong["errors"][0]["pointer"], "/current_password");
    let weak = change(PASSWORD, "12345678").await.expect_problem(422, "invalid");
    assert_eq!(weak["errors"][0]["pointer"], "/new_password");
    let unknown = json!({"current_password": PASSWORD, "new_password": NEW, "x": 1});
    clinic.admin.post("/auth/password", unknown).await.expect_problem(422, "invalid");
    change(PASSWORD, NEW).await.expect(204);
    clinic.admin.get("/auth/me").await.expect(200);
    second.get("/auth/me").await.expect_problem(401, "invalid_token");
    log_in(&clinic, PASSWORD).await.expect_problem(401, "invalid_credentials");
    log_in(&clinic, NEW).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_set_anew_by_a_mailed_link() {
    let clinic = Clinic::create().await;
    let folder = mail_folder().await;
    let before = files(&folder).await;
    let anonymous = Api::anonymous().await;
    let ask = async |body: Value| anonymous.post("/auth/password-reset", body).await;
    let known = ask(json!({"email": email_of(&clinic)})).await;
    let unknown = ask(json!({"email": "nobody@nowhere.example"})).await;
    for answer in [&known, &unknown] {
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""));
    }
    ask(json!({})).await.expect_problem(422, "invalid");
    ask(json!({"email": "x".repeat(1001)})).await.expect_problem(422, "invalid");
    ask(json!({"email": "a", "tenant": clinic.slug})).await.expect_problem(422, "invalid");
    let mail = mail_to(&folder, &email_of(&clinic), &before).await;
    let token = token_in(&mail, "cxp_");
    let confirm = async |token: &str, password: &str| {
        anonymous
            .post("/auth/password-reset/confirm", json!({"token": token, "new_password": password}))
            .await
    };
    confirm("cxp_nonsense", NEW).await.expect_problem(401, "invalid_link");
    let weak = confirm(&token, "1").await.expect_problem(422, "invalid");
    assert_eq!(weak["errors"][0]["pointer"], "/new_password");
    confirm(&token, NEW).await.expect(204);
    confirm(&token, NEW).await.expect_problem(401, "invalid_link");
    clinic.admin.get("/auth/me").await.expect_problem(401, "invalid_token");
    log_in(&clinic, NEW).await.expect(200);
    assert!(
        !files(&folder)
            .await
            .iter()
            .any(|path| { std::fs::read_to_string(path).unwrap().contains("To: nobody@nowhere.example") })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_on_one_database_obey_within_five_seconds() {
    let config = configuration("two").await;
    let first = Api { base: start(config.clone()).await, token: None, client: Client::new() };
    let second = Api { base: start(config).await, ..first.clone() };
    let operator = crate::support::OPERATOR;
    let tokens = first.post("/auth/login", json!({"email": operator.0, "password": operator.1})).await;
    let token = tokens.expect(200)["access_token"].as_str().unwrap().to_owned();
    let (here, there) = (first.with_token(&token), second.with_token(&token));
    there.get("/platform/tenants").await.expect(200);
    here.post("/auth/logout-all", json!({})).await.expect(204);
    let begin = Instant::now();
    while there.get("/platform/tenants").await.status != 401 {
        assert!(begin.elapsed() < Duration::from_secs(5), "the other service still obeys the token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn production_without_a_sender_says_that_mail_is_not_configured() {
    let mut config = configuration("no_mail").await;
    config.profile = Profile::Production;
    assert!(clinicx::mail::settings(&config).is_none());
    assert!(clinicx::mail::mailer(&config).unwrap().is_none());
    config.mail.sender = Some(clinicx::config::MailSender::Smtp);
    assert!(clinicx::mail::settings(&config).is_some() && clinicx::mail::mailer(&config).unwrap().is_some());
    config.mail.from = "no address".to_owned();
    assert!(clinicx::mail::mailer(&config).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_no_mail_answers_503_to_what_needs_one() {
    let mut config = configuration("silent").await;
    config.mail.sender = Some(clinicx::config::MailSender::None);
    let api = Api { base: start(config).await, token: None, client: Client::new() };
    let asked = api.post("/auth/password-reset", json!({"email": "a@b.example"})).await;
    asked.expect_problem(503, "mail_not_configured");
}
