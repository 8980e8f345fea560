//! Brackets: at most one on a tooth at a time.

pub mod dto;
pub mod entity;
mod service;

pub use dto::{BondBracket, Bracket, RemoveBracket};
pub use service::{bond, get, list, remove};
