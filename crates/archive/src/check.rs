//! Checks an archive before anything of it is used.

use clinicx_keys::KeyProviders;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::{
    chunk::{ChunkReader, Stream},
    error::{ArchiveError, Refusal},
    manifest::{self, FileEntry, Opened, TableEntry},
    rows::{Lines, TableSum, hex},
    store::{Place, Store, StoreError},
    watch::Watch,
};

/// Authenticates an archive's manifest.
///
/// # Errors
/// [`ArchiveError::Unknown`] when there is none, [`ArchiveError::Refused`], [`ArchiveError::Keys`],
/// [`ArchiveError::Store`].
pub async fn open(store: &dyn Store, place: Place, keys: &KeyProviders) -> Result<Opened, ArchiveError> {
    let mut pieces = store.read(place, manifest::FILE).await.map_err(|error| match error {
        StoreError::Missing(_) => ArchiveError::Unknown,
        other => other.into(),
    })?;
    let mut file = Vec::new();
    while let Some(piece) = pieces.try_next().await? {
        file.extend_from_slice(&piece);
        if file.len() > manifest::MOST_BYTES {
            return Err(Refusal::Manifest.into());
        }
    }
    manifest::open(&file, place, keys).await
}

/// Checks everything of an archive: its manifest, the length and hash of each file, every sealed chunk, the number of
/// rows and the hash over them. No database takes part.
///
/// # Errors
/// As [`open`]; [`ArchiveError::Stopped`].
pub async fn check(
    store: &dyn Store,
    place: Place,
    keys: &KeyProviders,
    watch: &Watch<'_>,
) -> Result<Opened, ArchiveError> {
    let opened = open(store, place, keys).await?;
    for table in &opened.manifest.tables {
        check_table(store, place, &opened, table, watch).await?;
    }
    Ok(opened)
}

/// Returns the name of the file that holds a table's rows.
pub(crate) fn file_name(table: &str) -> String {
    format!("{table}.rows")
}

/// Returns the key of the hashes over rows.
pub(crate) fn sum_of(opened: &clinicx_keys::ArchiveKey) -> Result<TableSum, ArchiveError> {
    Ok(TableSum::new(&*opened.derive(&[b"hash of rows"])?))
}

async fn check_table(
    store: &dyn Store,
    place: Place,
    opened: &Opened,
    entry: &TableEntry,
    watch: &Watch<'_>,
) -> Result<(), ArchiveError> {
    let name = entry.table.name.as_str();
    let mut sum = sum_of(&opened.key)?;
    if let Some(file) = &entry.file {
        let refused = || ArchiveError::from(Refusal::File(file.name.clone()));
        if file.name != file_name(name) {
            return Err(refused());
        }
        let stream = Stream { tenant: place.tenant, archive: place.archive, table: name };
        let mut reader = ChunkReader::new(&opened.key, stream)?;
        let (mut lines, mut measure) = (Lines::default(), Measure::default());
        let mut pieces = read(store, place, file).await?;
        while let Some(piece) = pieces.try_next().await? {
            watch.go_on()?;
            measure.add(&piece);
            let rows = reader.push(&piece)?;
            lines.push(&rows, |row| -> Result<(), ArchiveError> {
                sum.add(row);
                Ok(())
            })?;
        }
        reader.finish()?;
        if !measure.fits(file) || !lines.is_at_an_end() {
            return Err(refused());
        }
    }
    if (sum.rows(), sum.hash()) != (entry.rows, entry.hash.clone()) {
        return Err(Refusal::Rows(name.to_owned()).into());
    }
    Ok(())
}

/// Opens a file of an archive whose manifest was authenticated.
pub(crate) async fn read(
    store: &dyn Store,
    place: Place,
    file: &FileEntry,
) -> Result<crate::store::Pieces, ArchiveError> {
    store.read(place, &file.name).await.map_err(|error| match error {
        StoreError::Missing(name) => Refusal::File(name).into(),
        other => other.into(),
    })
}

/// The length and the hash of a file.
#[derive(Default)]
pub(crate) struct Measure {
    bytes: u64,
    hash: Sha256,
}

impl Measure {
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.hash.update(piece);
    }

    pub(crate) fn entry(self, name: String) -> FileEntry {
        FileEntry { name, bytes: self.bytes, sha256: hex(&self.hash.finalize()) }
    }

    fn fits(self, file: &FileEntry) -> bool {
        self.entry(file.name.clone()) == *file
    }
}
