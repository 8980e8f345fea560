//! The operations on accounts: what each needs to succeed once.

use std::sync::Mutex;

use actix_web::test::TestRequest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use clinicx_identity::{
    IdentityScope, Mail, MailError, Mailer, NewAccount, NewGrant, NewMember, Origin, Password, membership,
};
use clinicx_persistence::SystemExecutor;
use clinicx_types::{
    id::{RequestId, UserId},
    permission::Role,
};
use clinicx_web::api::OperationFacts;
use sea_orm::raw_sql;
use serde_json::{Value, json};
use uuid::Uuid;

use super::handlers::{Bench, bearing};
use crate::support::{PASSWORD, code_of};

/// The operations of a tenant whose rows are in the system schema: no transaction of the tenant's is broken off.
pub(super) const ON_THE_SYSTEM_SCHEMA: &[&str] = &[
    "create_user",
    "list_users",
    "get_user",
    "update_user",
    "delete_user",
    "list_invitations",
    "revoke_invitation",
    "resend_invitation",
    "list_break_glass_grants",
    "end_break_glass_grant",
    "list_own_feature_flags",
];

/// Keeps the newest mail.
#[derive(Default)]
struct Post(Mutex<Option<Mail>>);

#[async_trait::async_trait]
impl Mailer for Post {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        *self.0.lock().unwrap() = Some(mail.clone());
        Ok(())
    }
}

fn unique_email() -> String {
    format!("{}@bench.example", Uuid::new_v4().simple())
}

fn scope() -> IdentityScope {
    IdentityScope::system("test")
}

