//! Everything on one machine: an embedded PostgreSQL, two demo clinics, the service.

mod claim;
mod clinics;
mod demo;
mod foreign;
mod money;
mod mouths;
mod names;
pub(crate) mod postgres;

use std::path::Path;

use clinicx_identity::{Bootstrap, IdentityScope, NewAccount, Password, membership, user};
use clinicx_persistence::{Failure, TenantScope};
use clinicx_tenancy::{PlatformScope, Tenant, TenantDraft, registry};
use clinicx_types::{
    name::TenantSlug,
    permission::{PermissionSet, Role},
};

use crate::{
    cli::{Output, migrate},
    config::{Config, Secret},
    key_check::{self, KeyCheckError},
    provision,
    said::said,
    server::{Service, Signals, check_ports},
    wiring::Platform,
};
use claim::Claim;
use clinics::{CLINICS, DemoClinic};

/// The password of every demo user. The demo listens on the loopback address unless told otherwise.
const DEMO_PASSWORD: &str = "clinicx-demo-password";
/// The demo's operator, unless `bootstrap.email` names one.
const DEMO_OPERATOR: &str = "operator@clinicx.example";

/// Runs everything until a signal, or until the embedded PostgreSQL has gone.
///
/// # Errors
/// One line that says what is missing and how to get it, or who runs in the folder already.
pub(crate) async fn run(mut config: Config, output: &Output) -> anyhow::Result<()> {
    let shown = operator(&mut config);
    config.check_serving()?;
    foreign::refuse(&config).await?;
    if config.database.url.is_some() {
        check_ports(&config.http)?;
        return serve(config, shown, output, Signals::listen()?, None).await;
    }
    let state_dir = config.state_dir.0.clone();
    // Who runs here already may be the one that has the port; and no folder is made for a start that is refused.
    let claim = if state_dir.is_dir() { Some(Claim::take(&state_dir)?) } else { None };
    check_ports(&config.http)?;
    let mut claim = claim.map_or_else(|| Claim::take(&state_dir), Ok)?;
    let mut signals = Signals::listen()?;
    let mut server = postgres::start(&mut config, &mut signals, output).await?;
    let data = server.folder().to_owned();
    let served = tokio::select! {
        served = serve(config, shown, output, signals, Some(&mut claim)) => {
            served.map_err(|error| without_its_keys(error, &data, &state_dir))
        }
        gone = postgres::ended(&mut server) => Err(gone),
    };
    let stopped = postgres::stop(server, output).await;
    served.and(stopped)
}

/// Gives the demo's operator what is not configured, and tells how its password is shown.
fn operator(config: &mut Config) -> &'static str {
    let bootstrap = &mut config.bootstrap;
    bootstrap.email.get_or_insert_with(|| DEMO_OPERATOR.to_owned());
    let shown = if bootstrap.password.is_some() { "(the configured password)" } else { DEMO_PASSWORD };
    bootstrap.password.get_or_insert_with(|| Secret::new(DEMO_PASSWORD));
    shown
}

/// Makes the operator, or finds it from an earlier start, and tells how it logs in.
///
/// # Errors
/// The account of the configured address is no operator's.
async fn operators_log_in(platform: &Platform, shown: &'static str) -> anyhow::Result<LogIn> {
    let configured = &platform.config.bootstrap;
    let email = configured.email.clone().unwrap_or_default();
    let password = match platform.bootstrap().await? {
        Some(Bootstrap::NotAnOperator(_)) => anyhow::bail!(
            "bootstrap.email is the address of an account that is no operator; name another, or run `clinicx user create \
             --operator`"
        ),
        Some(Bootstrap::Present(user)) => {
            let password =
                Password::new(configured.password.as_ref().map(Secret::expose).unwrap_or_default());
            let is_known = platform.identity.is_password_of(user, &password).await.map_err(said)?;
            if is_known { shown } else { "(the password that it was made with, or has been given since)" }
        }
        _ => shown,
    };
    Ok(LogIn { email, password })
}

/// How somebody logs in.
#[derive(serde::Serialize)]
struct LogIn {
    email: String,
    /// As it is shown: a configured one is not.
    password: &'static str,
}

/// Says what to do about a database of the demo whose keys are gone: its folder need not be in the one of the keys.
fn without_its_keys(error: anyhow::Error, data: &Path, state_dir: &Path) -> anyhow::Error {
    match error.downcast_ref() {
        Some(KeyCheckError::WrongMasterKey(_)) => anyhow::anyhow!(
            "the demo's database in {} was made with other keys than those in {}; put the keys back, or remove {} to \
             begin anew",
            data.display(),
            state_dir.join("keys").display(),
            data.display()
        ),
        _ => error,
    }
}

