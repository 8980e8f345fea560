//! What other modules hand over while a clinic does not bill here, but did or will.

use async_trait::async_trait;
use clinicx_core::{
    CoreError,
    charge::{Charge, ChargeSource, Charges, Withdrawal},
};
use clinicx_persistence::{TenantScope, TenantTransaction};
use sea_orm::{ConnectionTrait, DbErr, raw_sql};

use super::BillingCharges;

/// Keeps what can be billed for tenants that have not the module now: if they have its tables, from when they had it,
/// what stands on an invoice stays there, and what is done meanwhile waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct DormantCharges;

#[async_trait]
impl Charges for DormantCharges {
    async fn charge(
        &self,
        tx: &TenantTransaction,
        scope: &TenantScope,
        charge: Charge,
    ) -> Result<(), CoreError> {
        let takes = match table(tx).await? {
            Table::Missing => false,
            Table::NeedsPrice => charge.unit_price.is_some(),
            Table::There => true,
        };
        if takes { BillingCharges.charge(tx, scope, charge).await } else { Ok(()) }
    }

    async fn withdraw(
        &self,
        tx: &TenantTransaction,
        scope: &TenantScope,
        source: ChargeSource,
    ) -> Result<Withdrawal, CoreError> {
        match table(tx).await? {
            Table::Missing => Ok(Withdrawal::Withdrawn),
            Table::NeedsPrice | Table::There => BillingCharges.withdraw(tx, scope, source).await,
        }
    }
}

/// How the tenant's table stands. Those of a module that is not enabled are not migrated.
enum Table {
    Missing,
    /// From before items without a price.
    NeedsPrice,
    There,
}

async fn table(tx: &TenantTransaction) -> Result<Table, DbErr> {
    let statement = raw_sql!(
        Postgres,
        r#"SELECT attnotnull AS needs_price
           FROM pg_attribute
           WHERE attrelid = to_regclass('charge_items') AND attname = 'unit_price'"#
    );
    Ok(match tx.query_one_raw(statement).await? {
        None => Table::Missing,
        Some(row) if row.try_get("", "needs_price")? => Table::NeedsPrice,
        Some(_) => Table::There,
    })
}
