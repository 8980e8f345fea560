//! The modules of this application: the one list to which a new one is added.

use std::sync::Arc;

use clinicx_keys::sealed::SealedColumn;
use clinicx_migration::tenant;
use clinicx_tenancy::{Module, ModuleError, ModuleRegistry};
use clinicx_types::clock::{Clock, SystemClock};
use clinicx_web::{Api, ApiDefect, ApiInfo, Gatekeeper, HttpModule, Kit, KitOptions};

use crate::{
    extension::Extensions,
    gatekeeper::Gate,
    routes,
    wiring::{Platform, Slot},
};

const INFO: ApiInfo = ApiInfo {
    title: "ClinicX",
    version: env!("CARGO_PKG_VERSION"),
    description: "The backend of a service for clinics and dental practices. Every clinic is a tenant of its own.",
};

/// Returns the domain modules: tables, rights, events.
///
/// # Errors
/// They do not fit together.
pub fn registry(extensions: &Extensions) -> Result<ModuleRegistry, ModuleError> {
    let own = [
        Module { name: "core", migrations: tenant::core::MIGRATIONS, facts: clinicx_core::FACTS },
        Module { name: "billing", migrations: tenant::billing::MIGRATIONS, facts: clinicx_billing::FACTS },
        Module { name: "dental", migrations: tenant::dental::MIGRATIONS, facts: clinicx_dental::FACTS },
    ];
    ModuleRegistry::new(own.into_iter().chain(extensions.iter().map(|extension| extension.module)))
}

/// Returns the columns whose values are sealed: of every module, and of the answers that are kept for repetitions.
pub fn sealed_columns(extensions: &Extensions) -> Vec<SealedColumn> {
    let kept = SealedColumn::new(clinicx_web::KEPT_ANSWERS);
    let own = [
        clinicx_core::sealed::COLUMNS,
        clinicx_billing::sealed::COLUMNS,
        clinicx_dental::sealed::COLUMNS,
        &[kept],
    ]
    .concat();
    own.into_iter().chain(extensions.iter().flat_map(|extension| extension.sealed_columns).copied()).collect()
}

/// Returns the routes.
fn http(slot: &Slot) -> Vec<HttpModule> {
    vec![
        routes::health::module(slot),
        routes::auth::module(slot),
        routes::oidc::module(slot),
        routes::account::module(slot),
        routes::totp::module(slot),
        routes::break_glass::module(slot),
        routes::platform_tenants::module(slot),
        routes::platform_migrations::module(slot),
        routes::platform_backups::module(slot),
        routes::platform_health::module(slot),
        routes::settings::module(slot),
        routes::jobs::module(slot),
        routes::platform_users::module(slot),
        routes::users::module(slot),
        routes::invitations::module(slot),
        routes::patients::module(slot),
        routes::staff::module(slot),
        routes::working_hours::module(),
        routes::time_off::module(),
        routes::rooms::module(),
        routes::services::module(),
        routes::appointments::module(slot),
        routes::invoices::module(slot),
        routes::credit_notes::module(slot),
        routes::payments::module(slot),
        routes::payment_moves::module(slot),
        routes::installment_plans::module(),
        routes::charge_items::module(),
        routes::accounts::module(),
        routes::reports::module(),
        routes::billing_settings::module(),
        routes::audit_logs::module(slot),
        routes::dental_chart::module(),
        routes::tooth_records::module(slot),
        routes::perio_exams::module(slot),
        routes::treatments::module(slot),
        routes::treatment_plans::module(slot),
        routes::lab_cases::module(slot),
        routes::procedure_codes::module(),
    ]
}

/// Checks all operations together.
///
/// # Errors
/// The first thing that does not fit.
pub fn api(slot: &Slot, extensions: &Extensions) -> anyhow::Result<Api> {
    let registry = registry(extensions)?;
    let theirs = extensions.iter().flat_map(|extension| (extension.routes)(slot));
    let modules: Vec<HttpModule> = http(slot).into_iter().chain(theirs).collect();
    let api: Result<Api, ApiDefect> = Api::new(&INFO, modules, registry.permissions());
    Ok(api?)
}

/// Returns the OpenAPI document; it needs no database.
///
/// # Errors
/// The operations do not fit together.
pub fn openapi(extensions: &Extensions) -> anyhow::Result<serde_json::Value> {
    Ok(api(&Slot::default(), extensions)?.document().clone())
}

/// Returns the kit that serves a platform.
///
/// # Errors
/// The operations do not fit together.
pub fn kit(platform: &Platform) -> anyhow::Result<Kit> {
    kit_behind(platform, Arc::new(Gate::new(platform.clone())), Arc::new(SystemClock))
}

/// Returns the kit that serves a platform behind another gatekeeper or at another time; for whoever measures what the
/// usual one costs, or looks at what happens around midnight.
///
/// # Errors
/// The operations do not fit together.
pub fn kit_behind(
    platform: &Platform,
    gatekeeper: Arc<dyn Gatekeeper>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Kit> {
    let slot = Slot::holding(platform.clone());
    let http = &platform.config.http;
    let options = KitOptions {
        base_domain: http.base_domain.clone(),
        body_limit_bytes: http.body_limit,
        header_limit_bytes: http.header_limit,
        header_limit_count: http.header_count,
        url_limit_bytes: http.url_limit,
        body_deadline: http.body_timeout,
        request_deadline: http.request_timeout,
        limits: (&platform.config.limits).into(),
        cors: http.cors.policy()?,
        hsts: http.hsts,
        trusted_proxies: http.trusted_proxies.iter().map(std::net::IpAddr::to_canonical).collect(),
        system: Some(platform.app.clone()),
        clock,
        ..KitOptions::new(platform.token_key, tokio::runtime::Handle::current())
    };
    Ok(Kit::new(Arc::new(api(&slot, &platform.config.extensions)?), gatekeeper, options))
}
