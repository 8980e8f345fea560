//! clinicx-tenancy
