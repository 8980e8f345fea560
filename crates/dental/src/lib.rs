//! clinicx-dental
