//! Sends what waits.

use clinicx_types::id::RequestId;

use super::{
    Letter, Mail, MailError, Mailer, language_of,
    outbox::{self, Claimed},
};
use crate::{
    error::IdentityError,
    identity::{Identity, settle},
    scope::Origin,
};

/// How many letters one call takes up; the next call goes on.
const BATCH: u32 = 50;

/// What one call of [`Identity::relay_mail`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Mails that were sent.
    pub sent: u32,
    /// Mails that will be tried again.
    pub put_off: u32,
    /// Letters that were removed unsent: refused for good, unreadable, or for an address that is no account's.
    pub dropped: u32,
}

/// What became of one letter.
enum Fate {
    Sent,
    PutOff,
    Dropped,
    /// It has become another letter, which waits.
    Replaced,
}

impl Identity {
    /// Sends the mail that waits, each at least once; for a job that runs every few seconds and after
    /// [`Identity::mail_waits`]. Several processes share the work.
    ///
    /// # Errors
    /// What the database answers; a mail that can't be sent is no error and is tried again later.
    #[tracing::instrument(name = "identity.mail.relay", skip_all)]
    pub async fn relay_mail(&self, mailer: &dyn Mailer) -> Result<Relayed, IdentityError> {
        let mut done = Relayed::default();
        for _ in 0..BATCH {
            let claimed = outbox::claim(&self.app, &self.sealing, self.clock.now()).await?;
            let Some(claimed) = claimed else { break };
            let count = match self.relay_one(mailer, &claimed).await? {
                Fate::Sent => &mut done.sent,
                Fate::PutOff => &mut done.put_off,
                Fate::Dropped => &mut done.dropped,
                Fate::Replaced => continue,
            };
            *count = count.saturating_add(1);
        }
        Ok(done)
    }

    /// Waits until this process has put mail into the outbox.
    pub async fn mail_waits(&self) {
        self.mail_waiting.notified().await;
    }

    async fn relay_one(&self, mailer: &dyn Mailer, claimed: &Claimed) -> Result<Fate, IdentityError> {
        match &claimed.letter {
            Some(Letter::Ready(mail)) => self.send_one(mailer, claimed, mail).await,
            Some(Letter::PasswordReset { email, language, request_id, source }) => {
                let origin = Origin { request_id: RequestId::new(*request_id), source: *source };
                let tx = self.app.begin().await?;
                let result = self.answer_reset_in(&tx, email, language_of(language), &origin).await;
                let result = match result {
                    Ok(written) => outbox::remove(&tx, claimed.id).await.map(|_| written).map_err(Into::into),
                    Err(error) => Err(error),
                };
                Ok(if settle(tx, result).await? { Fate::Replaced } else { Fate::Dropped })
            }
            None => {
                tracing::warn!(mail.id = %claimed.id, "a mail can't be read with the present keys and was dropped");
                outbox::remove(&self.app, claimed.id).await?;
                Ok(Fate::Dropped)
            }
        }
    }

    async fn send_one(
        &self,
        mailer: &dyn Mailer,
        claimed: &Claimed,
        mail: &Mail,
    ) -> Result<Fate, IdentityError> {
        match mailer.send(mail).await {
            Ok(()) => {
                outbox::remove(&self.app, claimed.id).await?;
                Ok(Fate::Sent)
            }
            Err(MailError::Refused) => {
                tracing::warn!(mail.id = %claimed.id, "a mail was refused for good and was dropped");
                outbox::remove(&self.app, claimed.id).await?;
                Ok(Fate::Dropped)
            }
            Err(MailError::Unavailable) => {
                tracing::warn!(
                    mail.id = %claimed.id,
                    mail.attempts = claimed.attempts,
                    mail.expires_at = %claimed.expires_at,
                    "a mail can't be sent now and waits"
                );
                outbox::put_off(&self.app, claimed, self.clock.now()).await?;
                Ok(Fate::PutOff)
            }
        }
    }
}
