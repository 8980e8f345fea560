//! The routes, one file for each resource.

pub mod account;
pub mod appointments;
pub mod audit_logs;
pub mod auth;
pub mod break_glass;
pub mod health;
pub mod invitations;
pub mod oidc;
pub mod patients;
pub mod platform_tenants;
pub mod platform_users;
pub mod rooms;
pub mod services;
pub mod settings;
pub mod staff;
pub mod time_off;
pub mod totp;
pub mod users;
pub mod working_hours;
