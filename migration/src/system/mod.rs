//! The migrations of the system schema `public`.
