//! clinicx
