//! A local PostgreSQL for `clinicx dev` and for tests.
//!
//! The crate finds PostgreSQL on the machine (or fetches a build), makes a database folder, starts the server on
//! a unix socket that only its own user and root can open, and stops it when the process that started it ends in
//! any way, `kill -9` included.
//!
//! Entry points: [`Server::start`] for a durable server in a state folder,
//! [`TestServer::shared`] for one throw-away server a test process,
//! [`installation::find`] for the binaries alone.
//!
//! **Invariant:** the server never listens on a network address, and never runs as root.
//!
//! **Invariant:** the crate prints nothing; what happens is told through [`event::Progress`] and `tracing`.

pub mod account;
pub mod address;
pub mod cancel;
pub mod error;
pub mod event;
pub mod fetch;
mod files;
mod folder;
mod guard;
mod initdb;
pub mod installation;
mod package_manager;
mod postmaster;
pub mod server;
mod settings;
pub mod test_server;

pub use package_manager::install_command;
pub use server::Server;
pub use test_server::TestServer;
