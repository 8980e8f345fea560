//! One request from its first byte to its answer.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web::{self, Bytes},
};
use clinicx_persistence::FailureKind;
use clinicx_types::{error::FieldError, id::TenantId};
use futures_util::{FutureExt, StreamExt};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    admit::{Admitted, Seen, admit},
    api::Checked,
    context::{self, Cx, Request},
    deliver::{self, Rendered},
    disclosure,
    error::ApiError,
    extract::{Incoming, check_lengths, refuse_content},
    gate::{Caller, Denial},
    headers,
    idempotency::{self, Key},
    kit::{Kit, KitOptions},
    limit::RateClass,
    operation::{Access, Idempotency},
    reply::Reply,
    telemetry::{self, InFlight},
    transaction,
};

/// What stands in logs and metrics for a request that no operation takes.
const UNMATCHED: &str = "unmatched";

/// Serves an operation.
pub(crate) async fn operation(
    kit: Kit,
    operation: Arc<Checked>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let started = Instant::now();
    let _running = InFlight::begin();
    let seen = Seen::new(&kit, &request);
    let span = tracing::info_span!(
        "http.request",
        request.id = %seen.request_id,
        operation = operation.id,
        http.method = %request.method(),
        http.route = %operation.full_path,
        tenant.slug = tracing::field::Empty,
        actor.id = tracing::field::Empty,
    );
    let work = handle(&kit, &operation, &request, payload, &seen);
    let limited = tokio::time::timeout(kit.options().request_deadline, work);
    let outcome = AssertUnwindSafe(limited.instrument(span.clone())).catch_unwind().await;
    let _entered = span.entered();
    let outcome = match outcome {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => {
            Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout").caused_by("the request's deadline"))
        }
        Err(_) => Err(ApiError::internal("a handler panicked")),
    };
    let rendered = outcome.and_then(|reply| {
        if reply.status.is_success() && !operation.may_answer(reply.status) {
            tracing::error!(http.status = reply.status.as_u16(), "an answer is not in the API document");
        }
        let rendered = Rendered::reply(&reply, operation.base)?;
        Ok(Rendered { is_derived: operation.is_derived, ..rendered })
    });
    finish(&kit, operation.id, &request, &seen, started, rendered)
}

/// Answers a path that nothing is mounted at.
pub(crate) fn unknown_route(kit: &Kit, request: &HttpRequest) -> HttpResponse {
    plain(kit, request, Err(ApiError::not_found()))
}

/// Answers a method that a path does not have: OPTIONS with the methods, others with 405.
pub(crate) fn other_method(kit: &Kit, request: &HttpRequest, methods: Vec<Method>) -> HttpResponse {
    if *request.method() == Method::OPTIONS {
        let mut reply = Reply::no_content().with_header(header::ALLOW, deliver::allow(&methods));
        if let Some(cors) = &kit.options().cors {
            reply.headers.extend(cors.preflight(request, &methods));
        }
        return plain(kit, request, Ok(reply));
    }
    plain(kit, request, Err(ApiError::method_not_allowed(methods)))
}

/// Answers what is no operation.
pub(crate) fn plain(kit: &Kit, request: &HttpRequest, outcome: Result<Reply, ApiError>) -> HttpResponse {
    let started = Instant::now();
    let seen = Seen::new(kit, request);
    let span = tracing::info_span!("http.request", request.id = %seen.request_id, operation = UNMATCHED);
    let _entered = span.entered();
    let counted = headers::check_size(request, kit.options())
        .and_then(|()| kit.limits().count_address(RateClass::Standard, seen.source));
    let rendered = counted.and(outcome).and_then(|reply| Rendered::reply(&reply, ""));
    finish(kit, UNMATCHED, request, &seen, started, rendered)
}

/// Counts and logs the answer, and sends it.
fn finish(
    kit: &Kit,
    operation: &'static str,
    request: &HttpRequest,
    seen: &Seen,
    started: Instant,
    outcome: Result<Rendered, ApiError>,
) -> HttpResponse {
    let duration = started.elapsed();
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let rendered = match outcome {
        Ok(rendered) => {
            let rendered = if is_known(request, &rendered) { rendered.not_modified() } else { rendered };
            tracing::info!(http.status = rendered.status.as_u16(), duration_ms, "answered");
            rendered
        }
        Err(error) => {
            let (status, code) = (error.status().as_u16(), error.code());
            let cause = error.parts().cause.as_deref().unwrap_or_default();
            match status {
                500 => tracing::error!(http.status = status, error.code = code, cause, duration_ms, "failed"),
                501.. => {
                    tracing::warn!(http.status = status, error.code = code, cause, duration_ms, "failed")
                }
                // There can be very many of these; the metrics count them.
                429 => tracing::debug!(http.status = status, error.code = code, duration_ms, "refused"),
                _ => tracing::info!(http.status = status, error.code = code, duration_ms, "refused"),
            }
            Rendered::error(&error, kit.api().catalog(), seen.language, seen.request_id)
        }
    };
    telemetry::answered(operation, request.method(), rendered.status, duration);
    if let Some(tenant) = seen.tenant.get() {
        kit.gatekeeper().answered(*tenant, rendered.status, duration);
    }
    let mut rendered = if *request.method() == Method::HEAD { rendered.without_flow() } else { rendered };
    rendered.headers.extend(seen.standing.get().map(headers::rate_limit).into_iter().flatten());
    rendered.into_response(seen.request_id, &headers_for(kit, request))
}

