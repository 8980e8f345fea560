//! How much one address and one tenant may ask for.

use std::time::Duration;

use clinicx_web::{LimitOptions, Rate, SlotOptions};
use serde::{Deserialize, Serialize};

/// The limits of requests, of each process by itself.
///
/// The defaults only stop what no clinic does; the sample configuration has some for production.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Each tenant, unless it has limits of its own.
    pub tenant: TenantLimitsConfig,
    /// Each address from which requests come; an IPv6 address counts as its network of 64 bits.
    pub address: RateConfig,
    /// Each address that logs in or does something else without a token, other than look.
    pub auth: RateConfig,
    /// How many addresses and tenants are remembered; of more the one that was not seen for longest is forgotten.
    pub remembered: u64,
}

/// The limits of a tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantLimitsConfig {
    /// How many requests each second in the long run; 0 is without limit.
    pub requests_per_second: u32,
    /// How many requests at once after a pause.
    pub burst: u32,
    /// How many requests run at a time; 0 is without limit.
    pub concurrent_requests: u32,
    /// How many more wait until one has ended.
    pub waiting_requests: u32,
    /// How long one of them waits.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
}

/// How often something may happen; without limit unless it is said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// How many requests each second in the long run; 0 is without limit.
    pub requests_per_second: u32,
    /// How many requests at once after a pause.
    pub burst: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            tenant: TenantLimitsConfig::default(),
            address: RateConfig { requests_per_second: 5_000, burst: 10_000 },
            auth: RateConfig { requests_per_second: 20, burst: 200 },
            remembered: 100_000,
        }
    }
}

impl Default for TenantLimitsConfig {
    fn default() -> Self {
        Self {
            requests_per_second: 2_000,
            burst: 4_000,
            concurrent_requests: 32,
            waiting_requests: 224,
            wait: Duration::from_secs(2),
        }
    }
}

impl LimitsConfig {
    /// No limits; for tests and benchmarks that measure something else.
    pub fn unlimited() -> Self {
        let off = RateConfig::default();
        let tenant = TenantLimitsConfig {
            requests_per_second: 0,
            concurrent_requests: 0,
            ..TenantLimitsConfig::default()
        };
        Self { tenant, address: off.clone(), auth: off, ..Self::default() }
    }
}

impl From<&RateConfig> for Rate {
    fn from(config: &RateConfig) -> Self {
        Self { per_second: config.requests_per_second, burst: config.burst }
    }
}

impl From<&LimitsConfig> for LimitOptions {
    fn from(config: &LimitsConfig) -> Self {
        let tenant = &config.tenant;
        Self {
            tenant: Rate { per_second: tenant.requests_per_second, burst: tenant.burst },
            slots: SlotOptions {
                running: tenant.concurrent_requests,
                waiting: tenant.waiting_requests,
                patience: tenant.wait,
            },
            address: Rate::from(&config.address),
            sign_in: Rate::from(&config.auth),
            remembered: config.remembered,
        }
    }
}
