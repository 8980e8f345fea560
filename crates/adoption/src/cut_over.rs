//! The last steps of a move: catching up, holding the clinic's writers up, looking once more, and the switch.
//!
//! The order is what makes it safe: the gate is closed for good before the tenant answers. A crash between the two leaves
//! a clinic that nobody can write to, and a state from which the next run goes on.

use std::{collections::BTreeMap, time::Duration};

use clinicx_persistence::SystemExecutor;
use clinicx_tenancy::PlatformScope;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::{
    decide,
    error::AdoptionError,
    legacy::{Change, Closed, Gate, Reader},
    mapping::TenantMapping,
    report::{self, Verified},
    round::{Move, Scope},
    run::{Adopted, Adopter, Target, counts},
    store::{self, State},
    verify::{self, Which},
};

/// How often the writers are held up before it is given up.
const TRIES: u32 = 10;
/// How many changes may be left when they are held up.
const FEW: usize = 200;
/// How many rounds of catching up are made for that.
const ROUNDS: u32 = 20;
/// The part of the pause that comparing every row may take; else those are compared that were written since all were.
const COMPARING: u32 = 4;

/// Catches up and switches, with the gate.
pub(crate) async fn watched(
    adopter: &Adopter,
    (clinic, target): (&TenantMapping, &Target),
    (moving, reader): (&mut Move<'_>, &mut Reader),
    mut gate: Gate,
    adopted: &mut Adopted,
    by: &PlatformScope,
) -> Result<(), AdoptionError> {
    for tried in 1..=TRIES {
        adopted.caught_up += catch_up(clinic, moving, reader, &mut gate).await?;
        let started = Instant::now();
        // What is left is for the switch itself, which is some tens of milliseconds.
        let until = started + adopter.max_pause * 17 / 20;
        // Half of the time is for those who are under way, half for what is done while the others wait.
        let closed = match gate.close(&clinic.legacy, adopter.max_pause / 2).await {
            Ok(closed) => closed,
            Err(failure) if failure.sqlstate() == Some("55P03") => {
                tracing::info!(attempt = tried, "writers are under way for too long; tried again");
                tokio::time::sleep(Duration::from_millis(200 * u64::from(tried))).await;
                continue;
            }
            Err(failure) => return Err(failure.into()),
        };
        match timeout_at(until, last_look(adopter, target, (moving, reader), closed)).await {
            Ok(Ok((closed, verified, changes))) => {
                adopted.caught_up += changes;
                adopted.verified = verified;
                adopter.control().execute(store::reach(target.tenant.id, State::Switching, by.now())).await?;
                closed.for_good().await?;
                let pause = i32::try_from(started.elapsed().as_millis()).unwrap_or(i32::MAX);
                open(adopter, (clinic, target), moving, Some(pause), by).await?;
                adopted.pause_ms = Some(i32::try_from(started.elapsed().as_millis()).unwrap_or(i32::MAX));
                adopted.misfits = report::grouped(&moving.book.misfits);
                adopted.state = Some(State::Switched);
                gate.leave().await;
                return Ok(());
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                tracing::info!(attempt = tried, "it would have taken too long; the writers go on");
                // What was under way is not known, and the snapshot may still be open: everything is looked at anew.
                *reader = Reader::open(&adopter.reader, &adopter.mapping).await?;
                gate.take(&clinic.legacy).await?;
                moving.all(reader).await?;
                adopter.end_round(target, &moving.book, by).await?;
                adopter.compare(target, moving).await?;
            }
        }
    }
    Err(AdoptionError::TooSlow { limit: adopter.max_pause, tries: TRIES })
}

/// Switches a clinic of which somebody else says that nobody writes to it; the round before this was the last.
pub(crate) async fn unwatched(
    adopter: &Adopter,
    (clinic, target): (&TenantMapping, &Target),
    moving: &Move<'_>,
    adopted: &mut Adopted,
    by: &PlatformScope,
) -> Result<(), AdoptionError> {
    open(adopter, (clinic, target), moving, None, by).await?;
    adopted.state = Some(State::Switched);
    Ok(())
}

/// Makes rounds until little has changed since the last one.
async fn catch_up(
    clinic: &TenantMapping,
    moving: &mut Move<'_>,
    reader: &mut Reader,
    gate: &mut Gate,
) -> Result<u64, AdoptionError> {
    let mut all = 0;
    for _ in 0..ROUNDS {
        let changes = gate.take(&clinic.legacy).await?;
        if changes.is_empty() {
            break;
        }
        let number = changes.len();
        all += u64::try_from(number).unwrap_or(u64::MAX);
        moving.changed(reader, changes).await?;
        if number <= FEW {
            break;
        }
    }
    Ok(all)
}

/// What is done while the writers wait: the last changes, and the last comparison.
async fn last_look(
    adopter: &Adopter,
    target: &Target,
    (moving, reader): (&mut Move<'_>, &mut Reader),
    mut closed: Closed,
) -> Result<(Closed, Vec<Verified>, u64), AdoptionError> {
    let changes = closed.take().await?;
    let number = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    moving.changed(reader, changes).await?;
    let is_fast = moving.comparing * COMPARING <= adopter.max_pause;
    let which = if is_fast { Which::All } else { Which::These(&moving.written) };
    let things = adopter.mapping.tables.keys().copied();
    let crypto = (&target.scope, &target.cipher);
    let verified = verify::all(&target.connection, crypto, things, (&moving.book, which)).await?;
    match verify::require_same(&verified) {
        Ok(()) => Ok((closed, verified, number)),
        Err(error) => {
            closed.undo().await;
            Err(error)
        }
    }
}

/// Lets the tenant answer.
async fn open(
    adopter: &Adopter,
    (clinic, target): (&TenantMapping, &Target),
    moving: &Move<'_>,
    pause_ms: Option<i32>,
    by: &PlatformScope,
) -> Result<(), AdoptionError> {
    let id = target.tenant.id;
    let what = json!({
        "rows": counts(&moving.book), "misfits": moving.book.misfits.len(), "mapping": adopter.mapping.digest,
    });
    let also = vec![store::switched(id, pause_ms, by.now())];
    adopter.tenancy.open_closed(&clinic.slug, by, what, also).await?;
    // Not in the pause: it may be long.
    adopter.end_round(target, &moving.book, by).await
}

impl Move<'_> {
    /// Looks at what has changed.
    async fn changed(&mut self, reader: &mut Reader, changes: Vec<Change>) -> Result<(), AdoptionError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut scope: Scope = BTreeMap::new();
        for change in changes {
            match change.key {
                Some(key) => decide::add(&mut scope, (change.thing, key)),
                None => {
                    self.all(reader).await?;
                    return Ok(());
                }
            }
        }
        self.round(reader, scope).await.map(drop)
    }
}
