//! The application: command line, configuration, wiring, routes, and the one list of modules.
//!
//! It holds no rule of the domain. Entry points: [`program::run`] for a program, with modules of its own or without,
//! [`server::Service`] for whoever runs the service inside another one, [`modules`] to see what is in it.

pub mod accounts;
pub mod archives;
pub mod charging;
pub mod checks;
pub mod cli;
pub mod config;
mod dev;
pub mod extension;
pub mod fleet_status;
pub mod gatekeeper;
pub mod health;
pub mod jobs;
pub mod key_check;
pub mod keys;
pub mod logins;
pub mod mail;
pub mod maintenance;
pub mod modules;
pub mod observability;
pub mod program;
pub mod provision;
pub mod routes;
pub mod said;
pub mod sealed;
pub mod sealing;
pub mod server;
pub mod sweeper;
mod transport;
pub mod watch;
pub mod wiring;
