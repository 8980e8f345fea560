//! `clinicx fleet health`: how the tenants are, and what somebody should look at.

use clinicx_persistence::Failure;
use clinicx_tenancy::{
    PlatformScope,
    registry::{self, TenantFilter},
    watch::{Alert, AlertFilter, alert::store},
};
use clinicx_types::page::{MAX_LIMIT, PageRequest};

use crate::{
    cli::{Failed, Outcome, Output},
    config::Config,
    health,
    said::said,
    watch,
    wiring::Platform,
};

/// How many tenants are read at a time.
const AT_A_TIME: usize = 200;

pub(super) async fn run(config: &Config, look: bool, output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(config).await?;
    let done = show(&platform, look, output).await;
    platform.close().await;
    done
}

async fn show(platform: &Platform, look: bool, output: &Output) -> Result<Outcome, Failed> {
    if look {
        let watched = watch::look(platform, &PlatformScope::system("fleet health")).await?;
        output
            .progress(&format!("looked at {} tenants; {} alerts are open", watched.tenants, watched.alerts));
    }
    let tenants = registry::list_all(&platform.app, &TenantFilter::default()).await.map_err(said)?;
    let mut rows = Vec::with_capacity(tenants.len());
    for some in tenants.chunks(AT_A_TIME) {
        rows.extend(health::of(platform, some).await.map_err(|error| Failure::of(&error))?);
    }
    output.many(
        &rows,
        &[
            "slug",
            "status",
            "size_bytes",
            "rows",
            "connections_in_use",
            "slow_statements",
            "schema_version",
            "migrations_behind",
            "last_backup_at",
            "last_activity_at",
            "error_rate",
            "alerts",
        ],
    );
    Ok(Outcome::Done)
}

pub(super) async fn alerts(config: &Config, all: bool, output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(config).await?;
    let filter = AlertFilter { is_open: (!all).then_some(true), ..AlertFilter::default() };
    let read = read_alerts(&platform, &filter).await;
    platform.close().await;
    let alerts = read?;
    let columns = ["tenant", "code", "severity", "value", "threshold", "raised_at", "seen_at", "cleared_at"];
    output.many(&alerts, &columns);
    Ok(Outcome::Done)
}

async fn read_alerts(platform: &Platform, filter: &AlertFilter) -> Result<Vec<Alert>, Failed> {
    let mut page = PageRequest::first(MAX_LIMIT).unwrap_or_default();
    let mut all = Vec::new();
    loop {
        let found = store::list(&platform.app, filter, &page).await.map_err(|error| Failure::of(&error))?;
        all.extend(found.items);
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(all),
        }
    }
}
