//! The clinic's catalogue of procedures: what is shipped, what the clinic adds, what it brings in a file.

pub mod dto;
pub mod entity;
mod import;
mod kind;
mod service;

pub use dto::{
    CreateProcedureCode, ImportProcedureCodes, ImportedProcedureCodes, ProcedureCode, ProcedureCodeFilter,
    UpdateProcedureCode,
};
pub use import::{COLUMNS, MAX_LINES, import};
pub use kind::{Category, Effect, Origin};
pub(crate) use service::by_code;
pub use service::{create, get, list, update};
