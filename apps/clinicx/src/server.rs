//! The HTTP server: what listens, and how it ends.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_server::{ServerBuilder, ServerHandle};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    config::{Config, HttpConfig},
    jobs, mail, modules,
    routes::health::PROMETHEUS,
    sealing, transport, watch,
    wiring::Platform,
};

/// How often the figures of the pools are brought to the metrics.
const POOL_FIGURES_EVERY: Duration = Duration::from_secs(5);

/// A running service.
pub struct Service {
    address: SocketAddr,
    handle: ServerHandle,
    server: JoinHandle<std::io::Result<()>>,
    figures: JoinHandle<()>,
    runner: Option<JoinHandle<()>>,
    postman: JoinHandle<()>,
    counting: JoinHandle<()>,
    sealer: Option<JoinHandle<()>>,
    kit: clinicx_web::Kit,
    platform: Platform,
}

impl Service {
    /// Checks, connects, and listens.
    ///
    /// # Errors
    /// The database can't be reached or is behind, a self-check fails in production, the port is in use.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        config.check_serving()?;
        let platform = Platform::open(config).await?;
        Self::on(platform).await
    }

    /// Listens for a platform that is open already.
    ///
    /// # Errors
    /// As [`Service::start`].
    pub async fn on(platform: Platform) -> anyhow::Result<Self> {
        platform.config.check_serving()?;
        platform.ready_to_serve().await?;
        let mailer = mail::mailer(&platform.config)?;
        let kit = modules::kit(&platform)?;
        let runner = jobs::runner(&platform, &kit)?;
        let http = &platform.config.http;
        let wanted = SocketAddr::from((http.host, http.port));
        let mut builder = ServerBuilder::default()
            .max_concurrent_connections(http.max_connections)
            .shutdown_timeout(http.shutdown_timeout.as_secs())
            .disable_signals();
        if let Some(workers) = http.workers {
            builder = builder.workers(workers);
        }
        let listener =
            transport::listen(wanted).map_err(|error| port_problem(Port::Service, wanted, &error))?;
        let address = listener.local_addr().context("no address was bound")?;
        let metrics = match http.metrics_port {
            Some(port) => Some(metrics_listener(&platform, SocketAddr::from((http.host, port)))?),
            None => None,
        };
        let running = transport::server(builder, listener, &kit, http.header_timeout)?;
        let handle = running.handle();
        let figures = tokio::spawn(report_pools(platform.clone(), metrics));
        let runner = platform.config.jobs.enabled.then(|| {
            let stopping = platform.stopping.clone();
            tokio::spawn(async move { runner.run(stopping).await })
        });
        let postman = tokio::spawn(mail::relay(platform.clone(), mailer));
        let counting = tokio::spawn(watch::keep_counting(platform.clone()));
        let sealer = match platform.tenancy() {
            Ok(tenancy) => {
                let every = platform.config.audit.seal_every;
                let sealing = sealing::run(platform.log_keys.clone(), tenancy.control().clone(), every);
                Some(tokio::spawn(sealing))
            }
            Err(_) => {
                tracing::warn!("without database.control_url audit rows are not sealed by this process");
                None
            }
        };
        Ok(Self {
            address,
            handle,
            server: tokio::spawn(running),
            figures,
            runner,
            postman,
            counting,
            sealer,
            kit,
            platform,
        })
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGINT or SIGTERM, then ends; a second signal ends the process at once.
    ///
    /// # Errors
    /// The server ended by itself.
    pub async fn run_until(mut self, mut signals: Signals) -> anyhow::Result<()> {
        tokio::select! {
            () = signals.next() => {}
            ended = &mut self.server => {
                ended.context("the server's task ended")?.context("the server ended")?;
            }
        }
        tracing::info!("ending: running requests are finished first");
        tokio::select! {
            () = self.stop() => Ok(()),
            () = signals.next() => {
                Err(anyhow::anyhow!("ended by a second signal, before running requests were finished"))
            }
        }
    }

    /// Takes no new connections, lets what runs end, and closes the pools.
    pub async fn stop(self) {
        // Jobs go back to those that wait while running requests end, and answers that flow end too.
        self.platform.stopping.cancel();
        self.handle.stop(true).await;
        self.kit.finish().await;
        self.figures.abort();
        self.postman.abort();
        self.counting.abort();
        watch::write_counts(&self.platform).await;
        if let Some(runner) = self.runner {
            // A defect in it keeps nothing else from ending.
            let _ended = runner.await;
        }
        self.platform.audit.close(self.platform.config.http.shutdown_timeout).await;
        if let (Some(sealer), Ok(tenancy)) = (self.sealer, self.platform.tenancy()) {
            sealer.abort();
            sealing::last(&self.platform.log_keys, tenancy.control()).await;
        }
        self.platform.close().await;
    }
}

