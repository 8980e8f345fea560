//! Tenants whose changes leave no audit row, so that a benchmark can say what the audit costs.
//!
//! Only with the feature `unaudited`, which `just bench-audit` turns on and with which the program `clinicx` refuses to
//! run. Without it every change of every tenant is audited, [`leave`] refuses, and nothing of this is left in the program.

use clinicx_types::id::TenantId;

/// Whether tenants can be left unaudited.
pub const IS_POSSIBLE: bool = cfg!(feature = "unaudited");

/// The feature `unaudited` is not there.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("every tenant is audited: this was built without the feature `unaudited`")]
pub struct NotPossible;

#[cfg(feature = "unaudited")]
static TENANTS: std::sync::RwLock<std::collections::BTreeSet<TenantId>> =
    std::sync::RwLock::new(std::collections::BTreeSet::new());

/// Lets the changes of a tenant leave no audit row from now on, in this process.
///
/// # Errors
/// [`NotPossible`] without the feature.
#[cfg(feature = "unaudited")]
pub fn leave(tenant: TenantId) -> Result<(), NotPossible> {
    TENANTS.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(tenant);
    Ok(())
}

/// Lets the changes of a tenant leave no audit row from now on, in this process.
///
/// # Errors
/// [`NotPossible`] without the feature.
#[cfg(not(feature = "unaudited"))]
pub fn leave(_: TenantId) -> Result<(), NotPossible> {
    Err(NotPossible)
}

/// Tells whether a tenant is left unaudited.
#[cfg(feature = "unaudited")]
pub(crate) fn is_left(tenant: TenantId) -> bool {
    TENANTS.read().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&tenant)
}

/// Tells whether a tenant is left unaudited.
#[cfg(not(feature = "unaudited"))]
#[inline(always)]
pub(crate) const fn is_left(_: TenantId) -> bool {
    false
}
