//! How much one address and one tenant may ask for: requests each second, requests at a time.
//!
//! An address is counted before anything is looked up for it, a tenant once it is known who asks. Both counts are
//! this process's own: of several processes each allows as much.

mod rate;
mod slot;

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::StatusCode;
use clinicx_types::id::TenantId;

pub use self::{rate::Rate, slot::SlotOptions};
pub(crate) use self::{rate::Standing, slot::Slot};
use self::{
    rate::{Rates, UsedUp},
    slot::Slots,
};
use crate::{error::ApiError, gate::TenantLimits, telemetry};

/// How long a caller is asked to wait when all slots of its tenant are taken.
const FULL_RETRY_AFTER_S: u32 = 1;

/// The limits that hold unless a tenant has others.
#[derive(Clone, Copy, Debug)]
pub struct LimitOptions {
    /// How often one tenant may ask.
    pub tenant: Rate,
    /// How many requests of one tenant run at a time.
    pub slots: SlotOptions,
    /// How often one address may ask; an IPv6 address counts as its network of 64 bits.
    pub address: Rate,
    /// How often one address may ask for what needs no token and is no mere look, such as a log-in.
    pub sign_in: Rate,
    /// How many addresses and how many tenants are remembered.
    pub remembered: u64,
}

impl LimitOptions {
    /// No limit at all.
    pub const UNLIMITED: Self = Self {
        tenant: Rate::UNLIMITED,
        slots: SlotOptions::UNLIMITED,
        address: Rate::UNLIMITED,
        sign_in: Rate::UNLIMITED,
        remembered: 100_000,
    };
}

/// By which of the limits of addresses an operation is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateClass {
    /// By the general one.
    Standard,
    /// By the one for log-ins and the like, and by the general one.
    SignIn,
    /// By none: a probe.
    Exempt,
}

/// The limits and what has been used of them.
pub(crate) struct Limits {
    options: LimitOptions,
    addresses: Rates<IpAddr>,
    sign_ins: Rates<IpAddr>,
    tenants: Rates<TenantId>,
    slots: Slots,
}

impl Limits {
    pub(crate) fn new(options: LimitOptions) -> Self {
        Self {
            addresses: Rates::new(options.remembered),
            sign_ins: Rates::new(options.remembered),
            tenants: Rates::new(options.remembered),
            slots: Slots::default(),
            options,
        }
    }

    /// Counts a request of an address.
    pub(crate) fn count_address(&self, class: RateClass, source: Option<IpAddr>) -> Result<(), ApiError> {
        let (RateClass::Standard | RateClass::SignIn, Some(source)) = (class, source) else { return Ok(()) };
        let network = network(source);
        self.addresses
            .count(network, self.options.address)
            .map_err(|used_up| throttled("address", used_up.retry_after_s))?;
        if class == RateClass::SignIn {
            self.sign_ins
                .count(network, self.options.sign_in)
                .map_err(|used_up| throttled("sign_in", used_up.retry_after_s))?;
        }
        Ok(())
    }

    /// Counts a request of a tenant, and tells what is left.
    pub(crate) fn count_tenant(
        &self,
        tenant: TenantId,
        own: &TenantLimits,
    ) -> Result<Option<Standing>, (Standing, ApiError)> {
        self.tenants
            .count(tenant, self.tenant_rate(own))
            .map_err(|UsedUp { standing, retry_after_s }| (standing, throttled("tenant", retry_after_s)))
    }

    /// Waits for one of the tenant's slots.
    pub(crate) async fn take_slot(
        &self,
        tenant: TenantId,
        own: &TenantLimits,
    ) -> Result<Option<Slot>, ApiError> {
        let general = self.options.slots;
        let running = own.concurrent_requests.unwrap_or(general.running);
        let options = SlotOptions { running, ..general };
        self.slots.take(tenant, options).await.map_err(|_| throttled("slots", FULL_RETRY_AFTER_S))
    }

    /// Returns a tenant's own rate, or the general one. Whose rate is its own and whose burst is not has the burst
    /// in the general proportion.
    fn tenant_rate(&self, own: &TenantLimits) -> Rate {
        let general = self.options.tenant;
        let per_second = own.requests_per_second.unwrap_or(general.per_second);
        let proportional = || {
            let burst = u64::from(general.burst) * u64::from(per_second);
            u32::try_from(burst / u64::from(general.per_second.max(1))).unwrap_or(u32::MAX)
        };
        Rate { per_second, burst: own.burst.unwrap_or_else(proportional) }
    }
}

fn throttled(limit: &'static str, retry_after_s: u32) -> ApiError {
    telemetry::throttled(limit);
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "throttled").retry_after_s(retry_after_s)
}

/// Returns what one customer of a provider has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
    }
}

#[cfg(test)]
mod tests {
    use clinicx_types::uuid::Uuid;

    use super::*;

    #[test]
    fn ipv6_counts_by_its_network() {
        let check = |address: &str, expected: &str| {
            let expected: IpAddr = expected.parse().unwrap();
            assert_eq!(network(address.parse().unwrap()), expected, "{address}");
        };
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
        check("2001:db8:1:2::1", "2001:db8:1:2::");
        check("2001:db8:1:3::1", "2001:db8:1:3::");
    }

    #[test]
    fn log_ins_are_counted_by_the_stricter_limit_too() {
        let limits = Limits::new(LimitOptions {
            address: Rate { per_second: 1, burst: 5 },
            sign_in: Rate { per_second: 1, burst: 2 },
            ..LimitOptions::UNLIMITED
        });
        let source = Some(IpAddr::from([192, 0, 2, 7]));
        let passed =
            |class, tries: usize| (0..tries).filter(|_| limits.count_address(class, source).is_ok()).count();
        assert_eq!(passed(RateClass::SignIn, 4), 2);
        assert_eq!(passed(RateClass::Standard, 4), 1, "the refused log-ins were counted as requests");
        assert_eq!(passed(RateClass::Exempt, 4), 4);
    }

    #[test]
    fn a_tenant_may_have_limits_of_its_own() {
        let limits = Limits::new(LimitOptions {
            tenant: Rate { per_second: 10, burst: 20 },
            ..LimitOptions::UNLIMITED
        });
        let check = |requests_per_second, burst, expected: (u32, u32)| {
            let own = TenantLimits { requests_per_second, burst, ..TenantLimits::default() };
            let rate = limits.tenant_rate(&own);
            assert_eq!((rate.per_second, rate.burst), expected);
        };
        check(None, None, (10, 20));
        check(Some(100), None, (100, 200));
        check(Some(100), Some(150), (100, 150));
        check(None, Some(50), (10, 50));
        check(Some(0), None, (0, 0));
        let tenant = TenantId::new(Uuid::from_u128(1));
        let own = TenantLimits { requests_per_second: Some(1), burst: Some(1), ..TenantLimits::default() };
        assert!(limits.count_tenant(tenant, &own).is_ok());
        let (standing, error) = limits.count_tenant(tenant, &own).unwrap_err();
        assert_eq!((standing.remaining, error.status().as_u16(), error.code()), (0, 429, "throttled"));
    }
}