/// Returns the headers that the configuration puts on every answer.
fn headers_for(kit: &Kit, request: &HttpRequest) -> Vec<(header::HeaderName, String)> {
    let options = kit.options();
    let mut headers = options.cors.as_ref().map(|cors| cors.answer(request)).unwrap_or_default();
    if let Some(hsts) = options.hsts {
        let value = format!("max-age={}; includeSubDomains", hsts.as_secs());
        headers.push((header::STRICT_TRANSPORT_SECURITY, value));
    }
    headers
}

/// Tells whether the client has this answer already (RFC 9110 section 13.1.2).
fn is_known(request: &HttpRequest, rendered: &Rendered) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && rendered.status == StatusCode::OK
        && !rendered.is_derived
        && rendered.header(&header::ETAG).is_some_and(|etag| headers::has_current(request, etag))
}

async fn handle(
    kit: &Kit,
    operation: &Arc<Checked>,
    request: &HttpRequest,
    payload: web::Payload,
    seen: &Seen,
) -> Result<Reply, ApiError> {
    let outcome = answer(kit, operation, request, payload, seen).await;
    if let (Err(error), Some(caller)) = (&outcome, seen.caller.get())
        && error.status() == StatusCode::FORBIDDEN
    {
        leave_trace(kit, operation.id, caller, error.code(), seen).await?;
    }
    outcome
}

/// Leaves the one audit row of a refusal, whoever has made it; a client that goes away meanwhile does not keep it
/// from being written. Without the row there is no refusal, but 503.
async fn leave_trace(
    kit: &Kit,
    operation: &'static str,
    caller: &Caller,
    code: &'static str,
    seen: &Seen,
) -> Result<(), ApiError> {
    let denial = Denial {
        code,
        operation,
        actor: context::actor(caller),
        session_id: caller.session_id,
        grant_id: caller.grant_id,
        tenant_id: caller.tenant_id,
        request_id: seen.request_id,
        source: seen.source,
    };
    let own = kit.clone();
    transaction::run_to_end(kit, async move { own.gatekeeper().denied(denial).await }).await
}

async fn answer(
    kit: &Kit,
    operation: &Arc<Checked>,
    request: &HttpRequest,
    payload: web::Payload,
    seen: &Seen,
) -> Result<Reply, ApiError> {
    headers::check_size(request, kit.options())?;
    kit.limits().count_address(operation.rate, seen.source)?;
    let admitted = match admit(kit, operation, request, seen).await {
        Err(error)
            if error.status() == StatusCode::UNAUTHORIZED && operation.idempotency == Idempotency::Brief =>
        {
            return answered_before(kit, operation, request, payload, error).await;
        }
        admitted => admitted?,
    };
    if let Some(caller) = &admitted.caller {
        tracing::Span::current().record("actor.id", tracing::field::display(caller.user_id));
    }
    let body = match operation.method {
        Method::GET => Bytes::new(),
        _ => read_body(request, payload, kit.options()).await?,
    };
    let Admitted { caller, tenant, claimed_tenant, expected_version, key } = admitted;
    // Only now, so that a slow client's body takes up none.
    let slot = match &tenant {
        Some((entry, _)) => kit.limits().take_slot(entry.id, &entry.limits).await?,
        None => None,
    };
    let tenant_id = tenant.as_ref().map(|(entry, _)| entry.id);
    let key_scope = tenant_id.or(caller.as_ref().and_then(|caller| caller.tenant_id));
    let master = &kit.options().key;
    let is_public = operation.access == Access::Public;
    let key = key.map(|text| match operation.idempotency {
        Idempotency::Brief => {
            let claimed = claimed_tenant.as_ref().filter(|_| is_public);
            Key::new(master, None, text, request, &body).brief(master, claimed)
        }
        _ => Key::new(master, key_scope, text, request, &body),
    });
    let cx = Cx(Arc::new(Request {
        kit: kit.clone(),
        operation: Arc::clone(operation),
        request_id: seen.request_id,
        language: seen.language,
        source: seen.source,
        user_agent: headers::text(request, &header::USER_AGENT).map(str::to_owned),
        claimed_tenant,
        caller,
        tenant,
        expected_version,
        key,
        key_honoured: AtomicBool::new(false),
        token_holder: token_holder(kit, operation, request),
        _slot: slot,
    }));
    let incoming = Incoming { cx, http: request.clone(), body };
    refuse_surplus(operation, &incoming)?;
    let outcome = match (operation.endpoint)(&incoming) {
        Ok(work) => work.await,
        Err(error) => Err(error),
    };
    let request = &incoming.cx.0;
    if outcome.is_ok() && request.key.is_some() && !request.key_honoured.load(Ordering::Relaxed) {
        tracing::error!("the operation takes an Idempotency-Key and does nothing with it");
    }
    match outcome {
        Err(error) if error.failure_kind() == Some(FailureKind::Fenced) => {
            Err(why_fenced(kit, tenant_id, &error).await?)
        }
        Err(error) => Err(error),
        Ok(reply) => disclosure::leave(&incoming, reply).await,
    }
}

