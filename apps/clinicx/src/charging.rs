//! Where what was performed goes to be billed: the one place that decides it.

use clinicx_billing::charge_item::{BillingCharges, DormantCharges};
use clinicx_core::charge::Charges;

/// Returns who keeps the charges of a tenant that has these modules.
pub fn of<T: AsRef<str>>(modules: impl IntoIterator<Item = T>) -> &'static dyn Charges {
    match modules.into_iter().any(|module| module.as_ref() == clinicx_billing::NAME) {
        true => &BillingCharges,
        // What was billed while the module was enabled stays billed.
        false => &DormantCharges,
    }
}
