//! Whose time an appointment takes, and the locks on them.

use clinicx_persistence::{Failure, FailureKind, TenantScoped, TenantTransaction};
use sea_orm::{ConnectionTrait, EntityTrait, QuerySelect, raw_sql, sea_query::LockType};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    THING,
    entity::{Entity, Model},
};
use crate::{AppointmentId, PatientId, RoomId, StaffId, change, error::CoreError};

/// Whose time an appointment takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Actors {
    /// Who is treated.
    pub(super) patient_id: PatientId,
    /// Who treats.
    pub(super) staff_id: StaffId,
    /// Where, if that is said.
    pub(super) room_id: Option<RoomId>,
}

impl Actors {
    /// Returns those of an appointment.
    pub(super) fn of(row: &Model) -> Self {
        Self { patient_id: row.patient_id, staff_id: row.staff_id, room_id: row.room_id }
    }

    fn uuids(&self) -> impl Iterator<Item = Uuid> {
        [Some(self.patient_id.uuid()), Some(self.staff_id.uuid()), self.room_id.map(RoomId::uuid)]
            .into_iter()
            .flatten()
    }
}

/// Makes the transaction wait until no other one changes appointments of these actors.
///
/// All locks are taken in one statement in the order of their keys: two transactions never wait for each other.
/// Without them, what a check has found may be wrong when the row is written, and parallel writers of one slot can
/// deadlock in the exclusion constraints.
pub(super) async fn lock(tx: &TenantTransaction, actors: &[Actors]) -> Result<(), CoreError> {
    let tenant = tx.target().tenant_id.uuid();
    let mut keys: Vec<i64> = actors.iter().flat_map(Actors::uuids).map(|actor| key(tenant, actor)).collect();
    keys.sort_unstable();
    keys.dedup();
    // The sub-select is sorted before the first lock is taken; beside an ORDER BY that would not be certain.
    // One text is bound, so that it is one prepared statement however many actors there are.
    let keys = keys.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let statement = raw_sql!(
        Postgres,
        r#"SELECT pg_advisory_xact_lock(keys.key)
           FROM (SELECT unnest(CAST(string_to_array({keys}, ',') AS bigint[])) AS key ORDER BY 1) AS keys"#
    );
    tx.execute_raw(statement).await?;
    Ok(())
}

/// The lock of one actor; the locks of all tenants of a database share one space of 64 bits.
fn key(tenant: Uuid, actor: Uuid) -> i64 {
    let hash =
        Sha256::new().chain_update(b"appointment actor").chain_update(tenant).chain_update(actor).finalize();
    hash.iter().take(8).fold(0, |key, byte| (key << 8) | i64::from(*byte))
}

/// Returns an appointment that nobody else can change until the transaction ends, once its actors and
/// those that `moved_to` makes of it are locked.
pub(super) async fn locked(
    tx: &TenantTransaction,
    id: AppointmentId,
    expected: Option<i64>,
    moved_to: impl FnOnce(&Model) -> Actors,
) -> Result<Model, CoreError> {
    let seen = Entity::find_by_id(id).one(tx).await?.ok_or(CoreError::NotFound { thing: THING })?;
    change::expect_version(THING, expected, seen.version)?;
    lock(tx, &[Actors::of(&seen), moved_to(&seen)]).await?;
    let query = Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
    let row = query.one(tx).await?.ok_or(CoreError::NotFound { thing: THING })?;
    change::expect_version(THING, expected, row.version)?;
    if Actors::of(&row) != Actors::of(&seen) {
        // It was moved to others while this transaction waited. Locking those now could be out of order.
        return Err(CoreError::Database(Failure {
            kind: FailureKind::Retry,
            sqlstate: None,
            constraint: None,
        }));
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::key;
    use uuid::Uuid;

    #[test]
    fn locks_of_two_tenants_differ() {
        let (one, two, actor) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        assert_ne!(key(one, actor), key(two, actor));
        assert_ne!(key(one, actor), key(one, two));
        assert_eq!(key(one, actor), key(one, actor));
    }
}
