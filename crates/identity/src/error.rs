//! Everything that this crate can refuse.

use std::time::Duration;

use clinicx_persistence::Failure;
use clinicx_types::{
    error::{DomainError, ErrorKind, FieldError},
    name::TenantSlug,
};
use sea_orm::DbErr;

use crate::{oidc::Refusal, token::TokenError};

/// After how long an issuer that was away is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Why a log-in, a token or a change of accounts was refused.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No such account, a wrong password, a disabled account, or no part of the tenant: deliberately one answer.
    #[error("the address, the password or the tenant is not right")]
    InvalidCredentials,
    /// The access token is not one of ours, has expired, or its session has ended.
    #[error("the access token is not valid")]
    InvalidToken(#[source] TokenError),
    /// The refresh token is unknown, used, or its session has ended.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// The token of an issuer is not believed, or opens nothing.
    #[error("the issuer's token is not valid")]
    Refused(#[source] Refusal),
    /// The log-in at an issuer is unknown, over, used, or another browser's.
    #[error("the log-in was not begun here, or it is over; begin again")]
    InvalidFlow,
    /// An issuer did not vouch for the person.
    #[error("the provider did not confirm the log-in")]
    LoginRefused(#[source] Refusal),
    /// The person has no account here, or none that may log in.
    #[error("there is no account here for this person")]
    NotLinked,
    /// The issuer can't be asked, and what is known of it is too old.
    #[error("the provider can't be reached")]
    IssuerUnavailable,
    /// The user belongs to several tenants and named none.
    #[error("the account belongs to several tenants; name one of them")]
    TenantRequired {
        /// The tenants to choose from.
        tenants: Vec<TenantSlug>,
    },
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    TenantSuspended,
    /// The tenant is archived.
    #[error("the tenant has ended")]
    TenantGone,
    /// The request names one tenant by its header or host, and means another one.
    #[error("the request names another tenant than the one that is meant")]
    TenantMismatch,
    /// The password is right, and the account belongs to no tenant.
    #[error("the account belongs to no tenant")]
    NoMembership,
    /// The present password, which had to be shown again, is wrong.
    #[error("the present password is wrong")]
    WrongPassword,
    /// The token of a link is unknown, used or too old.
    #[error("the link is not valid or no longer valid")]
    InvalidLink,
    /// The service has no way to send mail.
    #[error("this service is not configured to send mail")]
    MailNotConfigured,
    /// Only an owner makes or unmakes an owner, and only an administrator changes users.
    #[error("only an owner of the tenant may do that")]
    OwnerRequired,
    /// Nobody gives themselves more rights than they have.
    #[error("nobody can give themselves further rights")]
    OwnRoles,
    /// A tenant keeps an owner who can log in.
    #[error("the tenant would be left without an owner")]
    LastOwner,
    /// The person is a user of the tenant already.
    #[error("the person is a user of this tenant already")]
    AlreadyMember,
    /// There is an invitation for this address that is still good.
    #[error("there is an invitation for this address already; it can be sent again")]
    AlreadyInvited,
    /// Operators neither disable themselves nor take their own right away.
    #[error("another operator has to do that")]
    OwnAccount,
    /// The platform keeps an operator.
    #[error("the platform would be left without an operator")]
    LastOperator,
    /// The password is right, and the account has a second factor, of which nothing was said.
    #[error("a one-time password or a recovery code is needed")]
    TotpRequired,
    /// The password is right, and the one-time password or recovery code is wrong or was used.
    #[error("the one-time password or recovery code is not right")]
    InvalidTotp,
    /// The account has a second factor already.
    #[error("the account has a second factor already")]
    TotpEnrolled,
    /// Too many wrong passwords for this account, or from this address.
    #[error("too many failed attempts; try again later")]
    TooManyAttempts {
        /// When the next attempt can succeed.
        retry_after: Duration,
    },
    /// There is no such thing, or the actor may not know of it.
    #[error("there is no such {thing}")]
    NotFound {
        /// The kind of thing.
        thing: &'static str,
    },
    /// The thing has changed since the caller read it.
    #[error("the {thing} has changed since it was read")]
    Stale {
        /// The kind of thing.
        thing: &'static str,
    },
    /// There is an account with this address already.
    #[error("there is an account with this address already")]
    EmailTaken,
    /// Parts of the input mean nothing, or something that is not allowed.
    #[error("the input is not acceptable")]
    Invalid(Vec<FieldError>),
    /// More passwords wait to be checked than can be in reasonable time.
    #[error("the service is busy checking passwords")]
    Busy,
    /// A password could not be hashed, a token not be signed, or the system has no randomness.
    #[error("a cryptographic operation failed: {0}")]
    Crypto(&'static str),
    /// The database refused or failed.
    #[error("the database refused the operation")]
    Database(#[source] Failure),
}

impl IdentityError {
    /// Makes the error of one wrong field.
    pub fn invalid(pointer: &str, code: &str, detail: &str) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, detail)])
    }

    /// Returns the tenants to choose from, when one has to be named.
    pub fn tenants(&self) -> &[TenantSlug] {
        match self {
            Self::TenantRequired { tenants } => tenants,
            _ => &[],
        }
    }

    /// Returns after how long another try can succeed, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyAttempts { retry_after } => Some(*retry_after),
            Self::Busy => Some(Duration::from_secs(1)),
            Self::IssuerUnavailable => Some(ASK_AGAIN_AFTER),
            _ => None,
        }
    }

    /// Puts a prefix before the pointers of wrong fields, for input that stood inside a larger body.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        match self {
            Self::Invalid(fields) => Self::Invalid(
                fields
                    .into_iter()
                    .map(|field| FieldError { pointer: format!("{prefix}{}", field.pointer), ..field })
                    .collect(),
            ),
            other => other,
        }
    }
}

