//! A service with two clinics and three issuers: the platform's, one of the first clinic's own, and one that leaves the
//! tenant to the memberships.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;
use clinicx::{
    config::{Config, OidcConfig, OidcOperator, OidcRoles},
    wiring::Platform,
};
use clinicx_types::{id::TenantId, permission::Role};
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{forge::Key, issuer::Issuer};
use crate::support::{Answer, Api, OPERATOR, PASSWORD, configuration, start};

/// The audience of this service.
pub(super) const AUDIENCE: &str = "https://api.clinicx.example";
/// The client of the console.
pub(super) const CLIENT: &str = "clinicx-console";
/// Where the console takes people back from an issuer.
pub(super) fn back(provider: &str) -> String {
    format!("https://console.example/back/{provider}")
}

pub(super) struct World {
    pub(super) config: Config,
    pub(super) anonymous: Api,
    /// The issuer of the platform: claims name the tenant, the roles, the operators.
    pub(super) platform: Issuer,
    /// The issuer of clinic A.
    pub(super) own: Issuer,
    /// The issuer that says only who somebody is.
    pub(super) roaming: Issuer,
    pub(super) clinic_a: Clinic,
    pub(super) clinic_b: Clinic,
}

pub(super) struct Clinic {
    pub(super) id: TenantId,
    pub(super) slug: String,
    pub(super) owner: Api,
}

/// Returns the world of this binary's tests; it is made with the first call.
pub(super) async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(World::create).await
}

pub(super) fn provider(name: &str, issuer: &str) -> OidcConfig {
    let map = BTreeMap::from([
        ("admins".to_owned(), vec![Role::Admin]),
        ("desk".to_owned(), vec![Role::Receptionist]),
        ("owners".to_owned(), vec![Role::Owner]),
    ]);
    OidcConfig {
        name: name.to_owned(),
        issuer: issuer.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: Some(clinicx::config::Secret::new("a secret/with:signs")),
        audiences: vec![AUDIENCE.to_owned()],
        redirect_uris: vec![back(name)],
        roles: Some(OidcRoles { claim: "roles".to_owned(), map }),
        max_token_lifetime: Duration::from_secs(3600),
        ..OidcConfig::default()
    }
}

impl World {
    async fn create() -> Self {
        let platform = Issuer::start(Key::rsa("platform-1"));
        let (own, roaming) = (Issuer::start(Key::rsa("own-1")), Issuer::start(Key::curve("roaming-1")));
        let mut config = configuration("oidc").await;
        let slugs = ["oidc-a", "oidc-b"];
        config.auth.oidc = vec![
            OidcConfig {
                tenant_claim: Some("tenant".to_owned()),
                operator: Some(OidcOperator {
                    claim: "groups".to_owned(),
                    values: vec!["platform-operators".to_owned()],
                }),
                ..provider("platform", &platform.url)
            },
            OidcConfig {
                tenant: Some(slugs[0].parse().unwrap()),
                link_by_verified_email: true,
                email_domains: ["oidc-a.example", "oidc-b.example", "platform.example"]
                    .map(str::to_owned)
                    .to_vec(),
                ..provider("own-a", &own.url)
            },
            OidcConfig {
                roles: None,
                link_by_verified_email: true,
                client_secret: None,
                algorithms: vec!["ES256".to_owned()],
                ..provider("roaming", &roaming.url)
            },
        ];
        // Each test has a runtime of its own, with which its connections end; none is kept for the next test.
        let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let anonymous = Api { base: start(config.clone()).await, token: None, client };
        let operator = anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
        let clinic_a = Clinic::create(&operator, slugs[0]).await;
        let clinic_b = Clinic::create(&operator, slugs[1]).await;
        Self { config, anonymous, platform, own, roaming, clinic_a, clinic_b }
    }

    /// The claims of an access token of an issuer, for somebody who has not been here yet.
    pub(super) fn claims(&self, issuer: &Issuer) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": issuer.url, "sub": Uuid::new_v4().to_string(), "aud": AUDIENCE, "azp": CLIENT, "iat": now,
            "exp": now + 600, "jti": Uuid::new_v4().to_string(), "tenant": self.clinic_a.slug, "roles": ["desk"],
        })
    }

    pub(super) fn with_token(&self, token: &str) -> Api {
        self.anonymous.with_token(token)
    }

    /// Asks for the patients with a token.
    pub(super) async fn patients(&self, token: &str) -> Answer {
        self.with_token(token).get("/patients").await
    }

    /// The superuser's view of the database.
    pub(super) async fn database(&self) -> PgConnection {
        let url = self.config.database.url.as_ref().unwrap().expose();
        url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
    }

    /// A second process of the service, for what no operation does.
    pub(super) async fn process(&self) -> Platform {
        Platform::open(&self.config).await.unwrap()
    }
}

impl Clinic {
    pub(super) async fn create(operator: &Api, slug: &str) -> Self {
        let email = format!("owner@{slug}.example");
        let body = json!({
            "slug": slug, "name": slug, "modules": [], "time_zone": "Europe/Berlin", "currency": "EUR",
            "locale": "de-DE", "admin": {"email": email, "full_name": "O", "password": PASSWORD},
        });
        let made = operator.post("/platform/tenants", body).await.expect(201);
        let owner = operator.login(json!({"email": email, "password": PASSWORD})).await;
        Self { id: made["id"].as_str().unwrap().parse().unwrap(), slug: slug.to_owned(), owner }
    }
}
