//! Setting a forgotten password anew, by a link that was mailed or that an administrator hands over.
//!
//! Asking writes one sealed row, whatever the address is; whether there is such an account is looked up later, by
//! whoever relays the mail. Only the digest of a link's token is kept.

use chrono::{DateTime, Utc};
use clinicx_persistence::{Actor, SystemExecutor, SystemTransaction};
use clinicx_types::{id::UserId, lang::Language};
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde_json::json;

use crate::{
    attempt::{self, Subject},
    audit,
    email::{EmailAddress, lookup_key},
    error::IdentityError,
    identity::{Identity, later, settle},
    mail::{self, Letter, Occasion},
    scope::{IdentityScope, Origin},
    secret::{LinkKind, LinkToken, Password},
    totp, user,
};

/// How often a link can be asked for, for one address, in the time in which failures are counted together.
const MAX_FOR_ACCOUNT: u32 = 3;
/// How often from one network.
const MAX_FROM_NETWORK: u32 = 20;

#[derive(FromQueryResult)]
struct Holder {
    user_id: UserId,
    email: String,
}

impl Identity {
    /// Takes up somebody's wish to set a password anew. Does the same whether there is such an account or not.
    ///
    /// # Errors
    /// [`IdentityError::MailNotConfigured`]; [`IdentityError::TooManyAttempts`] for a network that asks too often.
    #[tracing::instrument(name = "identity.password_reset.request", skip_all, fields(request.id = %origin.request_id))]
    pub async fn request_password_reset(
        &self,
        email: &str,
        language: Language,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        self.mail_settings()?;
        let now = self.clock.now();
        let subject = Subject::new(&self.resets_key, &lookup_key(email), origin.source);
        let tx = self.app.begin().await?;
        let result = async {
            let asked = attempt::asked(&tx, &self.settings, &subject, now).await?;
            if asked.by_network >= MAX_FROM_NETWORK {
                return Err(IdentityError::TooManyAttempts { retry_after: self.settings.failure_window });
            }
            attempt::record_asking(&tx, [self.ids.next(), self.ids.next()], &subject, now).await?;
            // An address that was asked for often enough gets no further mail, and nobody is told.
            if asked.for_account < MAX_FOR_ACCOUNT {
                let letter = Letter::PasswordReset {
                    email: email.to_owned(),
                    language: language.tag().to_owned(),
                    request_id: origin.request_id.uuid(),
                    source: origin.source,
                };
                let until = later(now, self.settings.password_reset_ttl);
                mail::enqueue(&tx, &self.sealing, self.ids.next(), &letter, (now, until)).await?;
            }
            Ok(())
        }
        .await;
        settle(tx, result).await?;
        self.mail_waiting.notify_one();
        Ok(())
    }

    /// Writes the mail with the link, if there is an account that can use one; tells whether there is.
    pub(crate) async fn answer_reset_in(
        &self,
        tx: &SystemTransaction,
        email: &str,
        language: Language,
        origin: &Origin,
    ) -> Result<bool, IdentityError> {
        let user = user::find_by_email(tx, email).await?.filter(|user| user.disabled_at.is_none());
        let Some(user) = user else { return Ok(false) };
        let now = self.clock.now();
        let token = LinkToken::draw(LinkKind::PasswordReset)?;
        let until = later(now, self.settings.password_reset_ttl);
        add_reset(tx, user.id, &token, (now, until)).await?;
        let mail =
            mail::compose(self.mail_settings()?, language, &user.email, &Occasion::PasswordReset(&token));
        mail::enqueue(tx, &self.sealing, self.ids.next(), &Letter::Ready(mail), (now, until)).await?;
        audit::record_anonymous(tx, origin, entry("user.password_reset_requested", user.id)).await?;
        Ok(true)
    }

    /// Makes a one-time link's token for an account, to be handed to its owner. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::NotFound`] when there is no such account, or it is disabled.
    pub async fn issue_password_reset(
        &self,
        scope: &IdentityScope,
        email: &str,
    ) -> Result<LinkToken, IdentityError> {
        let tx = self.app.begin().await?;
        let result = async {
            let user = user::find_by_email(&tx, email).await?.filter(|user| user.disabled_at.is_none());
            let user = user.ok_or(IdentityError::NotFound { thing: "user" })?;
            let now = self.clock.now();
            let token = LinkToken::draw(LinkKind::PasswordReset)?;
            add_reset(&tx, user.id, &token, (now, later(now, self.settings.password_reset_ttl))).await?;
            audit::record(&tx, scope, entry("user.password_reset_issued", user.id)).await?;
            Ok(token)
        }
        .await;
        settle(tx, result).await
    }

