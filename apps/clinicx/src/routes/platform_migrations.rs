//! How the fleet's migration stands, for operators of the platform.

use clinicx_web::{Access, ApiError, CallerCx, HttpModule, Operation, Reply};

use crate::{fleet_status::FleetStatus, wiring::Slot};

/// How many tenants are named; the numbers are those of all.
const NAMED: usize = 200;

/// The operations on the fleet's migrations.
pub fn module(slot: &Slot) -> HttpModule {
    let slot = slot.clone();
    HttpModule::new("migrations", "The fleet's migrations, for operators of the platform").operations([
        Operation::get("/platform/migrations", "get_fleet_status")
            .summary("Show how far the tenants' schemas have come")
            .description(
                "By the registry: the numbers of all tenants, the last run, and by slug the first 200 tenants that are \
                 behind, pinned or not served. `clinicx fleet status --check` looks into the schemas themselves.",
            )
            .access(Access::Operator)
            .answers::<FleetStatus>(200)
            .handler(move |cx: CallerCx| get(slot.clone(), cx)),
    ])
}

async fn get(slot: Slot, _cx: CallerCx) -> Result<Reply, ApiError> {
    let read = FleetStatus::read(slot.platform()?).await;
    let (mut status, _) = read.map_err(|error| ApiError::unavailable().caused_by(error.to_string()))?;
    status.items.retain(|item| item.is_remarkable());
    status.items.truncate(NAMED);
    Ok(Reply::ok(&status))
}
