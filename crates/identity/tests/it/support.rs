//! A database with the system schema, and the service on it as the application's login.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_identity::{
    Identity, IdentityError, IdentityKeys, IdentityScope, IdentitySettings, LoginRequest, Mail, MailError,
    MailSettings, Mailer, NewAccount, Origin, Password, Principal, SealingKeys, TokenKey, Tokens, membership,
};
use clinicx_migration::system::SystemRole;
use clinicx_persistence::SystemConnection;
use clinicx_testing::TestDatabase;
use clinicx_types::{
    clock::{Clock, IdSource, RandomIds, SystemClock},
    error::DomainError,
    id::{RequestId, TenantId, UserId},
    name::TenantSlug,
    permission::Role,
};
use sqlx::PgPool;
use uuid::Uuid;

/// A password that the policy accepts.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// One that is no account's.
pub(crate) const WRONG: &str = "incorrect horse battery";

/// A clock that a test moves on.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<DateTime<Utc>>);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now += TimeDelta::from_std(by).unwrap();
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// A database of its own for one test.
pub(crate) struct Fixture {
    pub(crate) identity: Identity,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) app: SystemConnection,
    /// The superuser's view of the database.
    pub(crate) admin: PgPool,
    pub(crate) keys: IdentityKeys,
    database: TestDatabase,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: IdentitySettings) -> Self {
        let database = TestDatabase::create().await;
        let admin = PgPool::connect_with(database.superuser_options()).await.unwrap();
        sqlx::query("INSERT INTO public.clusters (name) VALUES ('main')").execute(&admin).await.unwrap();
        let app = database.system(SystemRole::App).await;
        let clock = Arc::new(TestClock(Mutex::new(SystemClock.now())));
        let keys = keys();
        let identity =
            Identity::new(app.clone(), &keys, settings, Arc::<TestClock>::clone(&clock), Arc::new(RandomIds))
                .unwrap();
        Self { identity, clock, app, admin, keys, database }
    }

    /// The service as another process has it: with a pool, a cache and memories of its own.
    pub(crate) async fn another_process(&self) -> Identity {
        let app = self.database.system(SystemRole::App).await;
        let clock = Arc::<TestClock>::clone(&self.clock);
        Identity::new(app, &self.keys, settings(), clock, Arc::new(RandomIds)).unwrap()
    }

    pub(crate) async fn tenant(&self, slug: &str) -> TenantId {
        let id = RandomIds.next();
        let slug: TenantSlug = slug.parse().unwrap();
        sqlx::query(
            "INSERT INTO public.tenants (id, slug, name, status, database_schema, cluster, time_zone, currency, locale)
             VALUES ($1, $2, $2, 'active', $3, 'main', 'Europe/Berlin', 'EUR', 'de-DE')",
        )
        .bind(id)
        .bind(slug.as_str())
        .bind(slug.schema().as_str())
        .execute(&self.admin)
        .await
        .unwrap();
        TenantId::new(id)
    }

    pub(crate) async fn set_status(&self, tenant: TenantId, status: &str) {
        sqlx::query("UPDATE public.tenants SET status = $2 WHERE id = $1")
            .bind(tenant.uuid())
            .bind(status)
            .execute(&self.admin)
            .await
            .unwrap();
    }

    pub(crate) async fn user(&self, email: &str) -> UserId {
        self.account(email, false).await
    }

    pub(crate) async fn operator(&self, email: &str) -> UserId {
        self.account(email, true).await
    }

    async fn account(&self, email: &str, is_operator: bool) -> UserId {
        let password = Password::new(PASSWORD);
        let new = NewAccount { email, full_name: "Somebody", password: Some(&password), is_operator };
        self.identity.create_user(&scope(), new).await.unwrap().id
    }

    pub(crate) async fn grant(&self, user: UserId, tenant: TenantId, roles: &[Role]) {
        membership::grant(&self.app, &scope(), tenant, user, roles).await.unwrap();
    }

    /// A user of a tenant with the one role.
    pub(crate) async fn member(&self, email: &str, tenant: TenantId, role: Role) -> UserId {
        let user = self.user(email).await;
        self.grant(user, tenant, &[role]).await;
        user
    }

    pub(crate) async fn login(
        &self,
        email: &str,
        password: &str,
        tenant: Option<&str>,
    ) -> Result<Tokens, IdentityError> {
        self.login_from(email, password, tenant, "192.0.2.1").await
    }

    pub(crate) async fn login_from(
        &self,
        email: &str,
        password: &str,
        tenant: Option<&str>,
        address: &str,
    ) -> Result<Tokens, IdentityError> {
        let origin = Origin { source: Some(address.parse().unwrap()), ..origin() };
        self.identity.login(request(email, password, tenant), None, &origin).await
    }

    pub(crate) async fn principal(&self, tokens: &Tokens) -> Arc<Principal> {
        self.identity.authenticate(&tokens.access_token, &origin()).await.unwrap()
    }

    /// The actions and the entities in the audit, oldest first.
    pub(crate) async fn audit(&self) -> Vec<(String, Option<Uuid>, Option<Uuid>)> {
        sqlx::query_as("SELECT action, entity_id, tenant_id FROM public.audit_logs ORDER BY recorded_at")
            .fetch_all(&self.admin)
            .await
            .unwrap()
    }

    /// How often something stands in the audit.
    pub(crate) async fn audited(&self, action: &str) -> usize {
        self.audit().await.iter().filter(|(found, ..)| found == action).count()
    }

    /// Sends what waits, and returns it.
    pub(crate) async fn mails(&self) -> Vec<Mail> {
        let post = Post::default();
        self.identity.relay_mail(&post).await.unwrap();
        post.sent()
    }

    /// The token in the one mail that waits.
    pub(crate) async fn mailed_token(&self) -> String {
        let mails = self.mails().await;
        assert_eq!(mails.len(), 1);
        token_in(mails.first().unwrap())
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.admin).await.unwrap()
    }
}

