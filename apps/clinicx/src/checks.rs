//! The self-checks of a start and of `clinicx doctor`.

mod ledger;
mod login;

use clinicx_audit::{AuditError, seal};
use clinicx_keys::KeyError;
use clinicx_migration::{fence, mend, system};
use clinicx_persistence::SystemExecutor;
use clinicx_tenancy::registry::{self, TenantFilter};
use sea_orm::{FromQueryResult, raw_sql};
use serde::Serialize;

use crate::{
    key_check::{self, KeyCheckError, Standing},
    wiring::Platform,
};

/// The oldest PostgreSQL that serves, as `server_version_num`.
const OLDEST_SERVER: i32 = 150_000;

/// What is to be done when PostgreSQL refuses to tell.
const LOOK: &str = "look at PostgreSQL's log";

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// `ok`, `warning` or `failed`.
    pub status: &'static str,
    /// What was found.
    pub finding: String,
    /// How to mend it; empty when it is well.
    pub mend: String,
    /// Whether nothing can be served while it fails, whatever the profile.
    #[serde(skip)]
    pub fatal: bool,
}

impl Check {
    fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, status: "ok", finding: finding.into(), mend: String::new(), fatal: false }
    }

    fn failed(name: &'static str, finding: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, status: "failed", finding: finding.into(), mend: mend.into(), fatal: false }
    }

    /// What is good enough for development.
    fn warning(name: &'static str, finding: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { status: "warning", ..Self::failed(name, finding, mend) }
    }

    fn fatal(self) -> Self {
        Self { fatal: true, ..self }
    }

    /// Tells whether there is nothing to mend.
    pub fn is_well(&self) -> bool {
        self.status == "ok"
    }

    /// Tells whether it may be served as it is, which is so with a warning too.
    pub fn passed(&self) -> bool {
        self.status != "failed"
    }
}

/// Runs every check.
///
/// # Errors
/// The database does not answer at all.
pub async fn run(platform: &Platform) -> anyhow::Result<Vec<Check>> {
    // Everything else is asked through the application's login: somebody else's would have it name the wrong causes.
    let logins = login::run(platform).await;
    if logins.iter().any(|check| check.fatal) {
        return Ok(logins);
    }
    let mut checks = vec![system_schema(platform).await];
    checks.extend(server(platform).await?);
    checks.extend(logins);
    if checks.iter().any(|check| check.fatal) {
        return Ok(checks);
    }
    checks.push(master_key(platform).await);
    checks.push(tenant_keys(platform).await);
    checks.push(extensions(platform).await?);
    checks.extend(roles(platform).await);
    checks.push(fences(platform).await);
    checks.push(tenants_behind(platform).await?);
    checks.push(audit_log(platform).await);
    Ok(checks)
}

/// Runs every check, and what only a person has the patience for: the ledger of each tenant.
///
/// # Errors
/// As [`run`].
pub async fn run_all(platform: &Platform) -> anyhow::Result<Vec<Check>> {
    let mut checks = run(platform).await?;
    if !checks.iter().any(|check| check.fatal) {
        checks.push(ledger::run(platform).await);
    }
    Ok(checks)
}

async fn system_schema(platform: &Platform) -> Check {
    const NAME: &str = "system schema";
    const MEND: &str = "run `clinicx migrate system`";
    match system::pending(&platform.logins.app.connect, &platform.roles).await {
        Ok(pending) if pending.is_empty() => Check::ok(NAME, "up to date"),
        Ok(pending) => Check::failed(NAME, format!("{} migrations are pending", pending.len()), MEND).fatal(),
        Err(error) => Check::failed(NAME, error.to_string(), MEND).fatal(),
    }
}

#[derive(FromQueryResult)]
struct Setting {
    name: String,
    setting: String,
}

