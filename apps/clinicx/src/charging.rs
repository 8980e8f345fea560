//! Where what was performed goes to be billed: the one place that decides it.

use async_trait::async_trait;
use clinicx_billing::charge_item::{BillingCharges, DormantCharges};
use clinicx_core::{CoreError, charge::Charges};
use clinicx_dental::{
    TreatmentId,
    treatment::{
        Status, charge,
        entity::{Column, Entity},
    },
};
use clinicx_jobs::{InTenant, JobContext, JobError, JobKind, JobsError, NewJob, enqueue};
use clinicx_persistence::SystemConnection;
use clinicx_tenancy::{PlatformScope, Tenant};
use clinicx_types::name::ModuleName;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::LockType};
use serde::Serialize;

/// How many treatments one transaction hands over.
const BATCH: u64 = 100;

/// Returns who keeps the charges of a tenant that has these modules.
pub fn of<T: AsRef<str>>(modules: impl IntoIterator<Item = T>) -> &'static dyn Charges {
    match modules.into_iter().any(|module| module.as_ref() == clinicx_billing::NAME) {
        true => &BillingCharges,
        // What was billed while the module was enabled stays billed.
        false => &DormantCharges,
    }
}

/// Asks for what was done before a clinic billed here to be handed over, when it has both modules that it takes.
///
/// # Errors
/// [`JobsError`].
pub async fn catch_up(db: &SystemConnection, by: &PlatformScope, tenant: &Tenant) -> Result<(), JobsError> {
    let has = |name: &str| tenant.modules.iter().map(ModuleName::as_str).any(|module| module == name);
    if has(clinicx_billing::NAME) && has(clinicx_dental::NAME) {
        enqueue(db, by, NewJob::<HandOver>::in_tenant(tenant.id, ()).unique("all")).await?;
    }
    Ok(())
}

/// Hands over every completed treatment that can be billed. One that was handed over before keeps its charge as it
/// stands, so that nothing is billed twice however often this is begun.
pub(crate) struct HandOver;

/// How many there were.
#[derive(Debug, Default, Serialize)]
pub(crate) struct HandedOver {
    /// Those that have a charge now.
    treatments: u64,
    /// Those of which no invoice could hold what they say.
    left_out: u64,
}

#[async_trait]
impl JobKind for HandOver {
    const NAME: &'static str = "charges.hand_over";
    type Scope = InTenant;
    type Input = ();
    type Output = HandedOver;

    async fn run(&self, context: &JobContext<InTenant>, (): ()) -> Result<HandedOver, JobError> {
        let database = |error: sea_orm::DbErr| JobError::database(&error);
        let (mut done, mut after) = (HandedOver::default(), None::<TreatmentId>);
        loop {
            context.go_on()?;
            let tx = context.connection().begin().await.map_err(database)?;
            let mut query =
                Entity::find().filter(Column::Status.eq(Status::Completed)).filter(Column::Billable.eq(true));
            if let Some(id) = after {
                query = query.filter(Column::Id.gt(id));
            }
            // Nobody takes one back meanwhile.
            let query = query.order_by_asc(Column::Id).limit(BATCH).lock(LockType::Share);
            let rows = query.all(&tx).await.map_err(database)?;
            let Some(last) = rows.last().map(|row| row.id) else {
                tx.rollback().await.map_err(database)?;
                return Ok(done);
            };
            for row in rows {
                let id = row.id;
                let performed_at = row.completed_at.unwrap_or(row.updated_at);
                // The module can be gone again by now.
                match DormantCharges.charge(&tx, context.scope(), charge(&row, performed_at)).await {
                    Ok(()) => done.treatments += 1,
                    Err(CoreError::Invalid(_)) => {
                        tracing::warn!(treatment.id = %id, "a treatment can't be billed as it stands");
                        done.left_out += 1;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            tx.commit().await.map_err(database)?;
            after = Some(last);
            context.progress(done.treatments + done.left_out, None, "treatments").await;
        }
    }
}