/// Mail that is kept instead of sent, or refused.
#[derive(Default)]
pub(crate) struct Post {
    sent: Mutex<Vec<Mail>>,
    pub(crate) trouble: Mutex<Option<MailError>>,
}

impl Post {
    pub(crate) fn sent(&self) -> Vec<Mail> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Mailer for Post {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        match *self.trouble.lock().unwrap() {
            Some(trouble) => Err(trouble),
            None => {
                self.sent.lock().unwrap().push(mail.clone());
                Ok(())
            }
        }
    }
}

pub(crate) fn token_in(mail: &Mail) -> String {
    let (_, rest) = mail.text.split_once("#token=").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

pub(crate) fn settings() -> IdentitySettings {
    let mail = MailSettings { public_url: Some("https://app.example".to_owned()) };
    IdentitySettings { mail: Some(mail), ..IdentitySettings::default() }
}

pub(crate) fn keys() -> IdentityKeys {
    IdentityKeys { token: TokenKey::generate().unwrap(), sealing: SealingKeys::new([9; 32]) }
}

pub(crate) fn request(email: &str, password: &str, tenant: Option<&str>) -> LoginRequest {
    LoginRequest {
        tenant: tenant.map(|slug| slug.parse().unwrap()),
        email: email.to_owned(),
        password: Password::new(password),
        totp: None,
    }
}

pub(crate) fn origin() -> Origin {
    Origin {
        request_id: RequestId::new(RandomIds.next()),
        source: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    }
}

pub(crate) fn scope() -> IdentityScope {
    IdentityScope::system("test")
}

/// The code of a refusal, or `ok`.
pub(crate) fn code<T>(result: &Result<T, IdentityError>) -> &'static str {
    result.as_ref().map_or_else(|error| error.code(), |_| "ok")
}

/// Asks again and again until the answer is yes; it must be within five seconds.
pub(crate) async fn within_five_seconds(mut is_so: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while !is_so().await {
        assert!(begin.elapsed() < Duration::from_secs(5), "not within five seconds");
        tick.tick().await;
    }
}
