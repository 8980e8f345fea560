//! The roles of a ClinicX database, and what only an administrator can set up.
//!
//! | role | attributes | may |
//! |---|---|---|
//! | owner | NOLOGIN | owns `public` and every tenant's schema |
//! | provisioner | NOLOGIN CREATEROLE | owns the functions in `provisioning`, which make and end schemas and roles |
//! | registrar | NOLOGIN | owns the functions in `public` that look at the registry and call those |
//! | migrator | LOGIN NOINHERIT | becomes the owner |
//! | app | LOGIN NOINHERIT | becomes a tenant's role; reads what routing needs |
//! | backup | LOGIN BYPASSRLS | reads everything |
//! | control | LOGIN NOINHERIT | keeps the registry; provisions, fences, ends tenants |
//!
//! The logins are made without a password: an administrator sets those that are used, with `\password`.

use clinicx_types::{
    name::{NameError, RoleName},
    sabotage::{Bug, planted},
};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};

use super::SystemMigrationError;

/// The statements that create or repair the roles; run as one script by a superuser.
const SCRIPT: &str = include_str!("roles.sql");
/// The rights on the database itself, which a copy of it does not inherit.
const DATABASE: &str = include_str!("database.sql");

/// One of the roles that every ClinicX database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SystemRole {
    /// Owns every schema and table.
    Owner,
    /// Owns the functions that make and end tenants' schemas and roles.
    Provisioner,
    /// Owns the functions that look at the registry before they call the provisioner's.
    Registrar,
    /// The login of migrations; becomes the owner.
    Migrator,
    /// The login of the service.
    App,
    /// The login that reads everything.
    Backup,
    /// The login of the registry and of tenants' lifecycle.
    Control,
}

/// The names of the system roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleNames {
    owner: RoleName,
    provisioner: RoleName,
    registrar: RoleName,
    migrator: RoleName,
    app: RoleName,
    backup: RoleName,
    control: RoleName,
}

impl RoleNames {
    /// The prefix that they have unless another is set.
    pub const DEFAULT_PREFIX: &'static str = "clinicx";

    /// Names the roles `<prefix>_owner`, `<prefix>_app` and so on. Roles belong to a whole cluster: two
    /// installations in one need two prefixes.
    ///
    /// # Errors
    /// The rule of names that the prefix breaks.
    pub fn with_prefix(prefix: &str) -> Result<Self, NameError> {
        if prefix == "pg" || prefix.starts_with("pg_") {
            return Err(NameError::Reserved);
        }
        let name = |suffix: &str| RoleName::parse(&format!("{prefix}_{suffix}"));
        Ok(Self {
            owner: name("owner")?,
            provisioner: name("provisioner")?,
            registrar: name("registrar")?,
            migrator: name("migrator")?,
            app: name("app")?,
            backup: name("backup")?,
            control: name("control")?,
        })
    }

    /// Returns the name of a role.
    pub fn of(&self, role: SystemRole) -> &RoleName {
        match role {
            SystemRole::Owner => &self.owner,
            SystemRole::Provisioner => &self.provisioner,
            SystemRole::Registrar => &self.registrar,
            SystemRole::Migrator => &self.migrator,
            SystemRole::App => &self.app,
            SystemRole::Backup => &self.backup,
            SystemRole::Control => &self.control,
        }
    }

    /// Returns the script that creates or repairs the roles, for an administrator who runs it by hand.
    pub fn script(&self) -> String {
        let script = match planted(Bug::MissingRevoke) {
            true => SCRIPT.replace("OR p.oid = 'set_config(text, text, boolean)'::regprocedure", ""),
            false => SCRIPT.to_owned(),
        };
        self.fill(&script.replace("{database}", DATABASE))
    }

    fn fill(&self, template: &str) -> String {
        let marks = [
            ("{owner}", &self.owner),
            ("{provisioner}", &self.provisioner),
            ("{registrar}", &self.registrar),
            ("{migrator}", &self.migrator),
            ("{app}", &self.app),
            ("{backup}", &self.backup),
            ("{control}", &self.control),
        ];
        marks.into_iter().fold(template.to_owned(), |text, (mark, role)| text.replace(mark, role.as_str()))
    }
}

/// Creates or repairs the roles and the rights that only an administrator can give. Running it again changes
/// nothing.
///
/// # Errors
/// [`SystemMigrationError::NotAdministrator`] when the login is no superuser; what the database answers.
pub async fn bootstrap(admin: &PgConnectOptions, names: &RoleNames) -> Result<(), SystemMigrationError> {
    run(admin, names.script()).await
}

/// Gives the roles their rights on a database that is a copy of one with a system schema: what the roles may do
/// inside it has been copied, what they may do with it as a whole has not.
///
/// # Errors
/// As [`bootstrap`].
pub async fn adopt_copy(admin: &PgConnectOptions, names: &RoleNames) -> Result<(), SystemMigrationError> {
    run(admin, names.fill(DATABASE)).await
}

async fn run(admin: &PgConnectOptions, script: String) -> Result<(), SystemMigrationError> {
    let mut connection = PgConnection::connect_with(&admin.clone().disable_statement_logging())
        .await
        .map_err(|error| SystemMigrationError::database("connect", error))?;
    if !is_superuser(&mut connection).await? {
        return Err(SystemMigrationError::NotAdministrator);
    }
    // Repeating it says that things exist already; nobody needs to read that.
    connection
        .execute(sqlx::AssertSqlSafe(format!("SET client_min_messages TO warning; {script}")))
        .await
        .map_err(|error| SystemMigrationError::database("create the roles", error))?;
    // The work is committed; how the connection ends no longer matters.
    let _closed = connection.close().await;
    Ok(())
}

/// Tells whether the login of a connection is a superuser's.
pub(super) async fn is_superuser(connection: &mut PgConnection) -> Result<bool, SystemMigrationError> {
    sqlx::query_scalar("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user")
        .fetch_one(connection)
        .await
        .map_err(|error| SystemMigrationError::database("read the login's attributes", error))
}

impl Default for RoleNames {
    #[expect(clippy::expect_used, reason = "the default prefix is a constant, and a test parses it")]
    fn default() -> Self {
        Self::with_prefix(Self::DEFAULT_PREFIX).expect("the default prefix is a role name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_every_role_and_leaves_no_mark() {
        let script = RoleNames::with_prefix("cx7").unwrap().script();
        for mark in [
            "{owner}",
            "{provisioner}",
            "{registrar}",
            "{migrator}",
            "{app}",
            "{backup}",
            "{control}",
            "{database}",
        ] {
            assert!(!script.contains(mark), "{mark}");
        }
        for role in ["owner", "provisioner", "registrar", "migrator", "app", "backup", "control"] {
            assert!(script.contains(&format!("\"cx7_{role}\"")), "{role}");
        }
    }

    #[test]
    fn a_prefix_that_is_no_name_is_refused() {
        assert!(RoleNames::with_prefix("cx_2").is_ok());
        for bad in ["", "A", "a\"b", "a'b", "a b", "1a", "pg", "pg_x"] {
            assert!(RoleNames::with_prefix(bad).is_err(), "{bad:?}");
        }
        assert_eq!(RoleNames::default().of(SystemRole::App).as_str(), "clinicx_app");
    }
}
