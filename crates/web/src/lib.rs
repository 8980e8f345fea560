//! clinicx-web
