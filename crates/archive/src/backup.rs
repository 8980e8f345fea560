//! Backs a tenant up, and removes backups.

use bytes::Bytes;
use clinicx_keys::ArchiveKey;
use clinicx_tenancy::{PlatformScope, Tenant};
use futures_util::{TryStreamExt, stream::BoxStream};

use crate::{
    ArchiveId, Archivist,
    catalog::Table,
    check::{Measure, file_name, sum_of},
    chunk::{ChunkWriter, Stream},
    error::ArchiveError,
    manifest::{self, Manifest, TableEntry},
    registry::{self, Backup},
    rows::Lines,
    snapshot::Snapshot,
    store::{Draft, Place},
    watch::{Progress, Watch},
};

/// What has come of a backup, and what authenticates it.
pub(crate) struct Written {
    pub(crate) manifest: Manifest,
    pub(crate) mac: String,
}

impl Archivist {
    /// Backs a tenant up while it is served, in one snapshot. Writes a row of the registry and audit rows.
    ///
    /// What was begun is removed when it fails. A process that is killed leaves a row that says `running` and a draft
    /// that nobody finds; [`Archivist::sweep`] removes both.
    ///
    /// # Errors
    /// [`ArchiveError::NotConfigured`], [`ArchiveError::Stopped`], [`ArchiveError::Store`], [`ArchiveError::Keys`],
    /// [`ArchiveError::Tenancy`] when somebody changes the tenant's tables for long, [`ArchiveError::Database`].
    #[tracing::instrument(name = "archive.back_up", skip_all, fields(tenant.id = %tenant.id, tenant.slug = %tenant.slug), err(level = "debug"))]
    pub async fn back_up(
        &self,
        tenant: &Tenant,
        reason: registry::Reason,
        by: &PlatformScope,
        watch: &Watch<'_>,
    ) -> Result<Backup, ArchiveError> {
        let (store, _) = (self.store()?, self.login()?);
        let place = Place { tenant: tenant.id, archive: ArchiveId::new(by.next_id()) };
        registry::begin(self.control(), place, &tenant.slug, reason, &store.location(), by).await?;
        match self.write(place, tenant, watch).await {
            Ok(written) => registry::stored(self.control(), place, &written, by).await,
            Err(error) => {
                // The failure of the backup is what the caller needs to hear of.
                if let Err(later) = registry::failed_by(self.control(), place, &error, by).await {
                    tracing::warn!(archive.id = %place.archive, error = %later, "a failed backup can't be noted");
                }
                Err(error)
            }
        }
    }

    async fn write(&self, place: Place, tenant: &Tenant, watch: &Watch<'_>) -> Result<Written, ArchiveError> {
        // Before the snapshot: wrapping may ask a service on another machine.
        let key = ArchiveKey::random()?;
        let wrapped = key.wrap(self.tenancy().keys(), place.tenant, place.archive.uuid()).await?;
        let mut snapshot = Snapshot::take(self.login()?, &tenant.database_schema).await?;
        let mut draft = self.store()?.begin(place).await?;
        let written = async {
            let (mut manifest, _) = snapshot.describe(tenant.id).await?;
            manifest.tables = tables(&mut snapshot, draft.as_mut(), place, &key, watch).await?;
            let (file, mac) = manifest.write(place, &key, &wrapped)?;
            draft.create(manifest::FILE).await?;
            draft.write(&file).await?;
            draft.close().await?;
            watch.go_on()?;
            Ok(Written { manifest, mac })
        };
        let written = written.await;
        snapshot.close().await;
        match written {
            Ok(written) => {
                draft.publish().await?;
                Ok(written)
            }
            Err(error) => {
                draft.abandon().await;
                Err(error)
            }
        }
    }

    /// Removes a backup: its files first, so that no row says that there is one. Writes an audit row.
    ///
    /// # Errors
    /// [`ArchiveError::State`] when it is being written, [`ArchiveError::Store`], [`ArchiveError::Database`].
    #[tracing::instrument(name = "archive.remove", skip_all, fields(archive.id = %backup.id), err(level = "debug"))]
    pub async fn remove(&self, backup: &Backup, by: &PlatformScope) -> Result<(), ArchiveError> {
        if backup.state == registry::BackupState::Running {
            return Err(ArchiveError::State(backup.state.to_string()));
        }
        self.store()?.remove(backup.place()).await?;
        registry::removed(self.control(), backup.place(), by).await
    }
}

async fn tables(
    snapshot: &mut Snapshot,
    draft: &mut dyn Draft,
    place: Place,
    key: &ArchiveKey,
    watch: &Watch<'_>,
) -> Result<Vec<TableEntry>, ArchiveError> {
    let tables = snapshot.tables().to_vec();
    let of_tables = u64::try_from(tables.len()).unwrap_or(u64::MAX);
    let mut progress = Progress { of_tables, ..Progress::default() };
    let mut entries = Vec::with_capacity(tables.len());
    for table in tables {
        let stream = Stream { tenant: place.tenant, archive: place.archive, table: table.name.as_str() };
        let rows = snapshot.rows(&table).await?;
        let entry = write_table(draft, &table, rows, (key, stream), watch, &mut progress).await?;
        entries.push(entry);
        progress.tables += 1;
        watch.say(progress);
    }
    Ok(entries)
}

/// Writes a table's file, with no more of it in memory than a chunk.
async fn write_table(
    draft: &mut dyn Draft,
    table: &Table,
    mut rows: BoxStream<'_, Result<Bytes, ArchiveError>>,
    (key, stream): (&ArchiveKey, Stream<'_>),
    watch: &Watch<'_>,
    progress: &mut Progress,
) -> Result<TableEntry, ArchiveError> {
    let (mut sum, mut lines, mut bytes) = (sum_of(key)?, Lines::default(), 0_u64);
    let (mut measure, mut sealed) = (Measure::default(), Vec::new());
    let mut writer: Option<ChunkWriter> = None;
    while let Some(piece) = rows.try_next().await? {
        let add = |row: &[u8]| -> Result<(), ArchiveError> {
            sum.add(row);
            Ok(())
        };
        lines.push(&piece, add)?;
        bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let begun = match &mut writer {
            Some(begun) => begun,
            None => {
                draft.create(&file_name(stream.table)).await?;
                writer.insert(ChunkWriter::new(key, stream, &mut sealed)?)
            }
        };
        begun.push(&piece, &mut sealed)?;
        if !sealed.is_empty() {
            watch.go_on()?;
            measure.add(&sealed);
            draft.write(&sealed).await?;
            sealed.clear();
            let rows = progress.rows + sum.rows();
            watch.say(Progress { rows, bytes: progress.bytes + bytes, ..*progress });
        }
    }
    watch.go_on()?;
    let file = match writer {
        Some(writer) => {
            writer.finish(&mut sealed)?;
            measure.add(&sealed);
            draft.write(&sealed).await?;
            draft.close().await?;
            Some(measure.entry(file_name(stream.table)))
        }
        None => None,
    };
    progress.rows += sum.rows();
    progress.bytes += bytes;
    Ok(TableEntry { table: table.clone(), rows: sum.rows(), hash: sum.hash(), bytes, file })
}
