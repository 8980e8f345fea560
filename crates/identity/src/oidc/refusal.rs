//! Why a token of an issuer is refused.

/// Why a token of an issuer is not believed. For logs, counters and the audit; a caller is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It is longer than any token that is looked at.
    #[error("the token is too long")]
    TooLong,
    /// It has not three parts of base64 with JSON objects in the first two, or a name stands twice in one of them.
    #[error("the token is malformed")]
    Malformed,
    /// No configured issuer has issued it.
    #[error("the token has another issuer")]
    Issuer,
    /// It names an algorithm that its issuer is not allowed.
    #[error("the token names another algorithm")]
    Algorithm,
    /// Its header asks for something that is not understood (`crit`, `b64`, `zip`, `enc`, `cty`).
    #[error("the token's header asks for more than is understood")]
    Critical,
    /// It is a token for something else.
    #[error("the token is of another type")]
    Type,
    /// It names no key of its issuer's.
    #[error("the token names no key of its issuer")]
    Key,
    /// Its signature is not its issuer's.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing or not of its kind.
    #[error("a claim of the token is missing or malformed")]
    Claims,
    /// It is meant for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Another client than the configured ones asked for it.
    #[error("the token was given to another client")]
    Party,
    /// It is bound to a key or a certificate, the possession of which nobody has shown.
    #[error("the token is bound to a key")]
    Bound,
    /// It says that it was made later than now, or counts only from later on.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// Its life is longer than any that is allowed.
    #[error("the token's lifetime is too long")]
    Lifetime,
    /// It does not belong to the log-in that asked for it.
    #[error("the token belongs to another log-in")]
    Nonce,
    /// It names no tenant, or more than one.
    #[error("the token names no tenant")]
    Tenant,
    /// What it opened has ended: a log-out, a disabled account, a membership that was taken away.
    #[error("what the token opened has ended")]
    Ended,
    /// The provider did not take the code, or answered something that is no token.
    #[error("the provider refused the code")]
    Code,
}

impl Refusal {
    /// Returns the word for it in metrics and audit rows.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Issuer => "issuer",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical_header",
            Self::Type => "type",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Audience => "audience",
            Self::Party => "authorized_party",
            Self::Bound => "bound",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Lifetime => "lifetime",
            Self::Nonce => "nonce",
            Self::Tenant => "tenant",
            Self::Ended => "ended",
            Self::Code => "code",
        }
    }
}
