//! `clinicx fleet ring`, `pin`, `unpin`: who goes first, and who goes no further.

use clinicx_migration::tenant::{Limits, fleet::Ring};
use clinicx_tenancy::{Pin, PlatformScope, RolloutPatch};
use clinicx_types::name::TenantSlug;
use serde::Serialize;

use crate::{
    cli::{Failed, Outcome, Output},
    config::Config,
    said::said,
    wiring::Platform,
};

/// Reads a ring.
pub(super) fn ring(text: &str) -> Result<Ring, String> {
    text.parse().map_err(|error: clinicx_migration::tenant::fleet::wave::RingError| error.to_string())
}

#[derive(Serialize)]
struct Shown {
    slug: String,
    ring: &'static str,
    pin: Option<String>,
}

pub(super) async fn put(
    config: &Config,
    slug: &TenantSlug,
    ring: Ring,
    output: &Output,
) -> Result<Outcome, Failed> {
    set(config, slug, RolloutPatch { ring: Some(ring), pin: None }, output).await
}

pub(super) async fn pin(
    config: &Config,
    slug: &TenantSlug,
    at: Option<Limits>,
    output: &Output,
) -> Result<Outcome, Failed> {
    let pin = at.map_or(Pin::Here, Pin::At);
    set(config, slug, RolloutPatch { ring: None, pin: Some(Some(pin)) }, output).await
}

pub(super) async fn unpin(config: &Config, slug: &TenantSlug, output: &Output) -> Result<Outcome, Failed> {
    set(config, slug, RolloutPatch { ring: None, pin: Some(None) }, output).await
}

async fn set(
    config: &Config,
    slug: &TenantSlug,
    patch: RolloutPatch,
    output: &Output,
) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(config).await?;
    let done = async {
        let scope = PlatformScope::system("fleet command");
        platform.tenancy()?.set_rollout(slug, patch, &scope).await.map_err(said)
    };
    let done = done.await;
    platform.close().await;
    let rollout = done?;
    let pin = rollout.pin.as_ref().map(ToString::to_string);
    output.one(&Shown { slug: slug.to_string(), ring: rollout.ring.as_str(), pin });
    Ok(Outcome::Done)
}
