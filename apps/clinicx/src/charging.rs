//! Where what was performed goes to be billed: the one place that decides it.

use clinicx_core::charge::{Charges, NoCharges};

/// Returns who keeps the charges of a tenant that has these modules.
pub fn of<T: AsRef<str>>(_modules: impl IntoIterator<Item = T>) -> &'static dyn Charges {
    &NoCharges
}
