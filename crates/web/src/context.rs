//! What a handler knows about its request.

use std::{
    future::Future,
    net::IpAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clinicx_persistence::{Actor, TenantConnection, TenantScope, TenantTransaction};
use clinicx_types::{
    clock::{Clock, IdSource},
    id::RequestId,
    lang::Language,
    name::TenantSlug,
};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::{
    api::Checked,
    error::ApiError,
    extract::{Extract, Incoming, Shape},
    gate::{Caller, TenantEntry},
    idempotency::{self, Key},
    kit::Kit,
    limit::Slot,
    reply::Reply,
    transaction,
};

/// A request as every operation knows it. Cheap to clone.
#[derive(Clone)]
pub struct Cx(pub(crate) Arc<Request>);

pub(crate) struct Request {
    pub(crate) kit: Kit,
    pub(crate) operation: Arc<Checked>,
    pub(crate) request_id: RequestId,
    pub(crate) language: Language,
    pub(crate) source: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
    pub(crate) claimed_tenant: Option<TenantSlug>,
    pub(crate) caller: Option<Caller>,
    pub(crate) tenant: Option<(Arc<TenantEntry>, TenantScope)>,
    pub(crate) expected_version: Option<i64>,
    pub(crate) key: Option<Key>,
    pub(crate) key_honoured: AtomicBool,
    /// Who a key belongs to in an operation of [`crate::Idempotency::Brief`] that takes a token.
    pub(crate) token_holder: Option<Uuid>,
    /// The tenant's slot, until the last who works for the request has ended.
    pub(crate) _slot: Option<Slot>,
}

/// A request of somebody who is signed in. Cheap to clone.
#[derive(Clone)]
pub struct CallerCx {
    cx: Cx,
    caller: Caller,
}

/// A request inside one tenant. Cheap to clone.
#[derive(Clone)]
pub struct TenantCx {
    cx: Cx,
    caller: Caller,
    entry: Arc<TenantEntry>,
    scope: TenantScope,
}

impl Cx {
    /// Returns the id of the request: the caller's own when that was a UUID.
    pub fn request_id(&self) -> RequestId {
        self.0.request_id
    }

    /// Returns the language that the caller prefers.
    pub fn language(&self) -> Language {
        self.0.language
    }

    /// Returns the address from which the request came.
    pub fn source(&self) -> Option<IpAddr> {
        self.0.source
    }

    /// Returns what the client calls itself.
    pub fn user_agent(&self) -> Option<&str> {
        self.0.user_agent.as_deref()
    }

    /// Returns the tenant that the header `X-Tenant-ID` or the host names. Where there is a token they agree;
    /// without one it is only what the caller says.
    pub fn claimed_tenant(&self) -> Option<&TenantSlug> {
        self.0.claimed_tenant.as_ref()
    }

    /// Returns the version that `If-Match` names; `None` without the header and for `*`.
    pub fn expected_version(&self) -> Option<i64> {
        self.0.expected_version
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.kit.options().clock
    }

    /// Returns the source of identifiers.
    pub fn ids(&self) -> &Arc<dyn IdSource> {
        &self.0.kit.options().ids
    }

    /// Does something once for whoever knows a secret, in a public operation such as a log-in.
    ///
    /// As [`CallerCx::perform`], with the secret in the place of the user: a key belongs to whoever sends the same
    /// secret to the same operation, and nobody gets its answer without it. Another secret is another caller, so
    /// that its request is done and not refused as reused.
    ///
    /// # Errors
    /// As [`CallerCx::perform`].
    pub async fn perform_for<F>(&self, secret: &[&[u8]], work: F) -> Result<Reply, ApiError>
    where
        F: FnOnce() -> BoxFuture<'static, Result<Reply, ApiError>> + Send + 'static,
    {
        let request = &self.0;
        let holder = idempotency::holder(&request.kit.options().key, request.operation.id, secret);
        transaction::perform(self, holder, work).await
    }

    /// Runs work to its end even when the client goes away; for operations without a key and without a tenant's
    /// transaction.
    ///
    /// # Errors
    /// What the work answers, or `internal` when it panics.
    pub async fn detached<T, W>(&self, work: W) -> Result<T, ApiError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        transaction::run_to_end(&self.0.kit, work).await
    }

    pub(crate) fn honour_key(&self) -> Option<&Key> {
        self.0.key_honoured.store(true, Ordering::Relaxed);
        self.0.key.as_ref()
    }
}

impl CallerCx {
    /// Returns who is signed in.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the caller as an actor for scopes and audit rows.
    pub fn actor(&self) -> Actor {
        actor(&self.caller)
    }