/// Reads the session's id out of an access token.
fn session_of(tokens: &Value) -> String {
    let claims = tokens["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}

impl Bench {
    /// Makes a request that will succeed, if the operation is one on accounts.
    pub(super) async fn outside_on_accounts(&self, facts: &OperationFacts) -> Option<TestRequest> {
        let request = |id: &str| {
            TestRequest::default().method(facts.method.clone()).uri(&facts.path.replace("{id}", id))
        };
        let plain = request("");
        Some(match facts.id {
            "list_own_sessions" | "logout_all" => {
                let (_, tokens) = self.newcomer().await;
                bearing(plain, tokens["access_token"].as_str().unwrap())
            }
            "end_own_session" => {
                let (_, tokens) = self.newcomer().await;
                bearing(request(&session_of(&tokens)), tokens["access_token"].as_str().unwrap())
            }
            "change_password" => {
                let (_, tokens) = self.newcomer().await;
                let body = json!({"current_password": PASSWORD, "new_password": "quite another phrase"});
                bearing(plain.set_json(body), tokens["access_token"].as_str().unwrap())
            }
            "request_password_reset" => {
                // All requests come from nowhere, which may ask so often and no oftener.
                let forget = raw_sql!(Postgres, r#"DELETE FROM public.login_attempts"#);
                self.platform.app.execute(forget).await.unwrap();
                plain.set_json(json!({"email": unique_email()}))
            }
            "confirm_password_reset" => {
                let email = self.account().await.0;
                let token = self.platform.identity.issue_password_reset(&scope(), &email).await.unwrap();
                plain.set_json(json!({"token": token.expose(), "new_password": PASSWORD}))
            }
            "accept_invitation" => {
                self.invited().await;
                let post = Post::default();
                self.platform.identity.relay_mail(&post).await.unwrap();
                let mail = post.0.lock().unwrap().take().unwrap();
                let token = mail.text.lines().find(|line| line.starts_with("cxi_")).unwrap();
                plain.set_json(json!({"token": token, "password": PASSWORD}))
            }
            "create_user" => {
                let body = json!({"email": unique_email(), "full_name": "N", "roles": ["nurse"]});
                bearing(plain.set_json(body), &self.administrator)
            }
            "begin_totp" => {
                let (_, tokens) = self.newcomer().await;
                let body = json!({"current_password": PASSWORD});
                bearing(plain.set_json(body), tokens["access_token"].as_str().unwrap())
            }
            "confirm_totp" => {
                let (_, tokens) = self.newcomer().await;
                let code = self.begun(&tokens).await;
                bearing(plain.set_json(json!({"code": code})), tokens["access_token"].as_str().unwrap())
            }
            "disable_totp" => {
                let (_, tokens) = self.newcomer().await;
                let code = self.begun(&tokens).await;
                let origin = Origin { request_id: RequestId::new(Uuid::now_v7()), source: None };
                let identity = &self.platform.identity;
                let principal =
                    identity.authenticate(tokens["access_token"].as_str().unwrap(), &origin).await.unwrap();
                let codes = identity.confirm_totp(&principal, &code, &origin).await.unwrap();
                let body = json!({"current_password": PASSWORD, "code": codes.recovery_codes[0]});
                bearing(plain.set_json(body), tokens["access_token"].as_str().unwrap())
            }
            "open_break_glass" => {
                let request = TestRequest::post().uri(&facts.path.replace("{slug}", &self.slug));
                let body = json!({"reason": "a sweep of the handlers", "minutes": 5});
                bearing(request.set_json(body), &self.operator)
            }
            "end_break_glass" => bearing(request(&self.granted().await), &self.operator),
            "end_break_glass_grant" => bearing(request(&self.granted().await), &self.administrator),
            "list_break_glass" => bearing(plain, &self.operator),
            "list_users" | "list_invitations" | "list_break_glass_grants" => {
                bearing(plain, &self.administrator)
            }
            "get_user" | "delete_user" => {
                bearing(request(&self.member().await.to_string()), &self.administrator)
            }
            "update_user" => {
                let request = request(&self.member().await.to_string()).insert_header(("If-Match", "*"));
                bearing(request.set_json(json!({"roles": ["doctor"]})), &self.administrator)
            }
            "revoke_invitation" | "resend_invitation" => {
                bearing(request(&self.invited().await), &self.administrator)
            }
            "create_platform_user" => {
                let body = json!({"email": unique_email(), "full_name": "N"});
                bearing(plain.set_json(body), &self.operator)
            }
            "list_platform_users" => bearing(plain, &self.operator),
            "get_platform_user"
            | "disable_platform_user"
            | "enable_platform_user"
            | "grant_operator"
            | "revoke_operator" => {
                let id = self.account().await.1;
                bearing(request(&id.to_string()), &self.operator)
            }
            _ => return None,
        })
    }

    /// Makes an account.
    async fn account(&self) -> (String, UserId) {
        let (email, password) = (unique_email(), Password::new(PASSWORD));
        let new = NewAccount { email: &email, full_name: "N", password: Some(&password), is_operator: false };
        let user = self.platform.identity.create_user(&scope(), new).await.unwrap();
        (email, user.id)
    }

    /// Makes a user of the first clinic.
    async fn member(&self) -> UserId {
        let (_, id) = self.account().await;
        let tenant = self.clinics[0].target.tenant_id;
        membership::grant(&self.platform.app, &scope(), tenant, id, &[Role::Nurse]).await.unwrap();
        id
    }

    /// Makes one and logs in.
    async fn newcomer(&self) -> (UserId, Value) {
        let (email, id) = self.account().await;
        let tenant = self.clinics[0].target.tenant_id;
        membership::grant(&self.platform.app, &scope(), tenant, id, &[Role::Nurse]).await.unwrap();
        (id, self.tokens(json!({"email": email, "password": PASSWORD})).await)
    }

    /// Begins to enrol the bearer of the tokens and returns the code of the moment.
    async fn begun(&self, tokens: &Value) -> String {
        let origin = Origin { request_id: RequestId::new(Uuid::now_v7()), source: None };
        let identity = &self.platform.identity;
        let principal =
            identity.authenticate(tokens["access_token"].as_str().unwrap(), &origin).await.unwrap();
        let enrolment = identity.enrol_totp(&principal, &Password::new(PASSWORD), &origin).await.unwrap();
        code_of(&enrolment.secret)
    }

    /// Lets the operator into the first clinic and returns the grant's id.
    async fn granted(&self) -> String {
        let origin = Origin { request_id: RequestId::new(Uuid::now_v7()), source: None };
        let identity = &self.platform.identity;
        let principal = identity.authenticate(&self.operator, &origin).await.unwrap();
        let tenant = self.slug.parse().unwrap();
        let new = NewGrant { tenant: &tenant, reason: "a sweep of the handlers", minutes: 5, roles: None };
        identity.break_glass(&principal, new, &origin).await.unwrap().0.id.to_string()
    }

    /// Invites somebody to the first clinic.
    async fn invited(&self) -> String {
        let email = unique_email();
        let new = NewMember { email: &email, full_name: "N", roles: &[Role::Nurse] };
        let tenant = self.clinics[0].target.tenant_id;
        self.platform.identity.invite(&scope(), tenant, new).await.unwrap().id.to_string()
    }
}
