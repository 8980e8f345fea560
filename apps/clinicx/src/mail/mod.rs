//! Sends the mail that identity writes: through an SMTP server, or into a folder.

mod folder;
mod smtp;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clinicx_identity::{Mail, MailError, MailSettings, Mailer};
use lettre::{
    Message,
    message::{Mailbox, header::ContentType},
};

use crate::{
    config::{Config, MailSender, Profile},
    wiring::Platform,
};
use folder::Folder;
use smtp::Smtp;

/// How often the outbox is looked at when nobody says that something is in it.
const RELAY_EVERY: Duration = Duration::from_secs(5);

/// Returns how account holders are written to; `None` when they are not.
pub fn settings(config: &Config) -> Option<MailSettings> {
    sender(config).map(|_| MailSettings { public_url: config.mail.public_url.clone() })
}

fn sender(config: &Config) -> Option<MailSender> {
    match (config.mail.sender, config.profile) {
        (Some(MailSender::None), _) | (None, Profile::Production) => None,
        (None, Profile::Development) => Some(MailSender::Folder),
        (chosen, _) => chosen,
    }
}

/// Returns what sends mail, if anything does.
///
/// # Errors
/// `mail.from` is no address, a server's name is none, the folder can't be made.
pub fn mailer(config: &Config) -> anyhow::Result<Option<Arc<dyn Mailer>>> {
    let Some(sender) = sender(config) else { return Ok(None) };
    let from: Mailbox =
        config.mail.from.parse().context("mail.from must be an address, with or without a name before it")?;
    let mailer: Arc<dyn Mailer> = match sender {
        MailSender::None => return Ok(None),
        MailSender::Smtp => Arc::new(Smtp::new(&config.mail.smtp, from)?),
        MailSender::Folder => {
            let folder = config.mail.folder.clone();
            Arc::new(Folder::new(folder.unwrap_or_else(|| config.state_dir.0.join("mail")), from))
        }
    };
    Ok(Some(mailer))
}

/// Sends what waits, as soon as it waits, until the task is ended.
pub async fn relay(platform: Platform, mailer: Option<Arc<dyn Mailer>>) {
    let Some(mailer) = mailer else { return };
    let mut ticks = tokio::time::interval(RELAY_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = platform.identity.mail_waits() => {}
        }
        match platform.identity.relay_mail(mailer.as_ref()).await {
            Ok(done) => {
                for (fate, count) in
                    [("sent", done.sent), ("put_off", done.put_off), ("dropped", done.dropped)]
                {
                    metrics::counter!("clinicx_mails_total", "fate" => fate).increment(u64::from(count));
                }
            }
            Err(error) => tracing::warn!(%error, "waiting mail could not be looked at"),
        }
    }
}

/// Writes a mail in the form in which it travels.
fn message(mail: &Mail, from: &Mailbox) -> Result<Message, MailError> {
    let to = mail.to.parse().map_err(|_| MailError::Refused)?;
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(&mail.subject)
        // No answer comes from a machine that is on holiday (RFC 3834 section 5).
        .raw_header(lettre::message::header::HeaderValue::new(
            lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text.clone())
        .map_err(|_| MailError::Refused)
}