impl From<DbErr> for IdentityError {
    fn from(error: DbErr) -> Self {
        Self::Database(Failure::of(&error))
    }
}

impl DomainError for IdentityError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidCredentials
            | Self::InvalidToken(_)
            | Self::InvalidRefreshToken
            | Self::InvalidLink
            | Self::Refused(_)
            | Self::InvalidFlow
            | Self::LoginRefused(_)
            | Self::TotpRequired
            | Self::InvalidTotp => ErrorKind::Unauthenticated,
            Self::TenantRequired { .. }
            | Self::EmailTaken
            | Self::LastOwner
            | Self::AlreadyMember
            | Self::AlreadyInvited
            | Self::OwnAccount
            | Self::LastOperator
            | Self::TotpEnrolled => ErrorKind::Conflict,
            Self::TenantSuspended
            | Self::TenantMismatch
            | Self::NoMembership
            | Self::OwnerRequired
            | Self::OwnRoles
            | Self::NotLinked => ErrorKind::Forbidden,
            Self::TenantGone => ErrorKind::Gone,
            Self::TooManyAttempts { .. } => ErrorKind::Throttled,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Stale { .. } => ErrorKind::Stale,
            Self::Invalid(_) | Self::WrongPassword => ErrorKind::Invalid,
            Self::Busy | Self::MailNotConfigured | Self::IssuerUnavailable => ErrorKind::Unavailable,
            Self::Crypto(_) => ErrorKind::Internal,
            Self::Database(failure) => failure.error_kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidCredentials => "invalid_credentials",
            Self::InvalidToken(_) | Self::Refused(_) => "invalid_token",
            Self::InvalidFlow => "invalid_login_state",
            Self::LoginRefused(_) => "login_refused",
            Self::NotLinked => "account_not_linked",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::InvalidRefreshToken => "invalid_refresh_token",
            Self::TenantRequired { .. } => "tenant_required",
            Self::TenantSuspended => "tenant_suspended",
            Self::TenantGone => "tenant_gone",
            Self::TenantMismatch => "tenant_mismatch",
            Self::NoMembership => "no_membership",
            Self::TotpRequired => "totp_required",
            Self::InvalidTotp => "invalid_totp",
            Self::TotpEnrolled => "totp_enrolled",
            Self::OwnerRequired => "owner_required",
            Self::OwnRoles => "own_roles",
            Self::LastOwner => "last_owner",
            Self::AlreadyMember => "already_member",
            Self::AlreadyInvited => "already_invited",
            Self::OwnAccount => "own_account",
            Self::LastOperator => "last_operator",
            Self::WrongPassword => "invalid",
            Self::InvalidLink => "invalid_link",
            Self::MailNotConfigured => "mail_not_configured",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::NotFound { .. } => "not_found",
            Self::Stale { .. } => "version_mismatch",
            Self::EmailTaken => "email_taken",
            Self::Invalid(_) => "invalid",
            Self::Busy => "unavailable",
            Self::Crypto(_) => "internal",
            Self::Database(failure) => failure.code(),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Database(failure) => failure.detail().to_owned(),
            Self::Crypto(_) => "something went wrong inside the service".to_owned(),
            Self::TenantRequired { tenants } => {
                let names: Vec<&str> = tenants.iter().map(TenantSlug::as_str).collect();
                format!("the account belongs to several tenants; name one of them: {}", names.join(", "))
            }
            other => other.to_string(),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(fields) => fields.clone(),
            Self::WrongPassword => {
                vec![FieldError::new("/current_password", "wrong_password", "is not the present password")]
            }
            _ => Vec::new(),
        }
    }
}
