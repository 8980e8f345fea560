//! The old tables: reading them, watching them, and holding up their writers.

mod gate;
mod reader;
mod rights;

pub use gate::{Change, Closed, Gate};
pub use reader::take_turn;
pub use reader::{Reader, Wanted};

use clinicx_migration::DatabaseFailure;
use sqlx::{ConnectOptions, Executor, PgConnection, postgres::PgConnectOptions};

/// Connects with settings that no default of the login changes: times are read in UTC, names only with their schema.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, DatabaseFailure> {
    let options = options.clone().application_name("clinicx-adoption").disable_statement_logging();
    let mut connection =
        options.connect().await.map_err(|error| DatabaseFailure::new("connect to the old tables", error))?;
    let settings = "SET search_path TO pg_catalog, pg_temp; SET TIME ZONE 'UTC'; SET DateStyle TO 'ISO, YMD'; \
                    SET IntervalStyle TO 'postgres'; SET extra_float_digits TO 1; SET bytea_output TO 'hex'; \
                    SET statement_timeout TO 0; SET idle_in_transaction_session_timeout TO 0; \
                    SET client_min_messages TO warning";
    connection.execute(settings).await.map_err(|error| DatabaseFailure::new("set up the session", error))?;
    Ok(connection)
}
