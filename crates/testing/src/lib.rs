//! clinicx-testing
