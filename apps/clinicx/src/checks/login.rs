//! As whom the parts of the service have logged in: none may have more than its part needs.

use clinicx_migration::system::{RoleNames, SystemRole};
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};

use super::{Check, LOOK};
use crate::{config::Profile, logins::Logins, wiring::Platform};

/// Mends the attributes of the service's own logins.
const MEND: &str = "run `clinicx migrate system` with an administrator's login";

/// One part of the service, and the setting that has its URL.
struct Part<'a> {
    name: &'static str,
    setting: &'static str,
    role: SystemRole,
    connect: &'a PgConnectOptions,
}

/// Looks at the login of each part that has one of its own.
pub(super) async fn run(platform: &Platform) -> Vec<Check> {
    let (logins, names) = (&platform.logins, &platform.roles);
    if logins.app.session_authorization.is_some() {
        return vec![superuser(platform.config.profile, logins.app.connect.get_username(), names)];
    }
    let mut checks = Vec::new();
    for part in parts(logins) {
        checks.push(match attributes(part.connect).await {
            Ok(attributes) => attributes.check(&part, names),
            Err(_) => Check::failed(part.name, "PostgreSQL does not say whose it is", LOOK),
        });
    }
    checks
}

/// With a superuser's URL each part becomes its own role after connecting, but a statement that a defect lets through
/// could undo that: good enough for development alone.
fn superuser(profile: Profile, login: &str, names: &RoleNames) -> Check {
    const NAME: &str = "application login";
    let finding = format!("database.url is a superuser's ({login}), which no fence holds");
    let app = names.of(SystemRole::App);
    let mend = if login == app.as_str() {
        MEND.to_owned()
    } else {
        format!(
            "before patients' data is served, give {app} a password (\\password {app} in psql) and set database.url to \
             that login; database.control_url and database.migrator_url likewise"
        )
    };
    match profile {
        Profile::Development => Check::warning(NAME, finding, mend),
        Profile::Production => Check::failed(NAME, finding, mend),
    }
}

fn parts(logins: &Logins) -> Vec<Part<'_>> {
    let all = [
        ("application login", "database.url", SystemRole::App, Some(&logins.app)),
        ("control login", "database.control_url", SystemRole::Control, logins.control.as_ref()),
        ("migrator login", "database.migrator_url", SystemRole::Migrator, logins.migrator.as_ref()),
    ];
    let configured = all.into_iter().filter_map(|(name, setting, role, login)| {
        login.map(|login| Part { name, setting, role, connect: &login.connect })
    });
    configured.collect()
}

/// What a login may do beyond its grants.
struct Attributes {
    name: String,
    excess: Vec<&'static str>,
}

async fn attributes(connect: &PgConnectOptions) -> Result<Attributes, sqlx::Error> {
    let mut connection = connect.connect().await?;
    let row: Result<(String, bool, bool, bool, bool, bool), _> = sqlx::query_as(
        "SELECT CAST(rolname AS text), rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolinherit
         FROM pg_catalog.pg_roles WHERE rolname = session_user",
    )
    .fetch_one(&mut connection)
    .await;
    connection.close().await.ok();
    let (name, superuser, bypasses, creates_roles, creates_databases, inherits) = row?;
    let all = [
        (superuser, "SUPERUSER"),
        (bypasses, "BYPASSRLS"),
        (creates_roles, "CREATEROLE"),
        (creates_databases, "CREATEDB"),
        (inherits, "INHERIT"),
    ];
    Ok(Attributes { name, excess: all.into_iter().filter_map(|(has, word)| has.then_some(word)).collect() })
}

impl Attributes {
    /// A login of another name has rights of another kind, or none: the part can't do its work with it.
    fn check(&self, part: &Part<'_>, names: &RoleNames) -> Check {
        let (wanted, setting) = (names.of(part.role), part.setting);
        let own = self.name == wanted.as_str();
        let has = format!("{} has {}", self.name, self.excess.join(", "));
        match (own, self.excess.is_empty()) {
            (true, true) => Check::ok(part.name, "inherits nothing, bypasses nothing"),
            (true, false) => Check::failed(part.name, has, MEND),
            (false, nothing) => {
                let other = format!("{setting} logs in as {}, not as {wanted}", self.name);
                let finding = if nothing { other } else { format!("{other}; {has}") };
                let check = Check::failed(part.name, finding, format!("set {setting} to the login {wanted}"));
                if part.role == SystemRole::App { check.fatal() } else { check }
            }
        }
    }
}