    /// Sets a new password with a link's token, once, and ends every session of the account. Another factor is still
    /// asked for at the next log-in, and the failures of an account that has one go on counting. Writes audit rows.
    ///
    /// # Errors
    /// [`IdentityError::InvalidLink`] for a token that is unknown, used or too old, or of a disabled account;
    /// [`IdentityError::Invalid`] for a password that is not acceptable, which leaves the token good.
    #[tracing::instrument(name = "identity.password_reset.confirm", skip_all, fields(request.id = %origin.request_id))]
    pub async fn reset_password(
        &self,
        token: &LinkToken,
        new_password: &Password,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let digest = token.digest(LinkKind::PasswordReset).ok_or(IdentityError::InvalidLink)?;
        let holder = find_holder(&self.app, &digest, self.clock.now()).await?;
        let holder = holder.ok_or(IdentityError::InvalidLink)?;
        let email = EmailAddress::parse(&holder.email).map_err(|_| IdentityError::InvalidLink)?;
        let hash = self.passwords.hash(new_password, &email).await.map_err(at_new_password)?;
        let tx = self.app.begin().await?;
        let result = async {
            let used = use_reset(&tx, &digest, self.clock.now()).await?;
            let user = used.filter(|user| *user == holder.user_id).ok_or(IdentityError::InvalidLink)?;
            let scope = self.scope(Actor::User(user), *origin);
            let (_, ended) = user::set_password_and_end(&tx, &scope, user, &hash, (None, None)).await?;
            // Wrong codes are among the failures, and the mailbox would be good for as many guesses again by each reset.
            if !totp::is_enrolled(&tx, user).await? {
                attempt::clear_all(&tx, &Subject::new(&self.attempts_key, email.key(), None)).await?;
            }
            audit::record(&tx, &scope, entry("user.password_reset", user)).await?;
            self.notify_password_changed(&tx, email.as_str()).await?;
            Ok(ended)
        }
        .await;
        let ended = settle(tx, result).await?;
        self.principals.end(&ended).await;
        self.mail_waiting.notify_one();
        Ok(())
    }

    /// Tells the account's owner of the change, where mail is configured.
    pub(crate) async fn notify_password_changed(
        &self,
        tx: &SystemTransaction,
        email: &str,
    ) -> Result<(), IdentityError> {
        let Ok(settings) = self.mail_settings() else { return Ok(()) };
        let mail = mail::compose(settings, Language::default(), email, &Occasion::PasswordChanged);
        let now = self.clock.now();
        let until = later(now, mail::KEPT_FOR);
        mail::enqueue(tx, &self.sealing, self.ids.next(), &Letter::Ready(mail), (now, until)).await
    }
}

/// Names the field as the body of these operations does.
pub(crate) fn at_new_password(error: IdentityError) -> IdentityError {
    match error {
        IdentityError::Invalid(mut fields) => {
            for field in fields.iter_mut().filter(|field| field.pointer == "/password") {
                "/new_password".clone_into(&mut field.pointer);
            }
            IdentityError::Invalid(fields)
        }
        other => other,
    }
}

fn entry(action: &'static str, user: UserId) -> audit::Entry {
    audit::Entry {
        action,
        entity: "user",
        entity_id: Some(user.uuid()),
        tenant: None,
        before: None,
        after: Some(json!({})),
    }
}

async fn add_reset(
    tx: &SystemTransaction,
    user: UserId,
    token: &LinkToken,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), IdentityError> {
    let digest = token.digest(LinkKind::PasswordReset).ok_or(IdentityError::Crypto("digest of a link"))?;
    tx.execute(raw_sql!(
        Postgres,
        r#"INSERT INTO public.password_resets (token_hash, user_id, created_at, expires_at)
           VALUES ({digest}, {user}, {now}, {until})"#
    ))
    .await?;
    Ok(())
}

async fn find_holder(
    db: &impl SystemExecutor,
    digest: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Holder>, DbErr> {
    let digest = digest.to_vec();
    db.query_one(raw_sql!(
        Postgres,
        r#"SELECT u.id AS user_id, u.email
           FROM public.password_resets AS r
           JOIN public.users AS u ON u.id = r.user_id
           WHERE r.token_hash = {digest} AND r.expires_at > {now} AND u.disabled_at IS NULL"#
    ))
    .await
}

#[derive(FromQueryResult)]
struct Used {
    user_id: UserId,
}

/// Takes a token out, so that of two uses at once one succeeds. The account's other tokens go when its password is
/// set.
async fn use_reset(
    tx: &SystemTransaction,
    digest: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<UserId>, DbErr> {
    let digest = digest.to_vec();
    let used: Option<Used> = tx
        .query_one(raw_sql!(
            Postgres,
            r#"DELETE FROM public.password_resets AS r
               USING public.users AS u
               WHERE r.token_hash = {digest} AND r.expires_at > {now} AND u.id = r.user_id AND u.disabled_at IS NULL
               RETURNING r.user_id"#
        ))
        .await?;
    Ok(used.map(|used| used.user_id))
}

/// Makes every link of an account useless.
pub(crate) async fn remove_all_of(db: &impl SystemExecutor, user: UserId) -> Result<(), DbErr> {
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.password_resets WHERE user_id = {user}"#))
        .await
        .map(|_| ())
}

/// Removes links whose time is over.
pub(crate) async fn sweep(db: &impl SystemExecutor, now: DateTime<Utc>) -> Result<u64, DbErr> {
    db.execute(raw_sql!(Postgres, r#"DELETE FROM public.password_resets WHERE expires_at <= {now}"#)).await
}
