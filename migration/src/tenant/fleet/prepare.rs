//! Finds the run that is to be taken up, or makes a new one from what the schemas' own ledgers say.

use std::collections::BTreeSet;

use clinicx_types::{id::TenantId, uuid::Uuid};
use sea_orm::JsonValue;
use sha2::{Digest, Sha256};

use super::{
    desk::{Desk, failed},
    run::{RunError, RunOptions},
    standing::{Standing, standings_to},
    store,
    survey::{Surveyed, require_known, survey},
};
use crate::{
    owner::OwnerLogin,
    tenant::{plan::Plan, render},
};

/// What there is to do.
pub(super) enum Prepared {
    /// Nothing: every tenant is where it is to be.
    Nothing,
    /// A run with rows.
    Run {
        /// The run.
        id: Uuid,
        /// Whether it was there already.
        resumed: bool,
        /// How many tenants there are to be done.
        tenants: usize,
    },
}

/// Finds or makes the run, whose rows are committed by then.
pub(super) async fn prepare(
    desk: &mut Desk,
    login: &OwnerLogin,
    plan: &Plan,
    options: &RunOptions,
) -> Result<Prepared, RunError> {
    let tx = desk.begin().await?;
    let standings = standings_to(&tx, plan, &options.target).await?;
    require_known(&standings, options)?;
    let digest = digest(plan, options);
    if let Some(open) = store::open(&tx).await.map_err(failed)? {
        if open.digest == digest {
            store::resume(&tx, open.id, options.retry_failed).await.map_err(failed)?;
            let counts = store::counts(&tx, open.id, None).await.map_err(failed)?;
            let pending = counts.iter().filter(|count| count.state == "pending");
            let pending: i64 = pending.map(|count| count.tenants).sum();
            desk.commit(tx).await?;
            let tenants = usize::try_from(pending).unwrap_or_default();
            tracing::debug!(run.id = %open.id, "a run over the fleet is taken up");
            return Ok(Prepared::Run { id: open.id, resumed: true, tenants });
        }
        let why = "another was begun that asks for something else";
        store::end(&tx, open.id, "superseded", Some(why)).await.map_err(failed)?;
    }
    let retried: Option<BTreeSet<TenantId>> = match options.retry_failed {
        true => Some(store::failed_last(&tx).await.map_err(failed)?.into_iter().collect()),
        false => None,
    };
    // The ledgers are read on connections of their own; nothing is held meanwhile.
    desk.commit(tx).await?;
    let is_chosen = |one: &Standing| {
        (options.only.is_empty() || options.only.contains(&one.slug))
            && retried.as_ref().is_none_or(|retried| retried.contains(&one.subject.tenant_id))
    };
    let chosen = standings.into_iter().filter(is_chosen).collect();
    let survey = survey(login, plan, options, chosen).await?;
    if survey.is_empty() {
        return Ok(Prepared::Nothing);
    }
    let new: Vec<store::New> = survey.into_iter().map(row).collect();
    let tenants = new.iter().filter(|one| one.skipped.is_none()).count();
    let tx = desk.begin().await?;
    store::begin(&tx, options.id, &digest, &options.target.to_string()).await.map_err(failed)?;
    store::add(&tx, options.id, &new).await.map_err(failed)?;
    let after =
        [("target", JsonValue::from(options.target.to_string())), ("tenants", JsonValue::from(tenants))];
    let after = after.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    store::record(&tx, options.id, "fleet.migration_began", JsonValue::Object(after))
        .await
        .map_err(failed)?;
    desk.commit(tx).await?;
    Ok(Prepared::Run { id: options.id, resumed: false, tenants })
}

fn row(one: Surveyed) -> store::New {
    store::New {
        tenant_id: one.standing.subject.tenant_id,
        wave: one.wave,
        limits: one.limits,
        from_version: one.standing.version.to_string(),
        skipped: one.work.err(),
    }
}

/// Digests what is asked for and by which migrations: whoever asks for the same goes on with the same run.
fn digest(plan: &Plan, options: &RunOptions) -> String {
    let mut hash = Sha256::new();
    for one in plan.migrations() {
        hash.update(format!("{}/{}/{}\n", one.module, one.migration.name, one.checksum).as_bytes());
    }
    let RunOptions { only, target, direction, fences, .. } = options;
    hash.update(format!("{target} {direction:?} {fences:?} {only:?}").as_bytes());
    render::hex(&hash.finalize())
}
