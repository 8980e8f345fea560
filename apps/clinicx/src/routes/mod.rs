//! The routes, one file for each resource.

pub mod account;
pub mod appointments;
pub mod audit_logs;
pub mod auth;
pub mod break_glass;
pub mod dental_chart;
pub mod health;
pub mod invitations;
pub mod lab_cases;
pub mod oidc;
pub mod patients;
pub mod perio_exams;
pub mod platform_tenants;
pub mod platform_users;
pub mod procedure_codes;
pub mod rooms;
pub mod services;
pub mod settings;
pub mod staff;
pub mod time_off;
pub mod tooth_records;
pub mod totp;
pub mod treatment_plans;
pub mod treatments;
pub mod users;
pub mod working_hours;
