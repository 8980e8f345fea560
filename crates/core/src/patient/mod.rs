//! Patients: who they are, how they are reached and how they are found.
//!
//! Identifiers and notes are sealed in the database ([`FieldCipher`](clinicx_keys::FieldCipher)); names are also stored folded
//! ([`folding`](crate::folding)), so that search finds them as people type them.
//! **Invariant:** no audit row and no event carries what identifies a person; both name the record's id.
//!
//! Entry points: [`create`], [`update`], [`get`], [`find`], [`list`].

pub mod address;
pub mod code;
pub mod dto;
pub mod emergency_contact;
pub mod entity;
pub mod identifier;
pub mod input;
pub mod intake;
mod mrn;
mod names;
mod open_identifier;
mod partial_date;
mod parts;
mod query;
mod search;
pub mod search_token;
mod service;
pub mod telecom;
mod trace;

pub use code::PatientStatus;
pub use dto::{CreatePatient, Patient, PatientFilter, PatientSort, PatientSummary, Revision, UpdatePatient};
pub(crate) use open_identifier::IDENTIFIER;
pub use partial_date::{DatePrecision, PartialDate, PartialDateError};
pub(crate) use parts::{NOTES, sealed};
pub use query::{find, get, require};
pub use search::list;
pub use service::{create, update};
