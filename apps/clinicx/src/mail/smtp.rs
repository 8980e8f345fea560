//! Hands mail to an SMTP server.

use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use clinicx_identity::{Mail, MailError, Mailer};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor, message::Mailbox,
    transport::smtp::authentication::Credentials,
};

use super::message;
use crate::config::{SmtpConfig, SmtpEncryption};

/// How long one mail may take; shorter than what another process waits before it takes the mail up.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A server.
pub(super) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    pub(super) fn new(config: &SmtpConfig, from: Mailbox) -> anyhow::Result<Self> {
        let host = config.host.as_str();
        let builder = match config.encryption {
            SmtpEncryption::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(host),
            SmtpEncryption::Starttls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host),
            SmtpEncryption::None => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)),
        };
        let mut builder = builder.context("mail.smtp.host must be a server's name")?.timeout(Some(TIMEOUT));
        if let Some(port) = config.port {
            builder = builder.port(port);
        }
        if let Some(username) = &config.username {
            let password = config.password.as_ref().map(|secret| secret.expose().to_owned());
            anyhow::ensure!(
                config.encryption != SmtpEncryption::None,
                "mail.smtp.username needs mail.smtp.encryption tls or starttls: the password would travel in clear"
            );
            builder = builder.credentials(Credentials::new(username.clone(), password.unwrap_or_default()));
        }
        Ok(Self { transport: builder.build(), from })
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let message = message(mail, &self.from)?;
        let sending = tokio::time::timeout(TIMEOUT.saturating_mul(2), self.transport.send(message));
        match sending.await {
            Ok(Ok(_)) => Ok(()),
            // The server's words may repeat the address, so that none of them are logged.
            Ok(Err(error)) if error.is_permanent() => Err(MailError::Refused),
            Ok(Err(error)) => {
                let code = error.status().map(|code| code.to_string()).unwrap_or_default();
                tracing::warn!(
                    smtp.code = code,
                    smtp.timeout = error.is_timeout(),
                    smtp.tls = error.is_tls(),
                    "the mail server does not take mail"
                );
                Err(MailError::Unavailable)
            }
            Err(_) => Err(MailError::Unavailable),
        }
    }
}
