//! People who come from OpenID Connect issuers: one that this file's siblings write themselves, for tokens that no
//! honest one makes, and one that runs as a process of its own.

pub(crate) mod desk;
mod faulty;
mod flow;
mod forge;
mod hostile;
mod issuer;
mod people;
mod real;
mod rights;
mod world;
