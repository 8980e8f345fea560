//! clinicx-billing
