//! clinicx-embedded-postgres
