//! One round over a clinic's rows: what the old tables give is compared with what is known, and the difference written.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use clinicx_core::{
    CoreError,
    intake::{self, BATCH, Incoming, Thing},
};
use clinicx_persistence::{FailureKind, SystemConnection, TenantConnection, TenantTransaction};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    book::{Book, Hash, Note, Place},
    decide::{self, Decision, Judge, Patience},
    error::AdoptionError,
    legacy::{Reader, Wanted},
    mapping::{Mapping, TableMapping},
    report::{Misfit, TableReport},
    store,
};

/// Where rows go.
pub(crate) enum Sink<'a> {
    /// Nowhere: what would be done is only looked at.
    Nowhere,
    /// Into a tenant, and what has become of each into the system schema.
    Tenant(&'a TenantConnection, &'a SystemConnection),
}

/// One clinic on its way.
pub(crate) struct Move<'a> {
    pub(crate) mapping: &'a Mapping,
    /// What stands in its tenant columns.
    pub(crate) legacy: &'a str,
    pub(crate) judge: Judge<'a>,
    pub(crate) sink: Sink<'a>,
    pub(crate) book: Book,
    /// Told of each row that was read.
    pub(crate) seen: &'a mut (dyn FnMut(u64) + Send),
    /// The rows that were written since all were compared.
    pub(crate) written: BTreeSet<Place>,
    /// How long it took to compare all.
    pub(crate) comparing: Duration,
}

/// A row that is to be written.
struct Due {
    place: Place,
    row: Incoming,
    hash: Hash,
}

/// What a table has come to in a round.
#[derive(Default)]
struct Work {
    report: TableReport,
    /// Rows of which none can be there yet.
    fresh: Vec<Due>,
    /// Rows that are there in another form, or stand in the way of each other.
    late: Vec<Due>,
    /// Rows that are to be removed.
    gone: Vec<(Place, Uuid)>,
    /// Rows that mean something else to those that refer to them.
    turned: Vec<Place>,
}

/// What a round is to read.
pub(crate) type Scope = BTreeMap<Thing, Wanted>;

