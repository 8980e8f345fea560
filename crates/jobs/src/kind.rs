//! Kinds of work, and how far a job of each reaches.

use std::{marker::PhantomData, time::Duration};

use async_trait::async_trait;
use clinicx_types::permission::Permission;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    context::{Handle, JobContext, PlatformReach, Reach, TenantReach},
    error::JobError,
};

/// A kind of work.
///
/// ```
/// use async_trait::async_trait;
/// use clinicx_jobs::{InTenant, JobContext, JobError, JobKind};
///
/// struct Count;
///
/// #[async_trait]
/// impl JobKind for Count {
///     const NAME: &'static str = "rooms.count";
///     type Scope = InTenant;
///     type Input = ();
///     type Output = u64;
///
///     async fn run(&self, context: &JobContext<InTenant>, (): ()) -> Result<u64, JobError> {
///         let _db = context.connection();
///         Ok(0)
///     }
/// }
/// ```
///
/// A job runs at least once: a process may end after the work and before that is noted.
#[async_trait]
pub trait JobKind: Send + Sync + 'static {
    /// Its name: `<what>.<what is done>`; it stands in the table and never changes.
    const NAME: &'static str;
    /// How far its jobs reach.
    type Scope: Scope;
    /// What it is told: ids and settings, never a patient's data.
    type Input: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What comes of it: numbers and ids, never a patient's data.
    type Output: Serialize + Send;
    /// How often a job is begun at most.
    const MAX_ATTEMPTS: i32 = 5;
    /// The pause after the first failed try; [`crate::backoff`] makes the others of it.
    const FIRST_PAUSE: Duration = Duration::from_secs(5);
    /// What a job may do in its tenant.
    const PERMISSIONS: &'static [Permission] = &[];

    /// Does it.
    ///
    /// # Errors
    /// [`JobError`] says whether it is tried again.
    async fn run(
        &self,
        context: &JobContext<Self::Scope>,
        input: Self::Input,
    ) -> Result<Self::Output, JobError>;
}

/// How far a job reaches: [`InTenant`] or [`OnPlatform`]; there are no others.
pub trait Scope: sealed::Sealed + Send + Sync + Sized + 'static {
    /// Whether it is one tenant's.
    const IS_TENANT: bool;
    /// What a job of it gets.
    type Reach: Clone + Send + Sync + 'static;
    #[doc(hidden)]
    fn narrow(reach: Reach) -> Option<Self::Reach>;
}

/// Jobs that work in one tenant, and can't reach another.
#[derive(Debug)]
pub struct InTenant;

/// Jobs of the platform.
#[derive(Debug)]
pub struct OnPlatform;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::InTenant {}
    impl Sealed for super::OnPlatform {}
}

impl Scope for InTenant {
    const IS_TENANT: bool = true;
    type Reach = TenantReach;
    fn narrow(reach: Reach) -> Option<TenantReach> {
        match reach {
            Reach::Tenant(reach) => Some(reach),
            Reach::Platform(_) => None,
        }
    }
}

impl Scope for OnPlatform {
    const IS_TENANT: bool = false;
    type Reach = PlatformReach;
    fn narrow(reach: Reach) -> Option<PlatformReach> {
        match reach {
            Reach::Platform(reach) => Some(reach),
            Reach::Tenant(_) => None,
        }
    }
}

/// What a runner knows of a kind without its types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) name: &'static str,
    pub(crate) is_tenant: bool,
    pub(crate) first_pause: Duration,
    pub(crate) permissions: &'static [Permission],
}

/// A kind whose input and output are JSON.
#[async_trait]
pub(crate) trait AnyKind: Send + Sync {
    fn facts(&self) -> Facts;
    async fn run(&self, handle: Handle, reach: Reach, input: Value) -> Result<Value, JobError>;
}

/// A registered kind.
pub(crate) struct Registered<K>(pub(crate) K);

#[async_trait]
impl<K: JobKind> AnyKind for Registered<K> {
    fn facts(&self) -> Facts {
        Facts {
            name: K::NAME,
            is_tenant: K::Scope::IS_TENANT,
            first_pause: K::FIRST_PAUSE,
            permissions: K::PERMISSIONS,
        }
    }

    async fn run(&self, handle: Handle, reach: Reach, input: Value) -> Result<Value, JobError> {
        let reach = K::Scope::narrow(reach)
            .ok_or_else(|| JobError::failed("job_scope", "the job and its kind reach differently far"))?;
        // The text of such an error can quote the input.
        let input = serde_json::from_value(input).map_err(|_| {
            JobError::failed("job_input", "the input is not what this version of the kind takes")
        })?;
        let context = JobContext { handle, reach, scope: PhantomData };
        let output = self.0.run(&context, input).await?;
        serde_json::to_value(output)
            .map_err(|_| JobError::failed("job_output", "what came of it can't be written as JSON"))
    }
}
