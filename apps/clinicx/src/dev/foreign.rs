//! Keeps the demo out of databases that are somebody's.

use anyhow::Context;
use sqlx::Connection;

use super::clinics::CLINICS;
use crate::{
    config::{Config, Profile},
    logins::Logins,
};

/// Refuses to put demo clinics and a demo operator where real ones are or may be. The embedded server is nobody
/// else's: what was added to it was added to the demo.
///
/// # Errors
/// The profile is production; the configured database holds a tenant that is none of the demo's, or can't be asked.
pub(super) async fn refuse(config: &Config) -> anyhow::Result<()> {
    if config.profile == Profile::Production {
        anyhow::bail!(
            "`clinicx dev` makes demo clinics and log-ins with a known password, and profile is production; \
             run `clinicx serve`"
        );
    }
    if config.database.url.is_none() {
        return Ok(());
    }
    match other_tenant(config).await? {
        None => Ok(()),
        Some(slug) => anyhow::bail!(
            "the database of database.url holds the tenant {slug}, which is none of the demo's; serve it with \
             `clinicx serve`, or unset database.url for a demo on a server of its own"
        ),
    }
}

async fn other_tenant(config: &Config) -> anyhow::Result<Option<String>> {
    use sqlx::ConnectOptions;
    // Every login that serves requests may read the registry.
    let logins = Logins::open(&config.database).await?;
    let mut connection = logins.app.connect.connect().await.context("connect to database.url")?;
    let demo: Vec<String> = CLINICS.iter().map(|clinic| clinic.slug.to_owned()).collect();
    let is_new: bool = sqlx::query_scalar("SELECT to_regclass('public.tenants') IS NULL")
        .fetch_one(&mut connection)
        .await
        .context("look for the registry")?;
    let other = if is_new {
        None
    } else {
        sqlx::query_scalar("SELECT slug FROM public.tenants WHERE slug <> ALL($1) ORDER BY slug LIMIT 1")
            .bind(demo)
            .fetch_optional(&mut connection)
            .await
            .context("read the registry")?
    };
    connection.close().await.ok();
    Ok(other)
}
