//! clinicx-identity