async fn server(platform: &Platform) -> anyhow::Result<Vec<Check>> {
    let settings: Vec<Setting> = platform
        .app
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT name, setting FROM pg_catalog.pg_settings
               WHERE name IN ('server_version_num', 'fsync', 'full_page_writes', 'synchronous_commit',
                              'max_locks_per_transaction')"#
        ))
        .await
        .map_err(clinicx_persistence::Failure::from)?;
    let of = |name: &str| settings.iter().find(|one| one.name == name).map_or("", |one| one.setting.as_str());
    let version: i32 = of("server_version_num").parse().unwrap_or_default();
    let mut checks = vec![if version >= OLDEST_SERVER {
        Check::ok("server version", format!("PostgreSQL {}", version / 10_000))
    } else {
        Check::failed("server version", version.to_string(), "use PostgreSQL 15 or newer").fatal()
    }];
    for name in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value = of(name).to_owned();
        checks.push(match (name, value.as_str()) {
            (_, "on") | ("synchronous_commit", "remote_apply" | "remote_write") => Check::ok(name, value),
            _ => Check::failed(
                name,
                value,
                format!(
                    "an acknowledged write could be lost; run as an administrator in psql: ALTER SYSTEM SET {name} = on; \
                     SELECT pg_reload_conf()"
                ),
            ),
        });
    }
    let locks: i32 = of("max_locks_per_transaction").parse().unwrap_or_default();
    checks.push(if locks >= 128 {
        Check::ok("max_locks_per_transaction", locks.to_string())
    } else {
        Check::failed(
            "max_locks_per_transaction",
            locks.to_string(),
            "run as an administrator in psql: ALTER SYSTEM SET max_locks_per_transaction = 256; then restart PostgreSQL",
        )
    });
    Ok(checks)
}

async fn master_key(platform: &Platform) -> Check {
    const NAME: &str = "master key";
    match key_check::compare(&platform.app, &platform.data_keys).await {
        Ok(Standing::Right) => Check::ok(NAME, "it unwraps what this database's keys are wrapped with"),
        Ok(Standing::Older) => Check::ok(
            NAME,
            "a newer one wraps by now; `clinicx keys rotate --rewrap-only --all` leaves the old behind",
        ),
        Ok(Standing::Unknown) => Check::ok(NAME, "the database has not seen one yet"),
        Ok(Standing::Wrong(missing)) => Check::failed(
            NAME,
            format!("it is not the one that wrapped the keys of this database (missing: {missing})"),
            "set keys.master_key_file to the right one; the same for every process",
        )
        .fatal(),
        Err(KeyCheckError::Key(KeyError::Provider(error))) => {
            Check::failed(NAME, error.to_string(), "look at the key service, its address and the token")
                .fatal()
        }
        Err(error) => Check::failed(NAME, error.to_string(), LOOK),
    }
}

/// A tenant without a data key is older than those; its fields can't be read before it has one.
async fn tenant_keys(platform: &Platform) -> Check {
    const NAME: &str = "tenants' keys";
    match key_check::keyless(&platform.app).await {
        Ok(0) => Check::ok(NAME, "every tenant has one"),
        Ok(keyless) => {
            Check::failed(NAME, format!("{keyless} tenants have none"), "run `clinicx migrate tenants`")
        }
        Err(error) => Check::failed(NAME, error.to_string(), LOOK),
    }
}

#[derive(FromQueryResult)]
struct ExtensionCount {
    count: i64,
}

async fn extensions(platform: &Platform) -> anyhow::Result<Check> {
    const NAME: &str = "extensions";
    let found: Option<ExtensionCount> = platform
        .app
        .query_one(raw_sql!(
            Postgres,
            r#"SELECT count(*) AS count
               FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
               WHERE e.extname IN ('btree_gist', 'pg_trgm') AND n.nspname = 'extensions'"#
        ))
        .await
        .map_err(clinicx_persistence::Failure::from)?;
    Ok(match found {
        Some(ExtensionCount { count: 2 }) => Check::ok(NAME, "btree_gist and pg_trgm in schema extensions"),
        _ => Check::failed(
            NAME,
            "btree_gist or pg_trgm is missing",
            "run `clinicx migrate system` as an administrator",
        ),
    })
}

/// How many gaps are named one by one.
const NAMED_GAPS: usize = 5;

