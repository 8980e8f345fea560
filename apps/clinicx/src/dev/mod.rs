//! Everything on one machine: an embedded PostgreSQL, two demo clinics, the service.

mod clinics;
mod demo;
mod foreign;
mod names;

use anyhow::Context;
use clinicx_embedded_postgres::{
    error::PostgresError,
    event::{Event, Progress},
    install_command,
    server::{Options, Server},
};
use clinicx_identity::{IdentityScope, NewAccount, Password, membership, user};
use clinicx_persistence::{Failure, TenantScope};
use clinicx_tenancy::{PlatformScope, Tenant, TenantDraft, registry};
use clinicx_types::{
    name::TenantSlug,
    permission::{PermissionSet, Role},
};
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};

use crate::{
    cli::{Output, migrate},
    config::{Config, Secret},
    key_check, provision,
    said::said,
    server::{Service, Signals, port_problem},
    wiring::{self, Platform},
};
use clinics::{CLINICS, DemoClinic};

/// The password of every demo user. The demo listens on the loopback address unless told otherwise.
const DEMO_PASSWORD: &str = "clinicx-demo-password";
/// The demo's operator, unless `bootstrap.email` names one.
const DEMO_OPERATOR: &str = "operator@clinicx.example";
/// The database of the demo in the embedded server.
const DATABASE: &str = "clinicx";

/// Runs everything until a signal.
///
/// # Errors
/// One line that says what is missing and how to get it.
pub(crate) async fn run(mut config: Config, output: &Output) -> anyhow::Result<()> {
    foreign::refuse(&config).await?;
    // Found out before anything is started, so that the other program's owner hears of it at once.
    let wanted = (config.http.host, config.http.port).into();
    drop(std::net::TcpListener::bind(wanted).map_err(|error| port_problem(wanted, &error))?);
    let server = match config.database.url {
        Some(_) => None,
        None => Some(start_postgres(&mut config, output).await?),
    };
    let served = serve(config, output).await;
    if let Some(server) = server {
        output.progress("stopping PostgreSQL");
        server.stop().await?;
    }
    served
}

async fn serve(mut config: Config, output: &Output) -> anyhow::Result<()> {
    if config.bootstrap.email.is_none() {
        config.bootstrap.email = Some(DEMO_OPERATOR.to_owned());
        config.bootstrap.password = Some(Secret::new(DEMO_PASSWORD));
    }
    let mut signals = Signals::listen()?;
    let service = tokio::select! {
        service = prepare(&config, output) => service?,
        () = signals.next() => anyhow::bail!("ended before the demo clinics were complete; start again to go on"),
    };
    announce(&service, &config, output);
    service.run_until(signals).await
}

/// Makes what is not there yet, and listens.
async fn prepare(config: &Config, output: &Output) -> anyhow::Result<Service> {
    let report = migrate::system_schema(config).await?;
    if !report.applied.is_empty() {
        output.progress(&format!("system schema: {} migrations applied", report.applied.len()));
    }
    let platform = Platform::open(config).await?;
    key_check::establish(platform.tenancy()?, &platform.data_keys).await?;
    key_check::adopt(platform.tenancy()?, &platform.data_keys).await?;
    demo_clinics(&platform, output).await?;
    Service::on(platform).await
}

/// Starts the embedded server and points the configuration's logins at it.
async fn start_postgres(config: &mut Config, output: &Output) -> anyhow::Result<Server> {
    let mut options = Options::new(config.state_dir.0.join("postgres"));
    if let Some(bin) = &config.postgres_bin {
        options.search.configured = Some(bin.clone());
    }
    let told = *output;
    options.progress = Progress::new(move |event| tell(&told, event));
    let server = Server::start(options).await.map_err(no_server)?;
    make_database(&server).await?;
    let roles = wiring::role_names(config)?;
    let url = |role: clinicx_migration::system::SystemRole| {
        Some(Secret::new(server.url(roles.of(role).as_str(), DATABASE)))
    };
    let database = &mut config.database;
    database.url = url(clinicx_migration::system::SystemRole::App);
    database.control_url = url(clinicx_migration::system::SystemRole::Control);
    database.migrator_url = url(clinicx_migration::system::SystemRole::Migrator);
    database.admin_url = Some(Secret::new(server.url(server.address().superuser(), DATABASE)));
    Ok(server)
}

/// A folder that was named wrongly may be the wrong way to begin with.
fn no_server(error: PostgresError) -> anyhow::Error {
    match error {
        PostgresError::ConfiguredBinaries { .. } => {
            anyhow::anyhow!("{error}; or unset it and install PostgreSQL with `{}`", install_command())
        }
        other => other.into(),
    }
}

fn tell(output: &Output, event: &Event) {
    // A download reports each piece; every fourth mebibyte is enough.
    if let Event::Downloading { received, .. } = event
        && received % (4 << 20) > (64 << 10)
    {
        return;
    }
    output.progress(&event.to_string());
}