    /// Does something once that is no single tenant's transaction, such as creating a tenant.
    ///
    /// It runs to its end even when the client goes away. With an `Idempotency-Key` a second request gets the
    /// first one's answer, also when it asks another process. A key belongs to its user, its operation and the
    /// tenant that the token names: in another clinic the same key is another one. In an operation of
    /// [`crate::Idempotency::Brief`] it belongs to the token.
    ///
    /// The answer is kept after the work, not in its transaction. When the process ends between the two, or the
    /// answer can't be written, the key is free again within a minute and a repetition does the work once more: at
    /// least once, not exactly once. The work must bear that, as by a unique name that refuses the second time.
    /// What needs more belongs into [`TenantCx::write`].
    ///
    /// # Errors
    /// What the work answers; 409 `idempotency_in_progress` while the first request runs, 409
    /// `idempotency_answer_lost` when its answer can't be read any more, 422 `idempotency_key_reused` when the key
    /// came with another request.
    pub async fn perform<F>(&self, work: F) -> Result<Reply, ApiError>
    where
        F: FnOnce() -> BoxFuture<'static, Result<Reply, ApiError>> + Send + 'static,
    {
        let principal = self.cx.0.token_holder.unwrap_or(self.caller.user_id.uuid());
        transaction::perform(&self.cx, principal, work).await
    }
}

impl TenantCx {
    /// Returns who is signed in.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the tenant.
    pub fn tenant(&self) -> &TenantEntry {
        &self.entry
    }

    /// Returns who acts in which tenant, with which rights.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// Returns a connection for single reads.
    ///
    /// # Errors
    /// 503 when the tenant's cluster is not connected.
    pub fn connection(&self) -> Result<TenantConnection, ApiError> {
        self.cx.0.kit.gatekeeper().connection(&self.entry)
    }

    /// Runs several reads that must agree, in one transaction (REPEATABLE READ, READ ONLY) on one lease.
    ///
    /// They may run again, when the database asks for another try.
    ///
    /// # Errors
    /// What the reads answer.
    pub async fn read<T, F>(&self, operation: F) -> Result<T, ApiError>
    where
        F: AsyncFn(&TenantTransaction, &TenantScope) -> Result<T, ApiError>,
    {
        transaction::read(self, operation).await
    }

    /// Runs a write in one transaction, to its end even when the client goes away.
    ///
    /// The operation may run up to three times, when the database asks for another try. With an
    /// `Idempotency-Key` the answer is kept in the same transaction and a repetition gets it again; so is a
    /// refusal that would be the same the next time (404, 409, 410, 412, 422).
    ///
    /// # Errors
    /// What the operation answers; 409 `idempotency_in_progress` or `idempotency_answer_lost`, 422
    /// `idempotency_key_reused`.
    pub async fn write<F>(&self, operation: F) -> Result<Reply, ApiError>
    where
        F: for<'a> Fn(&'a TenantTransaction, &'a TenantScope) -> BoxFuture<'a, Result<Reply, ApiError>>
            + Send
            + Sync
            + 'static,
    {
        transaction::write(self.clone(), operation).await
    }

    /// Does something once that is no transaction of the tenant's schema, such as adding a user to it; see
    /// [`CallerCx::perform`], also for what a crash means.
    ///
    /// # Errors
    /// As [`CallerCx::perform`].
    pub async fn perform<F>(&self, work: F) -> Result<Reply, ApiError>
    where
        F: FnOnce() -> BoxFuture<'static, Result<Reply, ApiError>> + Send + 'static,
    {
        transaction::perform(&self.cx, self.caller.user_id.uuid(), work).await
    }

    pub(crate) fn common(&self) -> &Cx {
        &self.cx
    }
}

/// Returns the caller as an actor: an operator who has logged in to a clinic acts as its user there, and one who was
/// let in by a grant as an operator.
pub(crate) fn actor(caller: &Caller) -> Actor {
    if caller.grant_id.is_some() || (caller.operator && caller.tenant_id.is_none()) {
        Actor::Operator(caller.user_id)
    } else {
        Actor::User(caller.user_id)
    }
}

impl Deref for CallerCx {
    type Target = Cx;
    fn deref(&self) -> &Cx {
        &self.cx
    }
}

impl Deref for TenantCx {
    type Target = Cx;
    fn deref(&self) -> &Cx {
        &self.cx
    }
}

impl Extract for Cx {
    fn describe(_: &mut Shape) {}
    fn extract(incoming: &Incoming) -> Result<Self, ApiError> {
        Ok(incoming.cx.clone())
    }
}

impl Extract for CallerCx {
    fn describe(shape: &mut Shape) {
        shape.needs_caller = true;
    }
    fn extract(incoming: &Incoming) -> Result<Self, ApiError> {
        let cx = incoming.cx.clone();
        let caller =
            cx.0.caller.clone().ok_or_else(|| ApiError::internal("a public operation asked for a caller"))?;
        Ok(Self { cx, caller })
    }
}

impl Extract for TenantCx {
    fn describe(shape: &mut Shape) {
        shape.needs_tenant = true;
    }
    fn extract(incoming: &Incoming) -> Result<Self, ApiError> {
        let cx = incoming.cx.clone();
        match (cx.0.caller.clone(), cx.0.tenant.clone()) {
            (Some(caller), Some((entry, scope))) => Ok(Self { cx, caller, entry, scope }),
            _ => Err(ApiError::internal("an operation without a tenant asked for one")),
        }
    }
}
