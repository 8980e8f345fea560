//! Who is calling: user accounts, memberships, log-ins and tokens.
//!
//! Owns the tables `users`, `memberships`, `sessions`, `refresh_tokens`, `login_attempts`, `password_resets`,
//! `invitations`, `totp_secrets`, `recovery_codes`, `break_glass_grants` and `mail_outbox` of the system schema. Passwords are kept as argon2id hashes, refresh tokens as SHA-256 digests; an access token is a
//! signed statement that names a session, and the session decides.
//!
//! **Invariant:** nothing here tells an account that exists from one that does not: not by an answer, not by
//! its time, not by a lock-out. **Invariant:** no password, token or address stands in an error, a log line or
//! a `Debug` text. **Invariant:** a role that was taken away, a log-out and a disabled account are obeyed by
//! every process within [`IdentitySettings::principal_cache_ttl`].
//!
//! Entry points: [`Identity`] for whoever serves requests; [`user`] and [`membership`] for whoever has a
//! connection or transaction open and adds accounts to it. Another kind of log-in (an OIDC provider) ends in
//! the same session rows and hence in the same tokens.

mod attempt;
pub mod audit;
pub mod break_glass;
mod destination;
pub mod dto;
pub mod email;
pub mod error;
pub mod full_name;
pub mod identity;
pub mod invitation;
pub mod key;
mod login;
pub mod mail;
pub mod member;
pub mod membership;
pub mod oidc;
mod own_account;
pub mod password;
mod platform_user;
pub mod principal;
mod refresh;
mod reset;
pub mod scope;
pub mod sealing;
pub mod secret;
mod session;
pub mod settings;
pub mod token;
mod totp;
pub mod user;

pub use break_glass::{BreakGlassGrant, NewGrant};
pub use dto::{LoginRequest, Me, MeTenant, RefreshRequest, SwitchRequest, Tokens};
pub use email::EmailAddress;
pub use error::IdentityError;
pub use full_name::FullName;
pub use identity::{Bootstrap, Identity, IdentityKeys, NewAccount, Swept};
pub use invitation::{Invitation, NewMember};
pub use key::TokenKey;
pub use mail::{Mail, MailError, MailSettings, Mailer};
pub use member::{LastOwner, TenantUser};
pub use membership::admin_statements;
pub use own_account::OwnSession;
pub use password::{PasswordHash, Passwords};
pub use principal::Principal;
pub use scope::{IdentityScope, Origin};
pub use sealing::SealingKeys;
pub use secret::{LinkToken, Password, RefreshToken};
pub use settings::IdentitySettings;
pub use token::{TokenClaims, TokenError, TokenSigner};
pub use totp::{RecoveryCodes, TotpEnrolment};
pub use user::{NewUser, User};
