//! Upkeep of the tenants' tables: ANALYZE after much was loaded or changed, VACUUM where dead rows have piled up, the
//! settings of autovacuum for big tables, and indexes that are much larger than what they hold.
//!
//! What is due is read from the catalog each time, so that a run that was cut short goes on where it was: what was done
//! is due no more. Nothing here keeps a reader or a writer waiting: each statement takes the lock that lets both go on.
//! Entry points: [`run`] for the fleet, [`analyze`] for one schema that was just loaded.

pub mod due;
mod look;
mod run;
mod work;

pub use due::{Due, Rules, Task};
pub use run::{Asked, Done, MaintainError, Maintained, run};

use clinicx_types::name::SchemaName;

use crate::{failure::DatabaseFailure, owner::OwnerLogin};

/// Brings PostgreSQL's statistics of every table of a schema up to what was just loaded into it; without them its plans
/// are those of empty tables.
///
/// # Errors
/// What the database answers.
pub async fn analyze(login: &OwnerLogin, schema: &SchemaName) -> Result<usize, DatabaseFailure> {
    let mut connection = login.open().await?;
    let tables = look::tables(&mut connection, schema).await?;
    for table in &tables {
        connection.run("analyze a table", format!("ANALYZE {}", table.place.quoted())).await?;
    }
    connection.close().await;
    Ok(tables.len())
}
