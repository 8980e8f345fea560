//! For whom of the fleet there is something to do, and what.

use std::collections::BTreeSet;

use clinicx_types::id::TenantId;

use super::{
    check::{self, Checked},
    run::{RunError, RunOptions},
    standing::{Standing, standings_to},
    wave::{self, Wave},
};
use crate::{
    owner::OwnerLogin,
    tenant::{
        apply::{Direction, Fences, Subject},
        limits::Limits,
        plan::{Plan, Work},
    },
};

/// A tenant for which there is something to do, or nothing can be done.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// The tenant, by the registry.
    pub standing: Standing,
    /// When it goes.
    pub wave: Wave,
    /// How far its modules go.
    pub limits: Limits,
    /// What lies between, by its own ledger; why nothing can be done otherwise.
    pub work: Result<Work, String>,
}

/// Tells what a run would do now, and changes nothing.
///
/// # Errors
/// [`RunError`].
pub async fn preview(
    login: &OwnerLogin,
    plan: &Plan,
    options: &RunOptions,
) -> Result<Vec<Surveyed>, RunError> {
    let tx = login.open().await?.begin("SET TRANSACTION READ ONLY").await?;
    let standings = standings_to(&tx, plan, &options.target).await?;
    tx.rollback().await?.close().await;
    require_known(&standings, options)?;
    let chosen =
        standings.into_iter().filter(|one| options.only.is_empty() || options.only.contains(&one.slug));
    survey(login, plan, options, chosen.collect()).await
}

/// Refuses a slug that names no tenant, before any other is touched.
pub(super) fn require_known(standings: &[Standing], options: &RunOptions) -> Result<(), RunError> {
    let known: BTreeSet<&str> = standings.iter().map(|one| one.slug.as_str()).collect();
    let unknown = options.only.iter().chain(&options.canary).find(|slug| !known.contains(slug.as_str()));
    unknown.map_or(Ok(()), |slug| Err(RunError::UnknownTenant(slug.clone())))
}

/// Tells for whom of the chosen there is something to do, and for whom nothing can be done; by slug.
pub(super) async fn survey(
    login: &OwnerLogin,
    plan: &Plan,
    options: &RunOptions,
    chosen: Vec<Standing>,
) -> Result<Vec<Surveyed>, RunError> {
    let mut able: Vec<(Standing, Limits)> = Vec::new();
    let mut all = Vec::new();
    for one in chosen {
        match one.limits(plan, &options.target) {
            Ok(limits) => able.push((one, limits)),
            Err(why) => all.push(unable(one, Limits::default(), why.to_string())),
        }
    }
    let asked: Vec<(Subject, Limits)> =
        able.iter().map(|(one, limits)| (one.subject.clone(), limits.clone())).collect();
    let mut due = Vec::new();
    for ((one, limits), checked) in able.into_iter().zip(check::check(login, plan, &asked).await?) {
        let Checked { work, version, .. } = checked;
        match work {
            Err(why) => all.push(unable(one, limits, why.to_string())),
            Ok(work) if is_due(&work, options) || version != one.version => {
                due.push((one, limits, work));
            }
            Ok(_) => {}
        }
    }
    let canaries: BTreeSet<TenantId> = due
        .iter()
        .filter(|(one, ..)| options.canary.contains(&one.slug))
        .map(|(one, ..)| one.subject.tenant_id)
        .collect();
    let rings: Vec<_> = due.iter().map(|(one, ..)| (one.subject.tenant_id, one.ring)).collect();
    let waves = wave::assign(&rings, &canaries);
    all.extend(due.into_iter().zip(waves).map(|((standing, limits, work), wave)| Surveyed {
        standing,
        wave,
        limits,
        work: Ok(work),
    }));
    all.sort_by(|a, b| a.standing.slug.cmp(&b.standing.slug));
    Ok(all)
}

fn is_due(work: &Work, options: &RunOptions) -> bool {
    let goes_back = options.direction == Direction::Both && !work.down.is_empty();
    !work.up.is_empty() || goes_back || options.fences == Fences::Always
}

fn unable(standing: Standing, limits: Limits, why: String) -> Surveyed {
    Surveyed { standing, wave: Wave::Rest, limits, work: Err(why) }
}
