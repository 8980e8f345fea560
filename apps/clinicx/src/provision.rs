//! Creates a tenant together with its first administrator: what HTTP, command line and demo do alike.

use clinicx_identity::{IdentityError, IdentityScope, NewAccount, membership};
use clinicx_tenancy::{PlatformScope, TenancyError, Tenant, TenantDraft};
use clinicx_types::{
    error::{DomainError, ErrorKind, FieldError},
    id::TenantId,
    permission::Role,
};

use crate::wiring::Platform;

/// Why no tenant was created.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// Parts of the description are wrong, of the tenant or of its administrator.
    #[error("the input is not acceptable")]
    Invalid(Vec<FieldError>),
    /// Tenancy refused.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// Identity refused.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The logins that it takes are not configured.
    #[error("this service is not configured to create tenants")]
    NotConfigured,
}

impl ProvisionError {
    fn inner(&self) -> Option<&dyn DomainError> {
        match self {
            Self::Tenancy(error) => Some(error),
            Self::Identity(error) => Some(error),
            Self::Invalid(_) | Self::NotConfigured => None,
        }
    }
}

impl DomainError for ProvisionError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::NotConfigured => ErrorKind::Unavailable,
            other => other.inner().map_or(ErrorKind::Internal, DomainError::kind),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NotConfigured => "not_configured",
            other => other.inner().map_or("internal", DomainError::code),
        }
    }

    fn detail(&self) -> String {
        self.inner().map_or_else(|| self.to_string(), DomainError::detail)
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(fields) => fields.clone(),
            other => other.inner().map(DomainError::fields).unwrap_or_default(),
        }
    }

    fn allowed(&self) -> Vec<&'static str> {
        self.inner().map(DomainError::allowed).unwrap_or_default()
    }
}

/// Creates a tenant that is ready to serve, with its first administrator, all in one transaction.
///
/// # Errors
/// [`ProvisionError::Invalid`] with everything that is wrong, the administrator's parts under `/admin`.
pub async fn create(
    platform: &Platform,
    scope: &PlatformScope,
    draft: TenantDraft,
    admin: NewAccount<'_>,
) -> Result<Tenant, ProvisionError> {
    create_with(platform, scope, draft, admin, Doors::Open).await
}

/// Creates a tenant as [`create`] does, that answers nobody before its rows were brought over.
///
/// # Errors
/// As [`create`].
pub async fn create_closed(
    platform: &Platform,
    scope: &PlatformScope,
    draft: TenantDraft,
    admin: NewAccount<'_>,
) -> Result<Tenant, ProvisionError> {
    create_with(platform, scope, draft, admin, Doors::Closed).await
}

/// Whether a new tenant answers at once.
enum Doors {
    Open,
    Closed,
}

async fn create_with(
    platform: &Platform,
    scope: &PlatformScope,
    draft: TenantDraft,
    admin: NewAccount<'_>,
    doors: Doors,
) -> Result<Tenant, ProvisionError> {
    let tenancy = platform.tenancy().map_err(|_| ProvisionError::NotConfigured)?;
    let checked = tenancy.check(draft, TenantId::new(scope.next_id()));
    // Both halves are checked before either is refused, so that the caller hears of everything at once.
    let (new, admin) = match (checked, platform.identity.check_account(admin).await) {
        (Ok(new), Ok(admin)) => (new, admin),
        (checked, account) => return Err(findings(checked.err(), account.err())),
    };
    let identity_scope = IdentityScope {
        actor: scope.actor,
        request_id: scope.request_id,
        source: scope.source,
        clock: scope.clock.clone(),
        ids: scope.ids.clone(),
    };
    let finish = membership::admin_statements(&identity_scope, new.id, &admin, &[Role::Owner])?;
    // A tenant's row refers to its cluster's, which a new configuration may just have named.
    tenancy.register_clusters().await?;
    let tenant = match doors {
        Doors::Open => tenancy.create(new, scope, finish).await?,
        Doors::Closed => tenancy.create_closed(new, scope, finish).await?,
    };
    // Somebody may have asked for this slug before there was one.
    platform.resolver.invalidate(&tenant).await;
    Ok(tenant)
}

/// Puts together what is wrong with the two halves; what is no matter of input goes first.
fn findings(tenancy: Option<TenancyError>, identity: Option<IdentityError>) -> ProvisionError {
    let mut fields = Vec::new();
    match tenancy {
        Some(TenancyError::Invalid(wrong)) => fields.extend(wrong),
        Some(error) => return error.into(),
        None => {}
    }
    match identity {
        Some(IdentityError::Invalid(wrong)) => fields.extend(wrong.into_iter().map(|mut field| {
            field.pointer = format!("/admin{}", field.pointer);
            field
        })),
        Some(error) => return error.into(),
        None => {}
    }
    ProvisionError::Invalid(fields)
}
