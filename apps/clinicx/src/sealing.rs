//! The audit's sealing: the log's key, and the task that seals what has come.

use std::{sync::Arc, time::Duration};

use clinicx_audit::{
    AuditError, SigningKey, VerifyingKey,
    seal::{self, Sealed, Turn},
};
use clinicx_persistence::SystemConnection;

use crate::{config::Config, keys, said::wrong_setting};

/// How long the end of a process waits for its last rows to be sealed.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// After how many turns one after the other that somebody else had it is asked whether rows are sealed at all.
const MISSED_TURNS: u32 = 12;

/// The key of the log, and those that signed before it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogKeys {
    /// The key that signs.
    pub signing: Arc<SigningKey>,
    /// The public keys whose checkpoints are known.
    pub former: Arc<[VerifyingKey]>,
}

impl LogKeys {
    /// Reads them from the configuration; in development a key is made when none is configured.
    ///
    /// # Errors
    /// A key that is none, a name that is none.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let seed = keys::audit_seed(config)?;
        let signing = SigningKey::from_seed(&config.audit.log_name, &seed)
            .map_err(|error| anyhow::anyhow!("audit.log_name and audit.signing_key: {error}"))?;
        Ok(Self { signing: Arc::new(signing), former: former(config)?.into() })
    }

    /// Returns every key whose checkpoints are known.
    pub fn known(&self) -> Vec<VerifyingKey> {
        let mut keys = self.former.to_vec();
        keys.push(self.signing.verifying_key());
        keys
    }

    /// Seals what is pending.
    ///
    /// # Errors
    /// The log's end is not what was signed; the database refuses.
    pub async fn seal(&self, control: &SystemConnection, turn: Turn) -> Result<Sealed, AuditError> {
        seal::seal(control, &self.signing, &self.former, turn).await
    }
}

/// Reads the public keys of `audit.former_public_keys`.
///
/// # Errors
/// A text that is no public key.
pub fn former(config: &Config) -> anyhow::Result<Vec<VerifyingKey>> {
    let keys = config.audit.former_public_keys.iter().map(|text| text.parse());
    keys.collect::<Result<_, _>>().map_err(|error| wrong_setting("audit.former_public_keys", error))
}

/// Seals once more before the process ends; the database does not keep it from ending.
pub async fn last(keys: &LogKeys, control: &SystemConnection) {
    let sealing = once(keys, control, Turn::Wait);
    if tokio::time::timeout(LAST_WAIT, sealing).await.is_err() {
        tracing::warn!("the last audit rows are not sealed; another process or the next start does it");
    }
}

/// Seals every few seconds, unless another process is at it; never ends by itself.
pub async fn run(keys: LogKeys, control: SystemConnection, every: Duration) {
    let every = every.max(Duration::from_millis(100));
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut missed = 0_u32;
    loop {
        ticks.tick().await;
        missed = match once(&keys, &control, Turn::IfFree).await {
            Outcome::Missed => missed.saturating_add(1),
            Outcome::Sealed => {
                unsealed(Duration::ZERO);
                0
            }
            Outcome::Failed => 0,
        };
        if missed > 0 && missed.is_multiple_of(MISSED_TURNS) {
            look(&control, every).await;
        }
    }
}

/// Whoever else has the turn may seal, or may only hold the lock: any role that a transaction runs as can take it.
async fn look(control: &SystemConnection, every: Duration) {
    match seal::oldest_unsealed(control).await {
        Ok(waits) => {
            let waits = waits.unwrap_or_default();
            unsealed(waits);
            if waits > every.saturating_mul(MISSED_TURNS) {
                tracing::warn!(
                    age_s = waits.as_secs(),
                    "audit rows are not sealed: another session holds the turn and does not use it"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "it can't be told whether audit rows are sealed"),
    }
}

/// Tells for how long the oldest row waits for its sealing.
fn unsealed(waits: Duration) {
    metrics::gauge!("clinicx_audit_unsealed_seconds").set(waits.as_secs_f64());
}

/// How a turn of sealing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to seal.
    Sealed,
    /// Another session has the turn.
    Missed,
    /// It could not be done, which was said.
    Failed,
}

/// Seals what is pending, and says when that can't be done.
pub async fn once(keys: &LogKeys, control: &SystemConnection, turn: Turn) -> Outcome {
    match keys.seal(control, turn).await {
        Ok(Sealed { missed: true, .. }) => Outcome::Missed,
        Ok(Sealed { checkpoint, .. }) => {
            if let Some((checkpoint, _)) = checkpoint {
                let count = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
                metrics::gauge!("clinicx_audit_log_size").set(count(checkpoint.size));
            }
            Outcome::Sealed
        }
        Err(AuditError::Tampered) => {
            metrics::counter!("clinicx_audit_seal_failures_total").increment(1);
            tracing::error!("the audit log is not what was sealed; run `clinicx audit verify`");
            Outcome::Failed
        }
        Err(error) => {
            metrics::counter!("clinicx_audit_seal_failures_total").increment(1);
            tracing::warn!(%error, "audit rows could not be sealed; they will be later");
            Outcome::Failed
        }
    }
}
