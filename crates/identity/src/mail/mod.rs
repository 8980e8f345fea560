//! Mail to account holders: what is said, where it waits, and who sends it.
//!
//! A change that sends mail puts it into `mail_outbox` in its own transaction; [`crate::Identity::relay_mail`] sends
//! it after the commit, at least once, and removes the row.

mod outbox;
mod relay;
mod text;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use clinicx_types::lang::Language;

pub(crate) use outbox::{Letter, enqueue, sweep};
pub use relay::Relayed;
pub(crate) use text::{Occasion, compose};

/// How account holders are written to.
#[derive(Clone, Debug, Default)]
pub struct MailSettings {
    /// The address of the application in which a link's token is used, such as `https://app.example`; without one a
    /// mail has the token alone.
    pub public_url: Option<String>,
}

/// One mail, complete but for its sender. Its `Debug` text shows nothing of it.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mail {
    /// To whom it goes.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// The BCP 47 tag of its language.
    pub language: String,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mail(..)")
    }
}

/// Why a mail was not sent. It names neither its reader nor its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It will never be: its address is none, or the server refuses it for good.
    #[error("the mail was refused for good")]
    Refused,
    /// It may be later: the server is away or busy.
    #[error("the mail can't be sent now")]
    Unavailable,
}

/// Sends mail.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Sends one mail.
    ///
    /// # Errors
    /// [`MailError`].
    async fn send(&self, mail: &Mail) -> Result<(), MailError>;
}

/// How long a mail waits for its sender before it is given up; a link's own time is shorter or as long.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(3 * 86_400);

/// Reads a BCP 47 tag as a language that the service has texts in.
pub(crate) fn language_of(tag: &str) -> Language {
    Language::negotiate(tag)
}