/// Serves until a signal; with a claim on the folder from the embedded server.
async fn serve(
    config: Config,
    shown: &'static str,
    output: &Output,
    mut signals: Signals,
    claim: Option<&mut Claim>,
) -> anyhow::Result<()> {
    let (service, log_in) = tokio::select! {
        prepared = prepare(&config, shown, output) => prepared?,
        () = signals.next() => anyhow::bail!("ended before the demo clinics were complete; start again to go on"),
    };
    let base = format!("http://{}", service.address());
    // Only the embedded server's URL is shown: it holds no password.
    let mut database = None;
    if let Some(claim) = claim {
        claim.serves_at(&base);
        database = config.database.admin_url.as_ref().map(Secret::expose);
    }
    announce(&base, database, &log_in, output);
    service.run_until(signals).await
}

/// Makes what is not there yet, and listens.
async fn prepare(config: &Config, shown: &'static str, output: &Output) -> anyhow::Result<(Service, LogIn)> {
    let report = migrate::system_schema(config).await?;
    if !report.applied.is_empty() {
        output.progress(&format!("system schema: {} migrations applied", report.applied.len()));
    }
    let platform = Platform::open(config).await?;
    key_check::establish(platform.tenancy()?, &platform.data_keys).await?;
    key_check::adopt(platform.tenancy()?, &platform.data_keys).await?;
    demo_clinics(&platform, output).await?;
    let log_in = operators_log_in(&platform, shown).await?;
    Ok((Service::on(platform).await?, log_in))
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
    )
    .named(&tenant.name);
    let connection = platform.cluster.tenant(tenant.target());
    if demo::is_filled(&connection, &scope).await? {
        return Ok(());
    }
    // The data come last: a clinic that has them has everything, however often a start was cut short.
    add_users(platform, clinic, &tenant).await?;
    let cipher = platform.keyring.cipher(tenant.id).await?.lasting();
    let filled = demo::fill(&connection, &scope, &cipher, &clinic.profile, clinic.modules).await?;
    let demo::Filled { patients, appointments, invoices } = filled;
    output
        .progress(&format!("{slug}: {patients} patients, {appointments} appointments, {invoices} invoices"));
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

fn announce(base: &str, database: Option<&str>, operator: &LogIn, output: &Output) {
    let log_ins = |clinic: &DemoClinic| {
        let names = std::iter::once("admin").chain(clinic.users.iter().map(|(name, ..)| *name));
        let log_in = |name| LogIn { email: address(name, clinic), password: DEMO_PASSWORD };
        names.map(log_in).collect::<Vec<_>>()
    };
    if output.is_json() {
        let tenants: Vec<_> = CLINICS.iter().map(|clinic| clinic.slug).collect();
        let of_tenants: serde_json::Map<_, _> = CLINICS
            .iter()
            .map(|clinic| (clinic.slug.to_owned(), serde_json::json!(log_ins(clinic))))
            .collect();
        return output.one(&serde_json::json!({
            "url": base, "operator": operator.email, "tenants": tenants, "database": database,
            "log_ins": {"operator": operator, "tenants": of_tenants},
        }));
    }
    let mut lines = vec![
        String::new(),
        format!("  API        {base}/api/v1"),
        format!("  Reference  {base}/docs"),
        format!("  Health     {base}/readyz"),
    ];
    lines.extend(database.map(|url| format!("  Database   {url}")));
    lines.extend([String::new(), format!("  operator   {}  {}", operator.email, operator.password)]);
    for clinic in CLINICS {
        for LogIn { email, password } in log_ins(clinic) {
            lines.push(format!("  {:<10} {email}  {password}", clinic.slug));
        }
    }
    lines.push(String::new());
    if database.is_some() {
        lines.push(
            "  Meanwhile `clinicx tenant list` and the like, in this folder, use this database.".to_owned(),
        );
    }
    lines.push("  Ctrl-C ends everything.".to_owned());
    output.text(&format!("{}\n", lines.join("\n")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_operator_has_both_halves_of_a_log_in() {
        let check = |email: Option<&str>, password: Option<&str>, expected: (&str, &str)| {
            let mut config = Config::default();
            config.bootstrap.email = email.map(str::to_owned);
            config.bootstrap.password = password.map(Secret::new);
            let shown = operator(&mut config);
            assert_eq!((config.bootstrap.email.as_deref().unwrap(), shown), expected);
            config.check_bootstrap().unwrap();
            assert_eq!(config.bootstrap.password.unwrap().expose(), password.unwrap_or(DEMO_PASSWORD));
        };
        let (demo, configured) = ("clinicx-demo-password", "(the configured password)");
        check(None, None, ("operator@clinicx.example", demo));
        check(Some("me@a.example"), None, ("me@a.example", demo));
        check(None, Some("a long secret"), ("operator@clinicx.example", configured));
        check(Some("me@a.example"), Some("a long secret"), ("me@a.example", configured));
    }
}