/// Answers a request whose token is good no more, when the same token has had the answer before: a log-out that is
/// repeated comes with the session that it has ended.
async fn answered_before(
    kit: &Kit,
    operation: &Checked,
    request: &HttpRequest,
    payload: web::Payload,
    refusal: ApiError,
) -> Result<Reply, ApiError> {
    let holder = token_holder(kit, operation, request);
    let (Some(holder), Some(text)) = (holder, headers::idempotency_key(request)?) else {
        return Err(refusal);
    };
    let body = read_body(request, payload, kit.options()).await?;
    let master = &kit.options().key;
    let key = Key::new(master, None, text.to_owned(), request, &body).brief(master, None);
    idempotency::platform::find(kit, holder, &key).await?.ok_or(refusal)
}

/// Returns to whom a key belongs that comes with a token in an operation whose answers are kept briefly.
fn token_holder(kit: &Kit, operation: &Checked, request: &HttpRequest) -> Option<Uuid> {
    let applies = operation.idempotency == Idempotency::Brief && operation.access != Access::Public;
    let token = headers::bearer(request).filter(|_| applies)?;
    Some(idempotency::holder(&kit.options().key, operation.id, &[token.as_bytes()]))
}

/// Says why the database refused its own service: the tenant was suspended or moved while the request ran, or
/// else rights or tables are missing where they should not be.
async fn why_fenced(kit: &Kit, tenant: Option<TenantId>, error: &ApiError) -> Result<ApiError, ApiError> {
    let refusal = match tenant {
        Some(id) => {
            kit.gatekeeper().invalidate(id).await;
            kit.gatekeeper().tenant(id).await?.refusal.clone()
        }
        None => None,
    };
    let cause = error.parts().cause.as_deref().unwrap_or_default();
    Ok(refusal.unwrap_or_else(|| {
        ApiError::internal(format_args!("refused by the database, though nothing is fenced: {cause}"))
    }))
}

/// Refuses a body or parameters that the operation does not take, so that a slip is not passed over.
fn refuse_surplus(operation: &Checked, incoming: &Incoming) -> Result<(), ApiError> {
    if operation.shape.body.is_none() {
        refuse_content(incoming)?;
    }
    check_lengths(&operation.query_lengths, incoming.http.query_string())?;
    if operation.shape.query.is_none() && !operation.is_open_to_any_query() {
        let query = incoming.http.query_string();
        let mut names: Vec<String> =
            url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect();
        names.sort();
        names.dedup();
        if !names.is_empty() {
            let surplus = |name| FieldError::new(format!("?{name}"), "unknown_field", "is not known here");
            return Err(ApiError::invalid(names.into_iter().map(surplus).collect()));
        }
    }
    Ok(())
}

async fn read_body(
    request: &HttpRequest,
    payload: web::Payload,
    options: &KitOptions,
) -> Result<Bytes, ApiError> {
    let limit = options.body_limit_bytes;
    let too_large = || ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large").closing();
    let announced =
        headers::text(request, &header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut payload = payload.into_inner();
    let collect = async {
        let mut body = web::BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "malformed").closing())?;
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(options.body_deadline, collect)
        .await
        .unwrap_or_else(|_| Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "request_timeout").closing()))
}

impl Checked {
    fn may_answer(&self, status: StatusCode) -> bool {
        self.answers.iter().any(|answer| answer.status == status.as_u16())
    }

    /// A public page is asked for by probes and browsers that add parameters of their own.
    pub(crate) fn is_open_to_any_query(&self) -> bool {
        self.access == Access::Public && self.idempotency == Idempotency::None
    }
}
