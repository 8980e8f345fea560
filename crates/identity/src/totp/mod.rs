//! The second factor: one-time passwords (RFC 6238) and recovery codes.
//!
//! A code is six digits of HMAC-SHA-1 over a step of thirty seconds, as authenticator programs make it; the step
//! before and the step after are accepted too, and none twice. The shared secret is sealed for its user; recovery
//! codes are kept as digests.

mod recovery;

use chrono::{DateTime, TimeDelta, Utc};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::id::{SessionId, UserId};
use rand::{TryRng, rngs::SysRng};
use schemars::JsonSchema;
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde::Serialize;
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};

use crate::{
    attempt::{self, Standing, Subject},
    audit,
    email::EmailAddress,
    error::IdentityError,
    identity::{Identity, settle},
    principal::Principal,
    scope::{IdentityScope, Origin},
    sealing::Purpose,
    secret::Password,
    session::{self, End},
    token::TokenError,
    user,
};

/// The bytes of a secret, as RFC 4226 section 4 recommends.
const SECRET_BYTES: usize = 20;
const ISSUER: &str = "ClinicX";
/// How long a secret waits to be confirmed.
const CONFIRM_WITHIN: TimeDelta = TimeDelta::minutes(15);

/// What an authenticator program needs. Its `Debug` text shows nothing of it.
#[derive(Clone, Serialize, JsonSchema)]
pub struct TotpEnrolment {
    /// The shared secret in base32, to be typed.
    pub secret: String,
    /// The same as an `otpauth` address, to be shown as a QR code.
    pub otpauth_uri: String,
}

impl std::fmt::Debug for TotpEnrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpEnrolment(..)")
    }
}

/// Codes that stand in for the authenticator, once each. They are shown this one time.
#[derive(Clone, Serialize, JsonSchema)]
pub struct RecoveryCodes {
    /// The codes.
    pub recovery_codes: Vec<String>,
}

impl std::fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryCodes(..)")
    }
}

/// A code that fits, and was not used up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fitting {
    /// The account has no second factor.
    NotNeeded,
    /// A one-time password of this step.
    Step(i64),
    /// A recovery code, by its digest.
    Recovery(Vec<u8>),
}

impl Fitting {
    /// Returns the word for it in audit rows.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::NotNeeded => "none",
            Self::Step(_) => "totp",
            Self::Recovery(_) => "recovery_code",
        }
    }
}

/// What came of a code that was to confirm a secret.
enum Confirmation {
    /// It fits; these sessions were ended.
    Done(Vec<SessionId>),
    /// It does not, which was counted; how the door stood.
    Wrong(Standing),
}

/// What is known of an account's second factor.
#[derive(FromQueryResult)]
struct Row {
    secret: Vec<u8>,
    created_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
    last_step: i64,
}

impl Identity {
    /// Begins to enrol the caller: draws a secret, which counts when it is confirmed. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::WrongPassword`], [`IdentityError::TooManyAttempts`]; [`IdentityError::TotpEnrolled`] for who
    /// has a second factor already.
    #[tracing::instrument(name = "identity.totp.enrol", skip_all, fields(request.id = %origin.request_id))]
    pub async fn enrol_totp(
        &self,
        principal: &Principal,
        password: &Password,
        origin: &Origin,
    ) -> Result<TotpEnrolment, IdentityError> {
        let (proven, turn) = self.prove(principal, password, origin).await?;
        drop(turn);
        let mut bytes = [0_u8; SECRET_BYTES];
        SysRng.try_fill_bytes(&mut bytes).map_err(|_| IdentityError::Crypto("no randomness"))?;
        let enrolment = enrolment(&bytes, proven.email.as_str())?;
        let sealed = self.sealing.seal(Purpose::TotpSecret, principal.user_id.uuid(), &bytes)?;
        let tx = self.app.begin().await?;
        let result = async {
            self.still_proven(&tx, principal, &proven).await?;
            let (id, now) = (principal.user_id, self.clock.now());
            let begun = tx
                .execute(raw_sql!(
                    Postgres,
                    r#"INSERT INTO public.totp_secrets AS t (user_id, secret, created_at)
                       VALUES ({id}, {sealed}, {now})
                       ON CONFLICT (user_id) DO UPDATE
                       SET secret = EXCLUDED.secret, last_step = 0, created_at = EXCLUDED.created_at
                       WHERE t.confirmed_at IS NULL"#
                ))
                .await?;
            if begun == 0 {
                return Err(IdentityError::TotpEnrolled);
            }
            self.forget_failures(&tx, &proven).await?;
            self.record_totp(&tx, "user.totp_begun", principal, json!({}), origin).await
        }
        .await;
        settle(tx, result).await?;
        Ok(enrolment)
    }

