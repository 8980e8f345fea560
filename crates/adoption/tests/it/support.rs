//! Old tables with clinics in them, and tenants to move them into.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use clinicx_adoption::{Adopted, Adopter, Mapping, TenantMapping, Until, run::MAX_PAUSE};
use clinicx_embedded_postgres::TestServer;
use clinicx_keys::Keyring;
use clinicx_migration::{
    owner::OwnerLogin,
    system::{RoleNames, SystemRole},
};
use clinicx_persistence::{
    ApplyMode, Cluster, ClusterKind, ClusterOptions, PoolOptions, SystemConnection, SystemOptions, Timeouts,
};
use clinicx_tenancy::{PlatformScope, Tenancy, TenancyOptions, Tenant, TenantDraft, registry};
use clinicx_testing::{TestDatabase, database};
use clinicx_types::id::TenantId;
use sqlx::{AssertSqlSafe, Executor, PgConnection, postgres::PgConnectOptions};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database with old tables and with an empty registry.
pub(crate) struct Legacy {
    pub(crate) database: TestDatabase,
    pub(crate) reader: PgConnectOptions,
    pub(crate) owner: PgConnectOptions,
    pub(crate) clinics: Vec<String>,
    folder: tempfile::TempDir,
}

/// Reads a number from the environment.
pub(crate) fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

impl Legacy {
    /// Makes a database with so many clinics of so many rows, and one more that nobody names.
    pub(crate) async fn create(clinics: usize, rows: usize) -> Self {
        let database = TestDatabase::create().await;
        let at = NEXT.fetch_add(1, Ordering::Relaxed);
        let (reader, owner) = (format!("legacy_reader_{at}"), format!("legacy_owner_{at}"));
        let mut superuser = database.superuser().await;
        let roles = format!(
            "CREATE ROLE {reader} LOGIN; CREATE ROLE {owner} LOGIN; \
             GRANT CONNECT ON DATABASE {name} TO {reader}, {owner}; GRANT CREATE ON DATABASE {name} TO {owner}",
            name = database.name()
        );
        superuser.execute(AssertSqlSafe(roles)).await.unwrap();
        let tables = include_str!("legacy.sql").replace("{owner}", &owner);
        superuser.execute(AssertSqlSafe(tables)).await.unwrap();
        let grants = format!(
            "GRANT USAGE ON SCHEMA \"Old Data\" TO {reader}; \
             GRANT SELECT ON ALL TABLES IN SCHEMA \"Old Data\" TO {reader}"
        );
        superuser.execute(AssertSqlSafe(grants)).await.unwrap();
        let options = |name: &str| database.superuser_options().username(name);
        let (reader, owner) = (options(&reader), options(&owner));
        let clinics: Vec<String> = (1..=clinics).map(|n| format!("Clinic'{n} \\ \"ع\"")).collect();
        for clinic in clinics.iter().map(String::as_str).chain([OTHER]) {
            fill(&mut superuser, clinic, rows).await;
        }
        Self { database, reader, owner, clinics, folder: tempfile::tempdir().unwrap() }
    }

    /// Returns the mapping of its clinics, with something replaced in it.
    pub(crate) fn mapping(&self, replace: &[(&str, &str)]) -> Mapping {
        Mapping::parse(&self.mapping_text(replace)).unwrap()
    }

