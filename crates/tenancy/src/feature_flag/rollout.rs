//! Which tenants a percentage reaches.

use clinicx_types::id::TenantId;
use sha2::{Digest, Sha256};

/// Into how many parts the tenants are divided; a percentage reaches the first of them.
const PARTS: u64 = 10_000;

/// Tells whether a roll-out of so many percent has reached a tenant.
///
/// The same answer for the same flag, tenant and percentage, in every process; a tenant that is in at some
/// percentage is in at every higher one; tenants come in another order for each flag.
pub fn reaches(flag: &str, tenant: TenantId, percent: i16) -> bool {
    let limit = u64::try_from(percent).unwrap_or_default().saturating_mul(PARTS / 100);
    part(flag, tenant) < limit
}

/// Returns a number below [`PARTS`] that is as good as drawn by lot.
fn part(flag: &str, tenant: TenantId) -> u64 {
    let mut hash = Sha256::new();
    hash.update(flag.as_bytes());
    hash.update([0]);
    hash.update(tenant.uuid().as_bytes());
    let number = hash.finalize().iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    number % PARTS
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Ids as the service makes them: they grow with time and differ little.
    fn tenants() -> impl Iterator<Item = TenantId> {
        (0..10_000_u128)
            .map(|number| TenantId::new(Uuid::from_u128((0x0190_0000_0000_7000_8000 << 48) | number)))
    }

    #[test]
    fn a_percentage_reaches_as_many_tenants_within_two_percent() {
        for flag in ["patient.similar_search", "a", "b.c"] {
            for percent in [0_i16, 1, 5, 10, 25, 50, 75, 90, 99, 100] {
                let reached = tenants().filter(|tenant| reaches(flag, *tenant, percent)).count();
                let wanted = usize::try_from(percent).unwrap() * 100;
                assert!(reached.abs_diff(wanted) <= 200, "{flag} at {percent} % reaches {reached} of 10,000");
            }
        }
        assert_eq!(tenants().filter(|tenant| reaches("a", *tenant, 0)).count(), 0);
        assert_eq!(tenants().filter(|tenant| reaches("a", *tenant, 100)).count(), 10_000);
    }

    #[test]
    fn a_tenant_that_is_in_stays_in_while_the_percentage_grows() {
        for tenant in tenants().take(2_000) {
            let first = (0..=100).find(|percent| reaches("flag", tenant, *percent)).unwrap();
            assert!((first..=100).all(|percent| reaches("flag", tenant, percent)), "{tenant:?} from {first}");
        }
    }

    #[test]
    fn flags_reach_tenants_in_different_orders() {
        let both = tenants().filter(|tenant| reaches("a", *tenant, 50) && reaches("b", *tenant, 50)).count();
        assert!(both.abs_diff(2_500) <= 200, "{both} of 10,000 are in both halves");
    }

    #[test]
    fn what_a_tenant_gets_never_changes_between_releases() {
        let tenant = TenantId::new(Uuid::from_u128(1));
        assert_eq!((part("patient.similar_search", tenant), part("a", tenant)), (5_050, 7_149));
    }
}
