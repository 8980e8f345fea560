//! Where treatment happens: sites, the rooms in them and the chairs in those.

pub mod dto;
pub mod entity;
pub(crate) mod intake;
mod service;

pub use dto::{CreateRoom, Room, RoomFilter, UpdateRoom};
pub use service::{create, delete, find, get, list, update};
