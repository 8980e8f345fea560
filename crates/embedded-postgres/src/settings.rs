//! The settings that a server is started with.

/// How much the server protects what it stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// Every acknowledged write survives a crash of the server and of the machine.
    #[default]
    Durable,
    /// Nothing survives a crash of the machine; for data that is thrown away.
    Test,
}

/// The settings, each as `name=value`.
pub(crate) fn settings(
    profile: Profile,
    max_connections: u16,
    port: u16,
    socket_folder: &str,
) -> Vec<String> {
    let mut settings = vec![
        "listen_addresses=".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories=\"{socket_folder}\""),
        "unix_socket_permissions=0700".to_owned(),
        format!("max_connections={max_connections}"),
    ];
    let mut add = |lines: &[&str]| settings.extend(lines.iter().map(|line| (*line).to_owned()));
    add(&[
        "max_locks_per_transaction=256",
        "log_error_verbosity=terse",
        "log_parameter_max_length_on_error=0",
        "log_destination=stderr",
        "logging_collector=off",
        "log_timezone=UTC",
        "timezone=UTC",
        "jit=off",
        "ssl=off",
    ]);
    if cfg!(target_os = "linux") {
        add(&["recovery_init_sync_method=syncfs"]);
    }
    match profile {
        Profile::Durable => {
            add(&["fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=128MB"])
        }
        // Autovacuum would only take processor time from tests that end before it matters.
        Profile::Test => add(&[
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "shared_buffers=64MB",
            "autovacuum=off",
            "checkpoint_timeout=1h",
            "max_wal_size=2GB",
        ]),
    }
    settings
}