impl Move<'_> {
    /// Reads everything.
    pub(crate) async fn all(&mut self, reader: &mut Reader) -> Result<Vec<TableReport>, AdoptionError> {
        self.book.release_all();
        let everything = self.mapping.tables.keys().map(|thing| (*thing, Wanted::All)).collect();
        self.round(reader, everything).await
    }

    /// Reads in one snapshot what is wanted, and brings what is known and what is there in line with it.
    pub(crate) async fn round(
        &mut self,
        reader: &mut Reader,
        mut scope: Scope,
    ) -> Result<Vec<TableReport>, AdoptionError> {
        if scope.values().any(|wanted| matches!(wanted, Wanted::Keys(_))) {
            // What did not fit may fit now.
            decide::again(&self.book).into_iter().for_each(|place| decide::add(&mut scope, place));
        }
        reader.enter().await?;
        let done = self.tables(reader, scope).await;
        reader.leave().await?;
        done
    }

    async fn tables(
        &mut self,
        reader: &mut Reader,
        mut scope: Scope,
    ) -> Result<Vec<TableReport>, AdoptionError> {
        let mut reports = Vec::new();
        let mut gone: Vec<(Thing, Vec<(Place, Uuid)>)> = Vec::new();
        for (thing, table) in &self.mapping.tables {
            let mut report = TableReport { table: thing.table(), ..TableReport::default() };
            let mut looked_at: BTreeSet<String> = BTreeSet::new();
            while let Some(wanted) = scope.remove(thing) {
                if let Wanted::Keys(keys) = &wanted {
                    looked_at.extend(keys.iter().cloned());
                }
                let mut work = self.read(reader, (*thing, table), &wanted).await?;
                let removed = self.settle(*thing, &mut work).await?;
                add_up(&mut report, &work.report);
                gone.push((*thing, removed));
                if wanted == Wanted::All {
                    continue;
                }
                // Who refers to a row that means something else now is looked at again; of this table once more.
                for place in &work.turned {
                    for child in self.book.children(place) {
                        if child.0 != *thing || looked_at.insert(child.1.clone()) {
                            decide::add(&mut scope, child.clone());
                        }
                    }
                }
            }
            reports.push(report);
        }
        // Whoever refers to a row has gone before it.
        for (thing, places) in gone.into_iter().rev() {
            self.remove(thing, places).await?;
        }
        Ok(reports)
    }

    /// Reads the rows of one table and decides of each.
    async fn read(
        &mut self,
        reader: &mut Reader,
        (thing, table): (Thing, &TableMapping),
        wanted: &Wanted,
    ) -> Result<Work, AdoptionError> {
        let mut work = Work::default();
        let mut before: BTreeMap<String, (bool, Note)> = BTreeMap::new();
        if let Wanted::Keys(keys) = wanted {
            for key in keys {
                let place = (thing, key.clone());
                let known = self.book.find(&place);
                before.insert(key.clone(), known.map_or((false, Note::Nothing), |one| (one.fits, one.note)));
                self.book.release(&place);
            }
        }
        let mut met: BTreeSet<String> = BTreeSet::new();
        let mut waiting: Vec<(Place, Vec<Option<String>>)> = Vec::new();
        let mut rows = reader.rows(self.mapping, (thing, table), self.legacy, wanted);
        while let Some(read) = rows.try_next().await? {
            work.report.read += 1;
            (self.seen)(1);
            let Some(key) = read.key else {
                self.refuse(&mut work, (thing, String::new()), Misfit::new("", decide::NO_KEY));
                continue;
            };
            let place = (thing, key.clone());
            if !met.insert(key) {
                self.refuse(
                    &mut work,
                    (thing, format!("{} (again)", place.1)),
                    Misfit::new("", decide::DUPLICATE_KEY),
                );
                continue;
            }
            match self.judge.decide(&mut self.book, (&place, table), &read.values, Patience::Wait)? {
                Decision::Later => waiting.push((place, read.values)),
                decision => self.take(&mut work, place, decision)?,
            }
            if work.fresh.len() >= BATCH {
                self.write_fresh(thing, &mut work).await?;
            }
        }
        drop(rows);
        self.decide_waiting(&mut work, table, waiting)?;
        let expected: Vec<String> = match wanted {
            Wanted::All => self.book.keys(thing).filter(|key| !met.contains(*key)).cloned().collect(),
            Wanted::Keys(keys) => keys.iter().filter(|key| !met.contains(*key)).cloned().collect(),
        };
        for key in expected {
            let place = (thing, key);
            self.book.release(&place);
            self.book.misfits.remove(&place);
            let known = self.book.find(&place).cloned().unwrap_or_default();
            if known.may_be_there {
                work.gone.push((place.clone(), known.id));
            }
            self.book.forget(&place);
        }
        for (key, was) in before {
            let place = (thing, key);
            let is = self.book.find(&place).map_or((false, Note::Nothing), |one| (one.fits, one.note));
            if is != was {
                work.turned.push(place);
            }
        }
        Ok(work)
    }

    /// Decides of the rows that waited for others of their table, as long as one of them comes to something.
    fn decide_waiting(
        &mut self,
        work: &mut Work,
        table: &TableMapping,
        mut waiting: Vec<(Place, Vec<Option<String>>)>,
    ) -> Result<(), AdoptionError> {
        let mut patience = Patience::Wait;
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut still = Vec::new();
            for (place, values) in waiting {
                match self.judge.decide(&mut self.book, (&place, table), &values, patience)? {
                    Decision::Later => still.push((place, values)),
                    decision => self.take(work, place, decision)?,
                }
            }
            if still.len() == before {
                patience = Patience::Decide;
            }
            waiting = still;
        }
        Ok(())
    }

    /// Notes what was decided of a row.
    fn take(&mut self, work: &mut Work, place: Place, decision: Decision) -> Result<(), AdoptionError> {
        match decision {
            Decision::Fits(row, note) => {
                let hash = hash_of(&row.shown(self.judge.scope, self.judge.cipher)?);
                work.report.fit += 1;
                self.book.fits(&place, note);
                let known = self.book.find(&place).cloned().unwrap_or_default();
                if known.hash == Some(hash) {
                    return Ok(());
                }
                work.report.written += 1;
                let due = Due { place, row: *row, hash };
                if known.may_be_there {
                    work.late.push(due);
                } else {
                    work.fresh.push(due);
                }
            }
            Decision::Misfit(reasons) => {
                work.report.misfit += 1;
                self.book.release(&place);
                let known = self.book.find(&place).cloned().unwrap_or_default();
                if known.may_be_there {
                    work.gone.push((place.clone(), known.id));
                }
                self.book.does_not_fit(&place, reasons);
            }
            // Who waits is decided of later.
            Decision::Later => {}
        }
        Ok(())
    }

    fn refuse(&mut self, work: &mut Work, place: Place, reason: Misfit) {
        work.report.misfit += 1;
        self.book.misfits.entry(place).or_default().insert(reason);
    }

    /// Writes rows of which none is there. One that stands in the way of another waits until what is to go has gone.
    async fn write_fresh(&mut self, thing: Thing, work: &mut Work) -> Result<(), AdoptionError> {
        let batch = std::mem::take(&mut work.fresh);
        for due in &batch {
            self.book.begins(&due.place);
        }
        match self.write(thing, &batch, &[]).await {
            Err(AdoptionError::Core(CoreError::Database(failure)))
                if matches!(
                    failure.kind,
                    FailureKind::Unique | FailureKind::Exclusion | FailureKind::ForeignKey
                ) =>
            {
                work.late.extend(batch);
                Ok(())
            }
            done => done,
        }
    }

    /// Writes what is left of a table; returns what is to be removed when nobody refers to it any more.
    async fn settle(&mut self, thing: Thing, work: &mut Work) -> Result<Vec<(Place, Uuid)>, AdoptionError> {
        let gone = std::mem::take(&mut work.gone);
        work.report.removed = u64::try_from(gone.len()).unwrap_or(u64::MAX);
        let late = std::mem::take(&mut work.late);
        if !late.is_empty() || !gone.is_empty() {
            let mut in_the_way: Vec<Uuid> = gone.iter().map(|(_, id)| *id).collect();
            for due in &late {
                self.book.begins(&due.place);
                in_the_way.push(due.row.id());
            }
            self.write(thing, &late, &in_the_way).await?;
        }
        if !work.fresh.is_empty() {
            let batch = std::mem::take(&mut work.fresh);
            for due in &batch {
                self.book.begins(&due.place);
            }
            self.write(thing, &batch, &[]).await?;
        }
        Ok(gone)
    }

    /// Writes rows in one transaction, after taking out of their way what stands in it.
    async fn write(&mut self, thing: Thing, due: &[Due], in_the_way: &[Uuid]) -> Result<(), AdoptionError> {
        if let Sink::Tenant(connection, control) = &self.sink {
            let (scope, cipher) = (self.judge.scope, self.judge.cipher);
            // The id stands before the row does: after a crash there is none of which nobody knows.
            store::begin_rows(control, scope.tenant_id, due.iter().map(|one| (&one.place, one.row.id())))
                .await?;
            let tx = connection.begin().await.map_err(CoreError::from)?;
            if !in_the_way.is_empty() {
                make_way(&tx, thing, in_the_way).await?;
            }
            for batch in due.chunks(BATCH) {
                let rows: Vec<Incoming> = batch.iter().map(|one| one.row.clone()).collect();
                intake::write(&tx, scope, cipher, &rows).await?;
            }
            tx.commit().await.map_err(CoreError::from)?;
            store::end_rows(control, scope.tenant_id, due.iter().map(|one| (&one.place, &one.hash))).await?;
        }
        for one in due {
            self.book.written(&one.place, one.hash);
            self.written.insert(one.place.clone());
        }
        Ok(())
    }

    /// Removes rows, and what is known of those that are gone.
    async fn remove(&mut self, thing: Thing, places: Vec<(Place, Uuid)>) -> Result<(), AdoptionError> {
        if places.is_empty() {
            return Ok(());
        }
        if let Sink::Tenant(connection, control) = &self.sink {
            let ids: Vec<Uuid> = places.iter().map(|(_, id)| *id).collect();
            let tx = connection.begin().await.map_err(CoreError::from)?;
            intake::remove(&tx, thing, &ids).await?;
            tx.commit().await.map_err(CoreError::from)?;
            store::forget_rows(control, self.judge.scope.tenant_id, thing, &ids).await?;
        }
        for (place, _) in places {
            self.book.gone(&place);
        }
        Ok(())
    }
}

/// Takes out of the way what rows take up that only one can have. Nothing refers to the last three kinds.
async fn make_way(tx: &TenantTransaction, thing: Thing, ids: &[Uuid]) -> Result<(), CoreError> {
    match thing {
        Thing::Appointment | Thing::WorkingHours | Thing::TimeOff => intake::remove(tx, thing, ids).await,
        Thing::Staff | Thing::Room | Thing::Service | Thing::Patient => intake::loosen(tx, thing, ids).await,
    }
}

fn add_up(sum: &mut TableReport, one: &TableReport) {
    sum.read += one.read;
    sum.fit += one.fit;
    sum.misfit += one.misfit;
    sum.written += one.written;
    sum.removed += one.removed;
}

/// Returns the hash of what is shown of a row.
pub(crate) fn hash_of(shown: &serde_json::Value) -> Hash {
    Sha256::digest(shown.to_string().as_bytes()).into()
}
