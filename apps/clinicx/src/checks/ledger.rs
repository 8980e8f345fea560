//! Whether the migrations that the tenants have had are those of this program.

use clinicx_migration::tenant::{
    Plan,
    ledger::{self, LedgerRow},
    plan::LedgerError,
};
use clinicx_persistence::{Failure, FailureKind};
use clinicx_tenancy::{
    Tenant, TenantStatus,
    registry::{self, TenantFilter},
};
use clinicx_types::name::ModuleName;
use sea_orm::FromQueryResult;

use super::{Check, LOOK, NAMED_GAPS};
use crate::wiring::Platform;

const NAME: &str = "tenants' migrations";

/// Reads the ledger of every active tenant, one after the other: that takes longer than a start may.
pub(crate) async fn run(platform: &Platform) -> Check {
    match compare(platform).await {
        Ok((all, wrong)) if wrong.is_empty() => {
            Check::ok(NAME, format!("those of this program in all {all}"))
        }
        Ok((all, wrong)) => {
            let shown = wrong.iter().take(NAMED_GAPS).map(String::as_str).collect::<Vec<_>>().join("; ");
            Check::failed(
                NAME,
                format!("of {all} tenants {} differ: {shown}", wrong.len()),
                "run the version of the program that has migrated them, or a later one; a migration that was applied \
                 is never changed",
            )
        }
        Err(error) => Check::failed(NAME, format!("{error:#}"), LOOK),
    }
}

/// Returns how many tenants were looked at, and what is wrong about some.
async fn compare(platform: &Platform) -> anyhow::Result<(usize, Vec<String>)> {
    let filter = TenantFilter { status: Some(TenantStatus::Active), ..TenantFilter::default() };
    let (mut all, mut wrong) = (0_usize, Vec::new());
    for tenant in &registry::list_all(&platform.app, &filter).await? {
        match rows(platform, tenant).await {
            Ok(rows) => {
                all += 1;
                if let Err(error) = known(platform.modules.plan(), tenant, &rows) {
                    wrong.push(format!("{}: {error}", tenant.slug));
                }
            }
            // Suspended since the registry was read.
            Err(failure) if failure.kind == FailureKind::Fenced => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok((all, wrong))
}

async fn rows(platform: &Platform, tenant: &Tenant) -> Result<Vec<LedgerRow>, Failure> {
    let connection = platform.cluster.tenant(tenant.target());
    LedgerRow::find_by_statement(ledger::query()).all(&connection).await.map_err(Failure::from)
}

/// Tells whether the program has what was applied. Which tenants it does not serve another check says.
fn known(plan: &Plan, tenant: &Tenant, rows: &[LedgerRow]) -> Result<(), LedgerError> {
    match plan.of_modules(tenant.modules.iter().map(ModuleName::as_str)) {
        Ok(plan) => plan.pending(rows).map(drop),
        Err(_) => Ok(()),
    }
}