async fn make_database(server: &Server) -> anyhow::Result<()> {
    let options: PgConnectOptions =
        server.address().superuser_url().parse().context("the server's own URL")?;
    let mut connection = options.connect().await.context("connect to the embedded PostgreSQL")?;
    let there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut connection)
            .await
            .context("look for the database")?;
    if !there {
        sqlx::query("CREATE DATABASE clinicx")
            .execute(&mut connection)
            .await
            .context("create the database")?;
    }
    connection.close().await.context("close the connection")
}

/// Makes and fills the demo clinics that are not there yet.
async fn demo_clinics(platform: &Platform, output: &Output) -> anyhow::Result<()> {
    let clinics = CLINICS.iter().map(|clinic| demo_clinic(platform, clinic, output));
    futures_util::future::try_join_all(clinics).await.map(drop)
}

async fn demo_clinic(platform: &Platform, clinic: &DemoClinic, output: &Output) -> anyhow::Result<()> {
    let slug = TenantSlug::parse(clinic.slug)?;
    let found = registry::find_by_slug(&platform.app, &slug).await?;
    let tenant = match found {
        Some(tenant) => tenant,
        None => {
            output.progress(&format!("creating {slug}"));
            create(platform, clinic).await?
        }
    };
    if tenant.require_active().is_err() {
        return Ok(());
    }
    let rules = platform.modules.permissions_of(&tenant.modules);
    let scope = TenantScope::system(
        tenant.id,
        slug.clone(),
        (tenant.time_zone, tenant.currency, &tenant.locale),
        "demo data",
        PermissionSet::of_roles(&[Role::Owner], rules),
    );
    let connection = platform.cluster.tenant(tenant.target());
    if demo::is_filled(&connection, &scope).await? {
        return Ok(());
    }
    // The data come last: a clinic that has them has everything, however often a start was cut short.
    add_users(platform, clinic, &tenant).await?;
    let cipher = platform.keyring.cipher(tenant.id).await?.lasting();
    let filled = demo::fill(&connection, &scope, &cipher, &clinic.profile).await?;
    output.progress(&format!("{slug}: {} patients, {} appointments", filled.patients, filled.appointments));
    Ok(())
}

async fn create(platform: &Platform, clinic: &DemoClinic) -> anyhow::Result<Tenant> {
    let text = str::to_owned;
    let draft = TenantDraft {
        slug: text(clinic.slug),
        name: text(clinic.name),
        modules: clinic.modules.iter().copied().map(text).collect(),
        time_zone: text(clinic.time_zone),
        currency: text(clinic.currency),
        locale: text(clinic.locale),
        ..TenantDraft::default()
    };
    let password = Password::new(DEMO_PASSWORD);
    let email = address("admin", clinic);
    let scope = PlatformScope::system("demo");
    let admin = account(&email, "Practice Owner", &password);
    provision::create(platform, &scope, draft, admin).await.map_err(said)
}

/// Makes the users beside the administrator; those that are there stay as they are.
async fn add_users(platform: &Platform, clinic: &DemoClinic, tenant: &Tenant) -> anyhow::Result<()> {
    let password = Password::new(DEMO_PASSWORD);
    let scope = IdentityScope::system("demo");
    for (name, full_name, role) in clinic.users {
        let email = address(name, clinic);
        let new =
            platform.identity.check_account(account(&email, full_name, &password)).await.map_err(said)?;
        let tx = platform.app.begin().await.map_err(Failure::from)?;
        let user = user::find_or_create(&tx, &scope, &new).await.map_err(said)?;
        let role: Role = role.parse()?;
        membership::grant(&tx, &scope, tenant.id, user.id, &[role]).await.map_err(said)?;
        tx.commit().await.map_err(Failure::from)?;
    }
    Ok(())
}

fn account<'a>(email: &'a str, full_name: &'a str, password: &'a Password) -> NewAccount<'a> {
    NewAccount { email, full_name, password: Some(password), is_operator: false }
}

fn address(name: &str, clinic: &DemoClinic) -> String {
    format!("{name}@{}.example", clinic.slug)
}

fn announce(service: &Service, config: &Config, output: &Output) {
    let base = format!("http://{}", service.address());
    if output.is_json() {
        let operator = config.bootstrap.email.as_deref().unwrap_or_default();
        let tenants: Vec<_> = CLINICS.iter().map(|clinic| clinic.slug).collect();
        return output.one(&serde_json::json!({"url": base, "operator": operator, "tenants": tenants}));
    }
    let operator = match &config.bootstrap.email {
        Some(email) if email == DEMO_OPERATOR => format!("{email}  {DEMO_PASSWORD}"),
        Some(email) => format!("{email}  (the configured password)"),
        None => String::new(),
    };
    let mut lines = vec![
        String::new(),
        format!("  API        {base}/api/v1"),
        format!("  Reference  {base}/docs"),
        format!("  Health     {base}/readyz"),
        String::new(),
        format!("  operator   {operator}"),
    ];
    for clinic in CLINICS {
        let names = std::iter::once("admin").chain(clinic.users.iter().map(|(name, ..)| *name));
        for name in names {
            lines.push(format!("  {:<10} {}  {DEMO_PASSWORD}", clinic.slug, address(name, clinic)));
        }
    }
    lines.push(String::new());
    lines.push("  Ctrl-C ends everything.".to_owned());
    output.text(&format!("{}\n", lines.join("\n")));
}