    /// Returns the text of a mapping of its clinics, with something replaced in it. The tenants' slugs are new ones.
    pub(crate) fn mapping_text(&self, replace: &[(&str, &str)]) -> String {
        let tenants: Vec<String> = self.clinics.iter().map(|legacy| tenant(legacy)).collect();
        let mut text = include_str!("mapping.toml").replace("{tenants}", &tenants.join("\n"));
        for (from, to) in replace {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        text
    }

    /// Returns a folder of its own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the URL of a login of its database.
    pub(crate) fn url_of(&self, options: &PgConnectOptions) -> String {
        self.url(options.get_username())
    }

    /// Returns the URL of a user of its database.
    pub(crate) fn url(&self, user: &str) -> String {
        TestServer::shared().unwrap().url(user, self.database.name())
    }

    /// Counts all old rows of a clinic.
    pub(crate) async fn all_rows(&self, clinic: &str) -> i64 {
        let mut all = 0;
        let mut superuser = self.superuser().await;
        for table in TABLES {
            let sql = format!("SELECT count(*) FROM \"Old Data\".\"{table}\" WHERE \"TenantId\" = $1");
            let count: i64 =
                sqlx::query_scalar(AssertSqlSafe(sql)).bind(clinic).fetch_one(&mut superuser).await.unwrap();
            all += count;
        }
        all
    }

    /// Returns what moves its clinics.
    pub(crate) async fn adopter(&self, mapping: Mapping) -> Adopter {
        let tenancy = self.database.tenancy(database::modules(&[])).await;
        Adopter {
            cluster: self.database.cluster().await,
            keyring: self.database.keyring().await,
            tenancy,
            mapping: Arc::new(mapping),
            reader: self.reader.clone(),
            owner: Some(self.owner.clone()),
            max_pause: MAX_PAUSE,
        }
    }

    pub(crate) async fn superuser(&self) -> PgConnection {
        self.database.superuser().await
    }

    /// Returns a digest of all old rows of a clinic.
    pub(crate) async fn digest(&self, clinic: &str) -> String {
        let mut superuser = self.superuser().await;
        let mut all = String::new();
        for table in TABLES {
            let sql = format!(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') \
                 FROM \"Old Data\".\"{table}\" AS t WHERE t.\"TenantId\" = $1"
            );
            let digest: String =
                sqlx::query_scalar(AssertSqlSafe(sql)).bind(clinic).fetch_one(&mut superuser).await.unwrap();
            all.push_str(&format!("{table} {digest}; "));
        }
        all
    }

    /// Counts the old rows of a clinic that are to be moved.
    pub(crate) async fn rows(&self, clinic: &str) -> i64 {
        let mut all = 0;
        let mut superuser = self.superuser().await;
        for table in TABLES {
            let filter = if table == "Patients" { "AND NOT \"Deleted\"" } else { "" };
            let sql =
                format!("SELECT count(*) FROM \"Old Data\".\"{table}\" WHERE \"TenantId\" = $1 {filter}");
            let count: i64 =
                sqlx::query_scalar(AssertSqlSafe(sql)).bind(clinic).fetch_one(&mut superuser).await.unwrap();
            all += count;
        }
        all
    }
}

/// Returns what moves clinics, for a process that did not make the database.
pub(crate) async fn adopter_at(superuser: &str, (reader, owner): (&str, &str), mapping: Mapping) -> Adopter {
    let options = |url: &str| url.parse::<PgConnectOptions>().unwrap();
    let names = RoleNames::default();
    let login = |role: SystemRole| options(superuser).username(names.of(role).as_str());
    let system = |role: SystemRole| {
        let connect = login(role);
        async move {
            let options = SystemOptions {
                connect,
                session_authorization: None,
                max_connections: 4,
                acquire_timeout: Duration::from_secs(20),
                timeouts: Timeouts::SYSTEM,
            };
            SystemConnection::connect(options).await.unwrap()
        }
    };
    let app = system(SystemRole::App).await;
    let tenancy = Tenancy::new(TenancyOptions {
        app: app.clone(),
        control: system(SystemRole::Control).await,
        migrator: Some(OwnerLogin::new(login(SystemRole::Migrator), &names)),
        modules: database::modules(&[]),
        keys: database::keys(),
        home: database::home(),
        others: Vec::new(),
        retention: Duration::from_secs(3600),
    });
    let cluster = Cluster::connect(ClusterOptions {
        name: database::home().name,
        connect: login(SystemRole::App),
        session_authorization: None,
        kind: ClusterKind::Postgres,
        apply_mode: ApplyMode::Session,
        pool: PoolOptions {
            max_connections: 4,
            min_connections: 0,
            tenant_share: 1.0,
            ..PoolOptions::default()
        },
        timeouts: Timeouts::default(),
    });
    Adopter {
        cluster: cluster.await.unwrap(),
        keyring: Keyring::new(app, database::keys()),
        tenancy,
        mapping: Arc::new(mapping),
        reader: options(reader),
        owner: Some(options(owner)),
        max_pause: MAX_PAUSE,
    }
}

/// The clinic that no mapping names.
pub(crate) const OTHER: &str = "other";

/// The old tables.
pub(crate) const TABLES: [&str; 5] = ["Doctors", "Rooms", "Services", "Patients", "Appointments"];

async fn fill(superuser: &mut PgConnection, clinic: &str, rows: usize) {
    let rows = i32::try_from(rows).unwrap();
    sqlx::query(include_str!("clinic.sql")).bind(clinic).bind(rows).execute(superuser).await.unwrap();
}

fn tenant(legacy: &str) -> String {
    let legacy = legacy.replace('\\', "\\\\").replace('"', "\\\"");
    let slug = clinicx_testing::tenant::unique_slug();
    format!(
        "[[tenants]]\nslug = \"{slug}\"\nlegacy = \"{legacy}\"\nname = \"A clinic\"\ntime_zone = \"Asia/Damascus\"\n\
         currency = \"SYP\"\nlocale = \"ar-SY\"\nadmin_email = \"owner@clinic.example\"\nadmin_name = \"Owner\"\n"
    )
}

/// Makes the tenant of a clinic, closed, unless it is there.
pub(crate) async fn ensure(adopter: &Adopter, clinic: &TenantMapping) -> Tenant {
    let by = PlatformScope::system("test");
    if let Some(tenant) = registry::find_by_slug(adopter.tenancy.app(), &clinic.slug).await.unwrap() {
        return tenant;
    }
    let draft = TenantDraft {
        slug: clinic.slug.to_string(),
        name: clinic.name.clone(),
        modules: clinic.modules.clone(),
        time_zone: clinic.time_zone.clone(),
        currency: clinic.currency.clone(),
        locale: clinic.locale.clone(),
        ..TenantDraft::default()
    };
    let new = adopter.tenancy.check(draft, TenantId::new(by.next_id())).unwrap();
    adopter.tenancy.create_closed(new, &by, Vec::new()).await.unwrap()
}

/// Makes the tenant of a clinic and moves it.
pub(crate) async fn adopt(adopter: &Adopter, clinic: &TenantMapping, until: Until) -> Adopted {
    ensure(adopter, clinic).await;
    let by = PlatformScope::system("test");
    let adopted = adopter.adopt(clinic, until, &by, |_| {}).await;
    adopted.unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

/// Waits a little.
pub(crate) async fn a_moment(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
