//! The embedded PostgreSQL of the demo: started, watched, found by other commands, stopped.

use std::time::Duration;

use clinicx_embedded_postgres::{
    address::Address,
    error::PostgresError,
    event::{Event, Progress},
    install_command,
    server::{Options, Server},
};
use clinicx_migration::system::SystemRole;
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};

use crate::{
    cli::Output,
    config::{Config, Profile, Secret},
    server::Signals,
    wiring,
};

/// The database of the demo in the embedded server.
const DATABASE: &str = "clinicx";
/// How often it is looked whether the server is still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Starts the embedded server and points the configuration's logins at it.
///
/// # Errors
/// There is no PostgreSQL, it does not start, or a signal came first; by then what was begun has ended.
pub(super) async fn start(
    config: &mut Config,
    signals: &mut Signals,
    output: &Output,
) -> anyhow::Result<Server> {
    let mut options = options(config);
    let told = *output;
    options.progress = Progress::new(move |event| tell(&told, event));
    let cancel = options.cancel.clone();
    let mut start = std::pin::pin!(Server::start(options));
    let server = tokio::select! {
        server = &mut start => server.map_err(no_server)?,
        () = signals.next() => {
            cancel.cancel();
            if let Ok(server) = start.await {
                server.stop().await?;
            }
            anyhow::bail!("ended before PostgreSQL was ready; start again to go on");
        }
    };
    make_database(&server).await?;
    point(config, server.address())?;
    Ok(server)
}

/// Waits until the server has ended without having been told to, and says so.
pub(super) async fn ended(server: &mut Server) -> anyhow::Error {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while server.is_running() {
        looks.tick().await;
    }
    anyhow::anyhow!(
        "PostgreSQL has ended by itself, and with it the demo; see {}, and start again: nothing acknowledged is lost",
        log_of(server)
    )
}

/// Stops the server, unless it ran before.
///
/// # Errors
/// It does not end in time.
pub(super) async fn stop(mut server: Server, output: &Output) -> anyhow::Result<()> {
    if server.is_running() {
        output.progress(if server.is_adopted() {
            "leaving the PostgreSQL that was running before"
        } else {
            "stopping PostgreSQL"
        });
    }
    Ok(server.stop().await?)
}

/// Points the logins of a command at the server of a running `clinicx dev`, when nothing else is configured.
///
/// In production a database is configured, or there is none.
///
/// # Errors
/// `database.role_prefix` makes no identifiers.
pub(crate) fn find(config: &mut Config, output: &Output) -> anyhow::Result<()> {
    let database = &config.database;
    let urls = [&database.url, &database.admin_url, &database.control_url, &database.migrator_url];
    if config.profile == Profile::Production || urls.into_iter().any(Option::is_some) {
        return Ok(());
    }
    let Some(address) = Server::find(&options(config)) else { return Ok(()) };
    output.progress(&format!("using the database of `clinicx dev` in {}", config.state_dir.0.display()));
    point(config, &address)
}

fn options(config: &Config) -> Options {
    let mut options = Options::new(config.state_dir.0.join("postgres"));
    if let Some(bin) = &config.postgres_bin {
        options.search.configured = Some(bin.clone());
    }
    options
}

fn point(config: &mut Config, address: &Address) -> anyhow::Result<()> {
    let roles = wiring::role_names(config)?;
    let url = |role: SystemRole| Some(Secret::new(address.url(roles.of(role).as_str(), DATABASE)));
    let database = &mut config.database;
    database.url = url(SystemRole::App);
    database.control_url = url(SystemRole::Control);
    database.migrator_url = url(SystemRole::Migrator);
    database.admin_url = Some(Secret::new(address.url(address.superuser(), DATABASE)));
    Ok(())
}

/// A folder that was named wrongly may be the wrong way to begin with.
fn no_server(error: PostgresError) -> anyhow::Error {
    match error {
        PostgresError::ConfiguredBinaries { .. } => {
            anyhow::anyhow!("{error}; or unset it and install PostgreSQL with `{}`", install_command())
        }
        other => other.into(),
    }
}

fn tell(output: &Output, event: &Event) {
    // A download reports each piece; every fourth mebibyte is enough.
    if let Event::Downloading { received, .. } = event
        && received % (4 << 20) > (64 << 10)
    {
        return;
    }
    output.progress(&event.to_string());
}

async fn make_database(server: &Server) -> anyhow::Result<()> {
    let failed = |doing: &'static str| {
        move |error: sqlx::Error| {
            let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
            let why = code.map_or_else(|| "no usable answer".to_owned(), |code| format!("SQLSTATE {code}"));
            let log = log_of(server);
            anyhow::Error::new(error)
                .context(format!("the embedded PostgreSQL did not let us {doing} ({why}); see {log}"))
        }
    };
    let options: PgConnectOptions =
        server.address().superuser_url().parse().map_err(failed("read its own URL"))?;
    let mut connection = options.connect().await.map_err(failed("connect"))?;
    let there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut connection)
            .await
            .map_err(failed("look for the database"))?;
    if !there {
        sqlx::query("CREATE DATABASE clinicx")
            .execute(&mut connection)
            .await
            .map_err(failed("create the database"))?;
    }
    connection.close().await.map_err(failed("close the connection"))
}

fn log_of(server: &Server) -> String {
    server.folder().join("log").display().to_string()
}
