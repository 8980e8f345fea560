//! Logs and metrics. No patient data reaches either: only ids, states and durations do.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Upper bounds of the buckets of every duration, in seconds.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Starts logging to the error stream; from then on panics are told there too, without their messages.
///
/// # Errors
/// The filter is not one of `tracing-subscriber`.
pub fn start_logging(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|error| anyhow::anyhow!("log.filter is not a filter: {error}"))?;
    let on_terminal = std::io::stderr().is_terminal();
    let human = match config.format {
        LogFormat::Auto => on_terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = if human {
        builder.with_ansi(on_terminal).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(true).try_init()
    };
    tell_of_panics();
    Ok(())
}

/// Tells of panics by their place alone: a message can hold what was being worked on.
fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| tell_of_panic(panic.location())));
}

fn tell_of_panic(place: Option<&std::panic::Location<'_>>) {
    let place = place.map(ToString::to_string).unwrap_or_default();
    tracing::error!(code.location = place, "a task panicked");
}

/// Starts collecting metrics; the handle renders them for Prometheus.
///
/// # Errors
/// Another recorder is installed in this process.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), DURATION_BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| anyhow::anyhow!("metrics are collected already"))?;
    Ok(handle)
}
