//! Reads back what was written, through the same code that answers requests, and compares it with what the old tables
//! give.

use std::collections::{BTreeSet, HashMap};

use clinicx_core::{
    CoreError,
    intake::{self, BATCH, Thing},
};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantConnection, TenantScope};
use uuid::Uuid;

use crate::{
    book::{Book, Hash, Place},
    error::AdoptionError,
    report::{Sum, Verified},
    round::hash_of,
};

/// How many keys are named of rows that differ.
const SHOWN_KEYS: usize = 5;

/// Which rows are compared one by one; they are counted in any case.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    /// All.
    All,
    /// These.
    These(&'a BTreeSet<Place>),
}

impl Which<'_> {
    fn has(self, thing: Thing, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(places) => places.contains(&(thing, key.to_owned())),
        }
    }
}

/// Compares rows of these kinds.
pub(crate) async fn all(
    connection: &TenantConnection,
    (scope, cipher): (&TenantScope, &FieldCipher),
    things: impl Iterator<Item = Thing>,
    (book, which): (&Book, Which<'_>),
) -> Result<Vec<Verified>, AdoptionError> {
    let tx = connection.begin_read_only().await.map_err(CoreError::from)?;
    let mut results = Vec::new();
    for thing in things {
        let mut expected: HashMap<Uuid, (&String, Hash)> = book
            .fitting(thing)
            .filter(|(key, _, _)| which.has(thing, key))
            .map(|(key, id, hash)| (id, (key, hash)))
            .collect();
        let mut expected_sum = Sum::default();
        expected.values().for_each(|(_, hash)| expected_sum.add(hash));
        let number = u64::try_from(book.fitting(thing).count()).unwrap_or(u64::MAX);
        let ids: Vec<Uuid> = expected.keys().copied().collect();
        let mut found_sum = Sum::default();
        let mut different = Vec::new();
        for ids in ids.chunks(BATCH) {
            for (id, shown) in intake::read(&tx, (scope, cipher), thing, ids).await? {
                let found = hash_of(&shown);
                found_sum.add(&found);
                if let Some((key, hash)) = expected.remove(&id)
                    && hash != found
                {
                    different.push(key.clone());
                }
            }
        }
        different.extend(expected.into_values().map(|(key, _)| key.clone()));
        different.sort();
        different.truncate(SHOWN_KEYS);
        results.push(Verified {
            table: thing.table(),
            expected: number,
            found: intake::count(&tx, thing).await?,
            expected_hash: expected_sum.hex(),
            found_hash: found_sum.hex(),
            different,
        });
    }
    tx.rollback().await.map_err(CoreError::from)?;
    Ok(results)
}

/// Refuses when a table differs.
pub(crate) fn require_same(results: &[Verified]) -> Result<(), AdoptionError> {
    let differs: Vec<String> = results
        .iter()
        .filter(|one| !one.agrees())
        .map(|one| format!("{} ({} expected, {} found)", one.table, one.expected, one.found))
        .collect();
    if differs.is_empty() { Ok(()) } else { Err(AdoptionError::Different { tables: differs.join(", ") }) }
}
