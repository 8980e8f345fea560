//! The kit as the application starts it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::Method,
    web::{self, ServiceConfig},
};
use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemConnection, TenantConnection};
use clinicx_types::clock::{Clock, IdSource, RandomIds, SystemClock};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::{
    api::{Api, Checked},
    cors::Cors,
    docs,
    error::ApiError,
    gate::Gatekeeper,
    idempotency,
    limit::{LimitOptions, Limits},
    serve,
};

/// How the kit is set.
#[derive(Clone)]
pub struct KitOptions {
    /// The domain under which a host's first label names a tenant.
    pub base_domain: Option<String>,
    /// The longest body, in bytes.
    pub body_limit_bytes: usize,
    /// The longest head of a request without its first line, in bytes.
    pub header_limit_bytes: usize,
    /// The most header fields of a request; the HTTP server itself takes no more than 96.
    pub header_limit_count: usize,
    /// The longest path and query, in bytes.
    pub url_limit_bytes: usize,
    /// How long a body may take to arrive.
    pub body_deadline: Duration,
    /// How long a request may take in all; not below the database's `statement_timeout`.
    pub request_deadline: Duration,
    /// The key from which those of cursors and of answers kept for `Idempotency-Key` are derived: the same in every
    /// process of an installation. After a change, a request whose answer was kept before is refused with 409
    /// `idempotency_answer_lost` when it comes again.
    pub key: [u8; 32],
    /// How much one address and one tenant may ask for.
    pub limits: LimitOptions,
    /// The sites whose pages may use the API; none when absent.
    pub cors: Option<Cors>,
    /// How long browsers are told to use nothing but HTTPS (`Strict-Transport-Security`); they are not told when
    /// absent.
    pub hsts: Option<Duration>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Where answers to operations outside of tenants are kept for `Idempotency-Key`.
    pub system: Option<SystemConnection>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where identifiers come from.
    pub ids: Arc<dyn IdSource>,
    /// Where writes run: a runtime that outlives the HTTP workers.
    pub runtime: Handle,
}

impl KitOptions {
    /// Makes options with everyday values: 1 MiB in 10 s, 30 s in all, no limits of requests.
    pub fn new(key: [u8; 32], runtime: Handle) -> Self {
        Self {
            base_domain: None,
            body_limit_bytes: 1024 * 1024,
            header_limit_bytes: 32 * 1024,
            header_limit_count: 80,
            url_limit_bytes: 8 * 1024,
            body_deadline: Duration::from_secs(10),
            request_deadline: Duration::from_secs(30),
            key,
            limits: LimitOptions::UNLIMITED,
            cors: None,
            hsts: None,
            trusted_proxies: Vec::new(),
            system: None,
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            runtime,
        }
    }
}

/// Serves an [`Api`]. Cheap to clone; every HTTP worker has one.
#[derive(Clone)]
pub struct Kit(Arc<Inner>);

struct Inner {
    api: Arc<Api>,
    gatekeeper: Arc<dyn Gatekeeper>,
    options: KitOptions,
    limits: Limits,
    tasks: TaskTracker,
}

impl Kit {
    /// Makes one.
    pub fn new(api: Arc<Api>, gatekeeper: Arc<dyn Gatekeeper>, options: KitOptions) -> Self {
        let limits = Limits::new(options.limits);
        Self(Arc::new(Inner { api, gatekeeper, options, limits, tasks: TaskTracker::new() }))
    }

    /// Returns what mounts every operation, `/openapi.json`, `/docs` and `/problems/{code}` in an actix
    /// application, and answers everything else with 404.
    pub fn configure(&self) -> impl FnOnce(&mut ServiceConfig) + use<> {
        let kit = self.clone();
        move |config| {
            for (path, operations) in kit.0.api.resources() {
                config.service(kit.resource(&path, operations));
            }
            docs::configure(&kit, config);
            config.default_service(web::to(move |request: HttpRequest| {
                let kit = kit.clone();
                async move { serve::unknown_route(&kit, &request) }
            }));
        }
    }

    /// Waits until the writes whose clients may have gone away are done; to be called when the HTTP server has
    /// stopped.
    pub async fn finish(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Removes the expired answers of operations outside of tenants, and returns how many there were; to be called
    /// about once an hour. Without it they go with the next such operation that has an `Idempotency-Key`.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn sweep(&self) -> Result<u64, ApiError> {
        match &self.0.options.system {
            Some(store) => idempotency::platform::sweep(store).await,
            None => Ok(0),
        }
    }

    /// Removes the expired answers that are kept in a tenant's schema, as [`Kit::sweep`] does elsewhere.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn sweep_tenant(connection: &TenantConnection, now: DateTime<Utc>) -> Result<u64, ApiError> {
        idempotency::tenant::sweep(connection, now).await
    }

    /// Returns the operations that are served.
    pub fn api(&self) -> &Api {
        &self.0.api
    }

    pub(crate) fn gatekeeper(&self) -> &dyn Gatekeeper {
        self.0.gatekeeper.as_ref()
    }

    pub(crate) fn options(&self) -> &KitOptions {
        &self.0.options
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    fn resource(&self, path: &str, operations: Vec<Arc<Checked>>) -> actix_web::Resource {
        let mut methods: Vec<Method> = Vec::new();
        let mut resource = web::resource(path.to_owned());
        for operation in operations {
            let mut names = vec![operation.method.clone()];
            if operation.method == Method::GET {
                names.push(Method::HEAD);
            }
            for method in names {
                methods.push(method.clone());
                let (kit, operation) = (self.clone(), Arc::clone(&operation));
                resource = resource.route(web::method(method).to(
                    move |request: HttpRequest, payload: web::Payload| {
                        serve::operation(kit.clone(), Arc::clone(&operation), request, payload)
                    },
                ));
            }
        }
        methods.push(Method::OPTIONS);
        let kit = self.clone();
        resource.default_service(web::to(move |request: HttpRequest| {
            let (kit, methods) = (kit.clone(), methods.clone());
            async move { serve::other_method(&kit, &request, methods) }
        }))
    }
}