/// SIGINT and SIGTERM, from the moment this is made; none is lost while something else is waited for.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen; from now on the signals do not end the process by themselves.
    ///
    /// # Errors
    /// The system lets no handler be set.
    pub fn listen() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("listen for signals");
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Finds out whether the addresses of a service can be had, before anything else is started for it.
///
/// # Errors
/// One of them can't.
pub fn check_ports(http: &HttpConfig) -> anyhow::Result<()> {
    let ports = [(Port::Service, Some(http.port)), (Port::Metrics, http.metrics_port)];
    // All at a time, so that one port that is wanted twice is noticed as well.
    let mut held = Vec::new();
    for (port, number) in ports {
        let Some(number) = number else { continue };
        let wanted = SocketAddr::from((http.host, number));
        held.push(TcpListener::bind(wanted).map_err(|error| port_problem(port, wanted, &error))?);
    }
    Ok(())
}

/// What a port is for.
#[derive(Clone, Copy)]
enum Port {
    Service,
    Metrics,
}

/// One line that says which address could not be had and what to do.
fn port_problem(port: Port, wanted: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    let (setting, ways) = match port {
        Port::Service => ("http.port", "--port or CLINICX_HTTP__PORT"),
        Port::Metrics => ("http.metrics_port", "http.metrics_port or CLINICX_HTTP__METRICS_PORT"),
    };
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{wanted} is in use by another program; choose another port with {ways}")
        }
        std::io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("not allowed to listen on {wanted}; choose a port above 1023 with {ways}")
        }
        kind => anyhow::anyhow!("cannot listen on {wanted}: {kind}; check http.host and {setting}"),
    }
}

/// Serves `/metrics` on a port of its own.
fn metrics_listener(
    platform: &Platform,
    wanted: SocketAddr,
) -> anyhow::Result<JoinHandle<std::io::Result<()>>> {
    let handle = platform.metrics.clone();
    let server = HttpServer::new(move || {
        let show = |handle: web::Data<PrometheusHandle>| async move {
            let mut response = HttpResponse::Ok().content_type(PROMETHEUS).body(handle.render());
            clinicx_web::harden(response.headers_mut());
            response
        };
        let figures = web::resource("/metrics").route(web::get().to(show)).route(web::head().to(show));
        App::new().app_data(web::Data::new(handle.clone())).service(figures)
    })
    .workers(1)
    .disable_signals()
    .bind(wanted)
    .map_err(|error| port_problem(Port::Metrics, wanted, &error))?;
    Ok(tokio::spawn(server.run()))
}

/// Brings the pools' figures to the metrics every few seconds; ends the metrics' listener with itself.
async fn report_pools(platform: Platform, listener: Option<JoinHandle<std::io::Result<()>>>) {
    let _listener = listener.map(AbortOnDrop);
    let mut ticks = tokio::time::interval(POOL_FIGURES_EVERY);
    loop {
        ticks.tick().await;
        platform.report_pool();
    }
}

struct AbortOnDrop(JoinHandle<std::io::Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
