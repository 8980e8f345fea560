//! Opens a tenant and books an appointment, as a service does that builds on these libraries: no HTTP, no
//! application.
//!
//! ```text
//! cargo run -p clinicx-core --example book_appointment [tenant]
//! ```
//!
//! With `CLINICX_DATABASE__URL` it uses that PostgreSQL, and without it starts one of its own in the temporary
//! folder. Where the login may administer the server, the system schema and the tenant are made if they are not
//! there yet; the application's own login only opens a tenant that is.

#![expect(clippy::print_stdout, reason = "an example tells its reader what it does")]

use std::{env, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use chrono::Days;
use clinicx_core::{
    CoreError, FACTS,
    appointment::{self, AppointmentFilter, BookAppointment},
    local_time, patient, staff,
};
use clinicx_embedded_postgres::server::{Options, Server};
use clinicx_keys::{FieldCipher, KeyProviders, Keyring, local::LocalProvider};
use clinicx_migration::{
    owner::OwnerLogin,
    system::{self, RoleNames, SystemRole},
    tenant::core,
};
use clinicx_persistence::{
    ApplyMode, Cluster, ClusterKind, ClusterOptions, PoolOptions, SystemConnection, SystemOptions,
    TenantConnection, TenantScope, Timeouts,
};
use clinicx_tenancy::{
    ClusterEntry, Module, ModuleRegistry, PlatformScope, Tenancy, TenancyOptions, Tenant, TenantDraft,
    registry,
};
use clinicx_types::{
    error::DomainError,
    id::TenantId,
    name::{ClusterName, RoleName, TenantSlug},
    page::PageRequest,
    permission::PermissionSet,
};
use serde_json::json;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

#[tokio::main]
async fn main() -> Result<()> {
    let slug = TenantSlug::parse(&env::args().nth(1).unwrap_or_else(|| "example-clinic".to_owned()))?;
    let (url, server) = database().await?;
    let connect: PgConnectOptions = url.parse().context("CLINICX_DATABASE__URL is no PostgreSQL URL")?;
    let login = Login { administers: administers(&connect).await?, connect, roles: RoleNames::default() };

    let tenant = open_tenant(&login, &slug).await?;
    let cluster = Cluster::connect(login.cluster()?).await?;
    let connection = cluster.tenant(tenant.target());
    let scope = TenantScope::system(
        tenant.id,
        tenant.slug.clone(),
        (tenant.time_zone, tenant.currency, &tenant.locale),
        "example",
        PermissionSet::of_roles(&[clinicx_types::permission::Role::Owner], FACTS.permissions),
    );
    let keyring = Keyring::new(login.system(SystemRole::App).await?, keys());
    let cipher = keyring.cipher(tenant.id).await?;
    let booked = book(&connection, &scope, &cipher).await?;
    println!("Booked {} in {slug}: {} to {}", booked.id, booked.start, booked.end);

    // Reads need no transaction.
    let day = AppointmentFilter { day: Some(booked.start.date_naive()), ..AppointmentFilter::default() };
    let page = appointment::list(&connection, &scope, &cipher, &day, &PageRequest::default()).await?;
    println!("{} appointments start on that day", page.items.len());

    cluster.close().await;
    if let Some(server) = server {
        server.stop().await?;
    }
    Ok(())
}

/// Books half an hour tomorrow at nine, or the first free half hour after it, in one transaction with the people.
async fn book(
    connection: &TenantConnection,
    scope: &TenantScope,
    cipher: &FieldCipher,
) -> Result<appointment::Appointment> {
    let tx = connection.begin().await?;
    let dentist = json!({ "family_name": "Haddad", "given_name": "Layla", "roles": ["dentist"] });
    let dentist = staff::create(&tx, scope, &staff::NoAccounts, serde_json::from_value(dentist)?).await?;
    let patient = json!({ "family_name": "Doe", "given_name": "Jo" });
    let patient = patient::create(&tx, scope, cipher, serde_json::from_value(patient)?).await?;
    tx.commit().await?;

    let tomorrow = local_time::local_date(scope.now(), scope.time_zone) + Days::new(1);
    for half_hour in 18..48 {
        let start = format!("{tomorrow}T{:02}:{:02}", half_hour / 2, half_hour % 2 * 30);
        let mut wish = BookAppointment::new(patient.id, dentist.id, start);
        wish.duration_minutes = Some(30);
        wish.time_zone = Some(scope.time_zone.name().to_owned());
        let tx = connection.begin().await?;
        match appointment::book(&tx, scope, cipher, wish).await {
            Ok(booked) => {
                tx.commit().await?;
                return Ok(booked);
            }
            Err(refused @ CoreError::SlotTaken { .. }) => {
                println!("{}: {}", refused.code(), refused.detail())
            }
            Err(refused) => return Err(refused.into()),
        }
    }
    anyhow::bail!("tomorrow is full")
}

/// A login of PostgreSQL, and whether it may become every other.
struct Login {
    connect: PgConnectOptions,
    administers: bool,
    roles: RoleNames,
}

impl Login {
    fn becoming(&self, role: SystemRole) -> Option<RoleName> {
        self.administers.then(|| self.roles.of(role).clone())
    }

    fn cluster(&self) -> Result<ClusterOptions> {
        Ok(ClusterOptions {
            name: ClusterName::parse("main")?,
            connect: self.connect.clone(),
            session_authorization: self.becoming(SystemRole::App),
            kind: ClusterKind::Postgres,
            apply_mode: ApplyMode::Session,
            pool: PoolOptions { min_connections: 0, ..PoolOptions::default() },
            timeouts: Timeouts::default(),
        })
    }

    async fn system(&self, role: SystemRole) -> Result<SystemConnection> {
        let options = SystemOptions {
            connect: self.connect.clone(),
            session_authorization: self.becoming(role),
            max_connections: 2,
            acquire_timeout: Duration::from_secs(10),
            timeouts: Timeouts::SYSTEM,
        };
        Ok(SystemConnection::connect(options).await?)
    }
}

async fn open_tenant(login: &Login, slug: &TenantSlug) -> Result<Tenant> {
    if login.administers {
        system::migrate(&login.connect, &login.roles).await?;
    }
    let app = login.system(SystemRole::App).await?;
    let found = registry::find_by_slug(&app, slug).await?;
    match found {
        Some(tenant) => Ok(tenant),
        None if login.administers => make_tenant(login, app, slug).await,
        None => anyhow::bail!("there is no tenant {slug}"),
    }
}

async fn make_tenant(login: &Login, app: SystemConnection, slug: &TenantSlug) -> Result<Tenant> {
    let module = Module { name: "core", migrations: core::MIGRATIONS, facts: FACTS };
    let tenancy = Tenancy::new(TenancyOptions {
        app,
        control: login.system(SystemRole::Control).await?,
        migrator: Some(OwnerLogin::through_superuser(login.connect.clone(), &login.roles)),
        modules: Arc::new(ModuleRegistry::new([module])?),
        keys: keys(),
        home: ClusterEntry { name: ClusterName::parse("main")?, region: None },
        others: Vec::new(),
        retention: Duration::from_secs(30 * 24 * 3600),
    });
    tenancy.register_clusters().await?;
    let draft = TenantDraft {
        slug: slug.to_string(),
        name: "Example Clinic".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        currency: "EUR".to_owned(),
        locale: "de-DE".to_owned(),
        ..TenantDraft::default()
    };
    let by = PlatformScope::system("example");
    let new = tenancy.check(draft, TenantId::new(by.next_id()))?;
    let tenant = tenancy.create(new, &by, Vec::new()).await?;
    println!("Made the tenant {slug}");
    Ok(tenant)
}

/// Returns who wraps the tenants' keys. A real service takes the master key from a file or a key service.
fn keys() -> KeyProviders {
    KeyProviders::new(Arc::new(LocalProvider::new(LocalProvider::FILE, [7; 32])))
}

/// Returns the URL of the database, and the server that was started for it.
async fn database() -> Result<(String, Option<Server>)> {
    if let Ok(url) = env::var("CLINICX_DATABASE__URL") {
        return Ok((url, None));
    }
    let server = Server::start(Options::new(env::temp_dir().join("clinicx-example"))).await?;
    Ok((server.address().superuser_url(), Some(server)))
}

async fn administers(connect: &PgConnectOptions) -> Result<bool> {
    let mut connection = PgConnection::connect_with(connect).await.context("cannot connect to PostgreSQL")?;
    let query = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user";
    let administers = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(administers)
}