    /// Confirms the secret with a code of it. From now on a log-in needs one, and every other session of the account
    /// ends, because it came without. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::Invalid`] for a code that does not fit, which counts as a failed log-in;
    /// [`IdentityError::TooManyAttempts`]; [`IdentityError::TotpEnrolled`]; [`IdentityError::NotFound`] when nothing was
    /// begun in the last fifteen minutes.
    #[tracing::instrument(name = "identity.totp.confirm", skip_all, fields(request.id = %origin.request_id))]
    pub async fn confirm_totp(
        &self,
        principal: &Principal,
        code: &str,
        origin: &Origin,
    ) -> Result<RecoveryCodes, IdentityError> {
        let codes = recovery::draw()?;
        let user = user::find_by_id(&self.app, principal.user_id).await?;
        let user = user.ok_or(IdentityError::InvalidToken(TokenError::Session))?;
        let email =
            EmailAddress::parse(&user.email).map_err(|_| IdentityError::InvalidToken(TokenError::Session))?;
        let subject = Subject::new(&self.attempts_key, email.key(), origin.source);
        let tx = self.app.begin().await?;
        let result: Result<Confirmation, IdentityError> = async {
            // Whoever guesses at once stands in line here, and is counted before the next.
            lock_user(&tx, principal.user_id).await?;
            let (id, now) = (principal.user_id, self.clock.now());
            let row = find(&tx, id).await?.filter(|row| {
                row.confirmed_at.is_some() || now.signed_duration_since(row.created_at) < CONFIRM_WITHIN
            });
            let row = row.ok_or(IdentityError::NotFound { thing: "enrolment" })?;
            if row.confirmed_at.is_some() {
                return Err(IdentityError::TotpEnrolled);
            }
            let standing = attempt::standing(&tx, &self.settings, &subject, email.key(), now).await?;
            if let Standing::Closed { retry_after } = standing {
                return Err(IdentityError::TooManyAttempts { retry_after });
            }
            let Some(step) = self.step_of(id, &row, code) else {
                self.fail_in(&tx, &subject, "wrong_totp", Some(id), origin).await?;
                return Ok(Confirmation::Wrong(standing));
            };
            tx.execute(raw_sql!(
                Postgres,
                r#"UPDATE public.totp_secrets SET confirmed_at = {now}, last_step = {step} WHERE user_id = {id}"#
            ))
            .await?;
            recovery::replace(&tx, id, &codes, now).await?;
            let keep = Some(principal.session_id);
            let ended = session::end_all_of(&tx, id, End::FactorChanged, now, keep).await?;
            let after = json!({ "totp": true, "sessions_ended": ended.len() });
            self.record_totp(&tx, "user.totp_enabled", principal, after, origin).await?;
            Ok(Confirmation::Done(ended))
        }
        .await;
        let ended = match settle(tx, result).await? {
            Confirmation::Done(ended) => ended,
            Confirmation::Wrong(standing) => {
                let detail = "is not the code of the present time";
                return Err(standing.refusal(IdentityError::invalid("/code", "wrong_code", detail)));
            }
        };
        self.principals.end(&ended).await;
        self.principals.forget(principal.session_id).await;
        Ok(RecoveryCodes { recovery_codes: codes })
    }

