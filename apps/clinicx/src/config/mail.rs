//! How the service writes to account holders.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;

/// Mail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// What sends it. Unless it is said, mail goes into a folder in development, and is not sent in production.
    pub sender: Option<MailSender>,
    /// The address that mail comes from, with or without a name: `ClinicX <no-reply@clinics.example>`.
    pub from: String,
    /// The address of the application in which the links of a mail are opened, such as `https://app.example`. Without
    /// it a mail has the token alone.
    pub public_url: Option<String>,
    /// The folder of the sender `folder`; `mail` in the state folder when absent.
    pub folder: Option<PathBuf>,
    /// The server of the sender `smtp`.
    pub smtp: SmtpConfig,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            sender: None,
            from: "ClinicX <no-reply@localhost>".to_owned(),
            public_url: None,
            folder: None,
            smtp: SmtpConfig::default(),
        }
    }
}

/// What sends mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailSender {
    /// An SMTP server.
    Smtp,
    /// Files in a folder, for development and for a program that fetches them.
    Folder,
    /// Nothing: what needs a mail answers 503 `mail_not_configured`.
    None,
}

/// An SMTP server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port; 465 for `tls`, 587 for `starttls` and 25 for `none` when absent.
    pub port: Option<u16>,
    /// How the connection is protected.
    pub encryption: SmtpEncryption,
    /// The user to log in as, if the server wants one.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<Secret>,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: None,
            encryption: SmtpEncryption::Starttls,
            username: None,
            password: None,
        }
    }
}

/// How a connection to an SMTP server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpEncryption {
    /// TLS from the first byte.
    Tls,
    /// TLS after the greeting; without it nothing is sent.
    Starttls,
    /// None: for a relay on the same machine.
    None,
}