async fn roles(platform: &Platform) -> Vec<Check> {
    let gaps = fence::check_system(&platform.app, &platform.roles).await;
    let (hints, gaps) = match gaps {
        Ok(gaps) => {
            let (hints, gaps): (Vec<_>, Vec<_>) = gaps.into_iter().partition(fence::Gap::is_hint);
            (hints, Ok(gaps))
        }
        Err(error) => (Vec::new(), Err(error)),
    };
    let mut checks =
        vec![closed("roles and rights", "as `clinicx migrate system` makes them", platform, gaps)];
    if !hints.is_empty() {
        let named: Vec<String> = hints.iter().map(ToString::to_string).collect();
        checks.push(Check::warning(
            "logins that copy the server",
            named.join("; "),
            "leave them to standbys and backups, which pg_hba.conf names, and keep each as closely as a backup",
        ));
    }
    checks
}

async fn fences(platform: &Platform) -> Check {
    let gaps = fence::check(&platform.app, &platform.roles, None).await;
    closed("fences", "every table of every tenant stands behind all of them", platform, gaps)
}

/// Names the gaps, and the commands that close them once it is understood who has torn them.
fn closed(
    name: &'static str,
    well: &str,
    platform: &Platform,
    gaps: Result<Vec<fence::Gap>, clinicx_migration::DatabaseFailure>,
) -> Check {
    let gaps = match gaps {
        Ok(gaps) => gaps,
        Err(error) => return Check::failed(name, error.to_string(), LOOK),
    };
    if gaps.is_empty() {
        return Check::ok(name, well);
    }
    let shown: Vec<String> = gaps.iter().take(NAMED_GAPS).map(ToString::to_string).collect();
    let more = gaps.len().saturating_sub(NAMED_GAPS);
    let more = if more == 0 { String::new() } else { format!("; {more} more") };
    let mut mends: Vec<String> = Vec::new();
    for gap in &gaps {
        let mend = mend::command(gap, &platform.roles);
        if !mends.contains(&mend) && mends.len() < NAMED_GAPS {
            mends.push(mend);
        }
    }
    let mend = format!("find out who has changed it by hand, then {}", mends.join("; "));
    Check::failed(name, format!("{}{more}", shown.join("; ")), mend)
}

async fn tenants_behind(platform: &Platform) -> anyhow::Result<Check> {
    let tenants = registry::list_all(&platform.app, &TenantFilter::default()).await?;
    let all = tenants.len();
    let behind = tenants.iter().filter(|tenant| !platform.modules.is_newest(tenant)).count();
    let unserved = tenants.iter().filter(|tenant| platform.modules.require_served(tenant).is_err()).count();
    let here = platform.cluster.name();
    let elsewhere = tenants.iter().filter(|tenant| tenant.cluster != *here).count();
    if elsewhere > 0 {
        return Ok(Check::failed(
            "tenants",
            format!("{elsewhere} of {all} are on another cluster than \"{here}\": nobody can serve them"),
            "set database.cluster to the cluster on which they are",
        ));
    }
    const MEND: &str = "run `clinicx fleet migrate`";
    Ok(match (behind, unserved) {
        (0, _) => Check::ok("tenants", format!("{all}, none behind")),
        (_, 0) => Check::ok("tenants", format!("{all}, {behind} behind, all of them served")),
        // The others are served meanwhile.
        (_, unserved) if unserved < all => {
            Check::warning("tenants", format!("{unserved} of {all} are too old to be served"), MEND)
        }
        _ => Check::failed("tenants", format!("all {all} are too old to be served"), MEND),
    })
}

/// Nothing can be sealed on top of an end that is not what was signed, and what has come since is not proven.
async fn audit_log(platform: &Platform) -> Check {
    const NAME: &str = "audit log";
    let Ok(tenancy) = platform.tenancy() else {
        return Check::ok(NAME, "another process seals it; database.control_url is not configured");
    };
    match seal::check_end(tenancy.control(), &platform.log_keys.known()).await {
        Ok(Some(checkpoint)) => Check::ok(NAME, format!("{} rows end in a good checkpoint", checkpoint.size)),
        Ok(None) => Check::ok(NAME, "nothing was sealed yet"),
        Err(AuditError::Tampered) => Check::failed(
            NAME,
            "its end is not what was signed with a known key",
            "configure the key that has signed it (audit.signing_key_file, audit.former_public_keys); if it is, run \
             `clinicx audit verify`, find out who has changed it, and begin a new log as docs/operations.md says",
        ),
        Err(error) => Check::failed(NAME, error.to_string(), LOOK),
    }
}