    /// Gives the second factor up, with the password and a code. Writes an audit row.
    ///
    /// # Errors
    /// [`IdentityError::WrongPassword`], [`IdentityError::InvalidTotp`], which count as failed log-ins;
    /// [`IdentityError::TooManyAttempts`]; [`IdentityError::NotFound`] for who has none.
    #[tracing::instrument(name = "identity.totp.disable", skip_all, fields(request.id = %origin.request_id))]
    pub async fn disable_totp(
        &self,
        principal: &Principal,
        (password, code): (&Password, &str),
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let (proven, turn) = self.prove(principal, password, origin).await?;
        let id = principal.user_id;
        let fitting = self.fitting(id, code).await?;
        let tx = self.app.begin().await?;
        let result = async {
            self.still_proven(&tx, principal, &proven).await?;
            match &fitting {
                Some(Fitting::NotNeeded) => Err(IdentityError::NotFound { thing: "second factor" }),
                Some(fitting) => self.use_up(&tx, id, fitting).await,
                None => Err(IdentityError::InvalidTotp),
            }?;
            remove(&tx, id).await?;
            self.forget_failures(&tx, &proven).await?;
            self.record_totp(&tx, "user.totp_disabled", principal, json!({ "totp": false }), origin).await
        }
        .await;
        let result = settle(tx, result).await;
        if matches!(result, Err(IdentityError::InvalidTotp)) {
            self.fail(&proven.subject, "wrong_totp", Some(id), origin).await?;
        }
        drop(turn);
        self.principals.forget(principal.session_id).await;
        result.map_err(|error| match error {
            IdentityError::InvalidTotp => proven.standing.refusal(error),
            other => other,
        })
    }

    /// Takes the second factor of an account away whose owner has lost it, and ends its sessions; for a command.
    /// Writes an audit row.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn reset_totp(&self, scope: &IdentityScope, id: UserId) -> Result<(), IdentityError> {
        let tx = self.app.begin().await?;
        let result = async {
            remove(&tx, id).await?;
            let ended = session::end_all_of(&tx, id, End::FactorChanged, scope.now(), None).await?;
            let after = json!({ "totp": false, "sessions_ended": ended.len() });
            audit::record(&tx, scope, entry("user.totp_reset", id, after)).await?;
            Ok(ended)
        }
        .await;
        let ended = settle(tx, result).await?;
        self.principals.end(&ended).await;
        Ok(())
    }

    /// Finds out whether a code fits the account, without using it up; `None` when it does not.
    pub(crate) async fn fitting(&self, id: UserId, code: &str) -> Result<Option<Fitting>, IdentityError> {
        let row = find(&self.app, id).await?.filter(|row| row.confirmed_at.is_some());
        let Some(row) = row else { return Ok(Some(Fitting::NotNeeded)) };
        if let Some(digest) = recovery::digest(id, code) {
            let known = recovery::is_known(&self.app, id, &digest).await?;
            return Ok(known.then_some(Fitting::Recovery(digest)));
        }
        Ok(self.step_of(id, &row, code).map(Fitting::Step))
    }

    /// Uses a code up: of two log-ins with one code, one succeeds.
    ///
    /// # Errors
    /// [`IdentityError::InvalidTotp`] when it was used meanwhile; [`IdentityError::TotpRequired`] when a second factor
    /// came into being meanwhile.
    pub(crate) async fn use_up(
        &self,
        tx: &SystemTransaction,
        id: UserId,
        fitting: &Fitting,
    ) -> Result<(), IdentityError> {
        let used = match fitting {
            Fitting::NotNeeded => {
                return if is_enrolled(tx, id).await? { Err(IdentityError::TotpRequired) } else { Ok(()) };
            }
            Fitting::Step(step) => {
                let step = *step;
                tx.execute(raw_sql!(
                    Postgres,
                    r#"UPDATE public.totp_secrets
                       SET last_step = {step}
                       WHERE user_id = {id} AND confirmed_at IS NOT NULL AND last_step < {step}"#
                ))
                .await?
            }
            Fitting::Recovery(digest) => recovery::use_up(tx, id, digest).await?,
        };
        if used == 0 { Err(IdentityError::InvalidTotp) } else { Ok(()) }
    }

    /// Returns the step of a code that is new.
    fn step_of(&self, id: UserId, row: &Row, code: &str) -> Option<i64> {
        let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let Some(secret) = self.sealing.open(Purpose::TotpSecret, id.uuid(), &row.secret) else {
            tracing::error!(user.id = %id, "a second factor can't be opened with the present keys");
            return None;
        };
        let totp = totp(&secret, None).ok()?;
        let now = u64::try_from(self.clock.now().timestamp()).ok()?;
        let step = i64::try_from(totp.check(&digits, now)?).ok()?;
        (step > row.last_step).then_some(step)
    }

    async fn record_totp(
        &self,
        tx: &SystemTransaction,
        action: &'static str,
        principal: &Principal,
        after: serde_json::Value,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let scope = self.scope(principal.actor(), *origin);
        Ok(audit::record(tx, &scope, entry(action, principal.user_id, after)).await?)
    }
}

fn entry(action: &'static str, id: UserId, after: serde_json::Value) -> audit::Entry {
    audit::Entry {
        action,
        entity: "user",
        entity_id: Some(id.uuid()),
        tenant: None,
        before: None,
        after: Some(after),
    }
}

fn totp(secret: &[u8], account: Option<&str>) -> Result<Totp, IdentityError> {
    let mut builder = Builder::new().with_secret(Secret::new(secret.into())).with_issuer(Some(ISSUER));
    if let Some(account) = account {
        // A colon parts issuer and account.
        builder = builder.with_account_name(account.replace(':', "_"));
    } else {
        builder = builder.with_account_name("account");
    }
    builder.build().map_err(|_| IdentityError::Crypto("one-time password"))
}

fn enrolment(secret: &[u8], account: &str) -> Result<TotpEnrolment, IdentityError> {
    let totp = totp(secret, Some(account))?;
    let otpauth_uri = totp.to_url().map_err(|_| IdentityError::Crypto("otpauth address"))?;
    Ok(TotpEnrolment { secret: totp.secret().to_base32(), otpauth_uri })
}

async fn find(db: &impl SystemExecutor, id: UserId) -> Result<Option<Row>, DbErr> {
    db.query_one(raw_sql!(
        Postgres,
        r#"SELECT secret, created_at, confirmed_at, last_step FROM public.totp_secrets WHERE user_id = {id}"#
    ))
    .await
}

/// Tells whether an account has a second factor that was confirmed.
pub(crate) async fn is_enrolled(db: &impl SystemExecutor, id: UserId) -> Result<bool, DbErr> {
    Ok(find(db, id).await?.is_some_and(|row| row.confirmed_at.is_some()))
}

async fn lock_user(tx: &SystemTransaction, id: UserId) -> Result<(), DbErr> {
    tx.execute(raw_sql!(Postgres, r#"SELECT id FROM public.users WHERE id = {id} FOR NO KEY UPDATE"#))
        .await
        .map(|_| ())
}

async fn remove(tx: &SystemTransaction, id: UserId) -> Result<(), DbErr> {
    tx.execute(raw_sql!(Postgres, r#"DELETE FROM public.totp_secrets WHERE user_id = {id}"#)).await?;
    recovery::remove_all(tx, id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, whose eight digits end in the six that are used here.
    #[test]
    fn codes_are_those_of_the_standard() {
        let totp = totp(b"12345678901234567890", None).unwrap();
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(totp.check(code, time), Some(time / 30), "{time}");
            assert_eq!(totp.check(code, time + 30), Some(time / 30), "{time}");
            assert_eq!(totp.check(code, time + 60), None, "{time}");
        }
    }

    #[test]
    fn an_enrolment_is_read_by_authenticators_and_not_printed() {
        let enrolment = enrolment(&[1; SECRET_BYTES], "ada:x@example.org").unwrap();
        assert!(
            enrolment.otpauth_uri.starts_with("otpauth://totp/ClinicX:ada_x%40example.org?secret="),
            "{}",
            enrolment.otpauth_uri
        );
        assert!(enrolment.otpauth_uri.contains(&enrolment.secret));
        assert_eq!(format!("{enrolment:?}"), "TotpEnrolment(..)");
    }
}
