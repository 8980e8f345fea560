//! Makes a tenant of an archive, or looks whether that could be done.

use std::collections::BTreeMap;

use bytes::Bytes;
use clinicx_keys::archive::cipher_of;
use clinicx_migration::tenant::{Limits, Plan, ledger::LedgerRow};
use clinicx_tenancy::{Creation, NewTenant, PlatformScope, Tenant, TenantDraft};
use clinicx_types::{id::TenantId, name::ModuleName};
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use sea_orm::{Statement, raw_sql};
use serde_json::json;

use crate::{
    Archivist,
    catalog::Table,
    check::{self, sum_of},
    chunk::{ChunkReader, Stream},
    error::{ArchiveError, Refusal},
    load::{Loading, Sums},
    manifest::{Manifest, Opened, TableEntry},
    registry::{self, Backup, BackupState},
    rewrite::Transfer,
    rows::TableSum,
    snapshot::Snapshot,
    store::{Place, Store},
    watch::{Progress, Watch},
};

/// A tenant that was made of an archive.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The tenant.
    pub tenant: Tenant,
    /// How many rows it has.
    pub rows: u64,
}

/// The tenant that is to be made. Whoever begins again after a crash says the same id, and can see by it whether the
/// tenant was made already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Names it for ever.
    pub id: TenantId,
    /// Names it in URLs and host names.
    pub slug: String,
    /// Names it for people; as the archived one unless it is said.
    pub name: Option<String>,
}

impl Target {
    /// Makes one with a new id and the archived tenant's name.
    pub fn new(slug: impl Into<String>, by: &PlatformScope) -> Self {
        Self { id: TenantId::new(by.next_id()), slug: slug.into(), name: None }
    }
}

/// What a verification has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many tables were restored and compared.
    pub tables: u64,
    /// How many rows.
    pub rows: u64,
}

/// Where rows come from.
pub(crate) enum Source<'a> {
    /// An archive that was checked.
    Archive { store: &'a dyn Store, place: Place, opened: &'a Opened },
    /// A tenant as it is.
    Live(&'a mut Snapshot),
}

impl Archivist {
    /// Makes a new tenant of a backup: the tables by the migrations at the recorded version, the rows, everything read
    /// back and compared, the migrations of today; all in one transaction. Who was a member is one, when the account
    /// is still there. Writes an audit row.
    ///
    /// What is sealed is sealed anew under the new tenant's key.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`], [`ArchiveError::Different`], [`ArchiveError::State`], [`ArchiveError::Tenancy`] when
    /// the slug is taken or wrong, [`ArchiveError::Stopped`], [`ArchiveError::Store`], [`ArchiveError::Database`].
    #[tracing::instrument(name = "archive.restore", skip_all, fields(archive.id = %backup.id, tenant.slug = into.slug), err(level = "debug"))]
    pub async fn restore_into(
        &self,
        backup: &Backup,
        into: &Target,
        by: &PlatformScope,
        watch: &Watch<'_>,
    ) -> Result<Restored, ArchiveError> {
        let opened = self.checked(backup, watch).await?;
        let new = self.describe(&opened.manifest, into)?;
        let mut source = self.source(backup.place(), &opened)?;
        let creation = self.make(new, &opened.manifest, &mut source, by, watch).await?;
        let rows = opened.manifest.rows();
        let after = json!({
            "archive": backup.id, "source_tenant": opened.manifest.tenant.id, "rows": rows,
            "taken_at": opened.manifest.taken_at,
        });
        let members = members(&opened.manifest, creation.tenant().id);
        let tenant = creation.finish("tenant.restored_from_backup", after, members, by).await?;
        Ok(Restored { tenant, rows })
    }

    /// Proves a backup: it is restored as a whole, read back and compared, and undone. Writes the outcome to the
    /// registry, with an audit row.
    ///
    /// # Errors
    /// As [`Archivist::restore_into`]; a backup that is refused or comes out different is noted as such.
    #[tracing::instrument(name = "archive.verify", skip_all, fields(archive.id = %backup.id), err(level = "debug"))]
    pub async fn verify(
        &self,
        backup: &Backup,
        by: &PlatformScope,
        watch: &Watch<'_>,
    ) -> Result<Verified, ArchiveError> {
        let verified = self.try_out(backup, by, watch).await;
        match &verified {
            Ok(_) => registry::verified(self.control(), backup.place(), None, by).await?,
            Err(error @ (ArchiveError::Refused(_) | ArchiveError::Different(_) | ArchiveError::Unknown)) => {
                registry::verified(self.control(), backup.place(), Some(error), by).await?;
            }
            // Nothing is known then.
            Err(_) => {}
        }
        verified
    }

    async fn try_out(
        &self,
        backup: &Backup,
        by: &PlatformScope,
        watch: &Watch<'_>,
    ) -> Result<Verified, ArchiveError> {
        let opened = self.checked(backup, watch).await?;
        let target = Target::new(format!("verify-{}", by.next_id().simple()), by);
        let new = self.describe(&opened.manifest, &target)?;
        let mut source = self.source(backup.place(), &opened)?;
        let creation = self.make(new, &opened.manifest, &mut source, by, watch).await?;
        creation.abandon().await?;
        let tables = u64::try_from(opened.manifest.tables.len()).unwrap_or(u64::MAX);
        Ok(Verified { tables, rows: opened.manifest.rows() })
    }

    /// Checks everything of a backup that can be checked without a database, and that it is the one which was written.
    pub(crate) async fn checked(&self, backup: &Backup, watch: &Watch<'_>) -> Result<Opened, ArchiveError> {
        if backup.state != BackupState::Stored {
            return Err(ArchiveError::State(backup.state.to_string()));
        }
        let opened =
            check::check(self.store()?.as_ref(), backup.place(), self.tenancy().keys(), watch).await?;
        // An older archive may lie in its place, whole and in order.
        if backup.manifest_mac.as_deref().is_some_and(|mac| mac != opened.mac) {
            return Err(Refusal::Misplaced.into());
        }
        Ok(opened)
    }

    pub(crate) fn source<'a>(&'a self, place: Place, opened: &'a Opened) -> Result<Source<'a>, ArchiveError> {
        Ok(Source::Archive { store: self.store()?.as_ref(), place, opened })
    }

    /// Describes the tenant that is to be made.
    pub(crate) fn describe(&self, manifest: &Manifest, target: &Target) -> Result<NewTenant, ArchiveError> {
        let facts = manifest.tenant.clone();
        let draft = TenantDraft {
            slug: target.slug.clone(),
            name: target.name.clone().unwrap_or(facts.name),
            modules: facts.modules,
            time_zone: facts.time_zone,
            currency: facts.currency,
            locale: facts.locale,
            plan: facts.plan,
            isolation: None,
            cluster: None,
            region: facts.region,
        };
        Ok(self.tenancy().check(draft, target.id)?)
    }

    /// Makes the tenant up to what is left before it can be routed to, or undoes all of it.
    pub(crate) async fn make(
        &self,
        new: NewTenant,
        manifest: &Manifest,
        source: &mut Source<'_>,
        by: &PlatformScope,
        watch: &Watch<'_>,
    ) -> Result<Creation, ArchiveError> {
        let plan = self.recorded(manifest)?;
        let opening = cipher_of(self.tenancy().keys(), manifest.tenant.id, &manifest.stored_keys()?).await?;
        let creation = self.tenancy().begin_creation(new, &plan, by).await?;
        let transfer = Transfer {
            from: manifest.tenant.id,
            to: creation.tenant().id,
            ciphers: Some((opening, creation.cipher().clone())),
            takes_all: false,
        };
        self.complete(creation, &transfer, source, watch).await
    }

    /// Fills the tables and brings them to today's, or undoes all of it.
    pub(crate) async fn complete(
        &self,
        creation: Creation,
        transfer: &Transfer,
        source: &mut Source<'_>,
        watch: &Watch<'_>,
    ) -> Result<Creation, ArchiveError> {
        let filled = async {
            self.fill(&creation, transfer, source, watch).await?;
            Ok(creation.bring_forward(self.tenancy().modules().plan()).await?)
        };
        match filled.await {
            Ok(()) => Ok(creation),
            Err(error) => {
                // The reason is what the caller needs; a connection that can't roll back is closed.
                let _undone = creation.abandon().await;
                Err(error)
            }
        }
    }

    /// Returns the migrations that the tenant has had.
    pub(crate) fn recorded(&self, manifest: &Manifest) -> Result<Plan, ArchiveError> {
        let refused = |why: String| ArchiveError::from(Refusal::Migrations(why));
        let ledger: Vec<LedgerRow> = manifest
            .migrations
            .iter()
            .map(|one| LedgerRow {
                module: one.module.clone(),
                position: one.position,
                name: one.name.clone(),
                checksum: one.checksum.clone(),
            })
            .collect();
        let mut last = BTreeMap::<&str, i32>::new();
        for row in &ledger {
            let position = last.entry(row.module.as_str()).or_default();
            *position = (*position).max(row.position);
        }
        let plan = self.tenancy().modules().plan();
        let plan = plan.of_modules(last.keys().copied()).map_err(|error| refused(error.to_string()))?;
        let mut limits = Limits::default();
        for (module, position) in &last {
            let module = ModuleName::parse(module).map_err(|error| refused(error.to_string()))?;
            limits.set(module, *position);
        }
        let plan = plan.upto(&limits);
        let work = plan.work(&ledger, &limits).map_err(|error| refused(error.to_string()))?;
        match work.up.first() {
            Some(missing) => Err(refused(format!("{missing:?} is missing"))),
            None => Ok(plan),
        }
    }

    /// Fills the tables and reads them back.
    async fn fill(
        &self,
        creation: &Creation,
        transfer: &Transfer,
        source: &mut Source<'_>,
        watch: &Watch<'_>,
    ) -> Result<(), ArchiveError> {
        let tables = source.tables();
        let all: Vec<&Table> = tables.iter().collect();
        let key = source.key()?;
        let schema = &creation.tenant().database_schema;
        let loading = Loading::begin(creation.transaction(), schema, transfer, self.sealed(), &all).await?;
        let of_tables = u64::try_from(tables.len()).unwrap_or(u64::MAX);
        let mut progress = Progress { of_tables, ..Progress::default() };
        let mut sent: Vec<(&Table, TableSum)> = Vec::with_capacity(tables.len());
        for table in &tables {
            if transfer.takes_all || !self.stays_behind(table.name.as_str()) {
                let rows = source.rows(table).await?;
                let said = |rows: u64, bytes: u64| {
                    watch.go_on()?;
                    progress.rows += rows;
                    progress.bytes += bytes;
                    Ok(())
                };
                let sums = loading.table(table, &key, rows, said).await?;
                source.compare(table, &sums)?;
                sent.push((table, sums.sent));
            }
            progress.tables += 1;
            watch.say(progress);
        }
        loading.put_back(&all).await?;
        for (table, sent) in &sent {
            watch.go_on()?;
            let back = loading.read_back(table, &key).await?;
            if (back.rows(), back.hash()) != (sent.rows(), sent.hash()) {
                return Err(ArchiveError::Different(table.name.as_str().to_owned()));
            }
        }
        loading.finish(&all).await
    }
}

impl Source<'_> {
    fn tables(&self) -> Vec<Table> {
        match self {
            Self::Archive { opened, .. } => {
                opened.manifest.tables.iter().map(|entry| entry.table.clone()).collect()
            }
            Self::Live(snapshot) => snapshot.tables().to_vec(),
        }
    }

    fn key(&self) -> Result<TableSum, ArchiveError> {
        match self {
            Self::Archive { opened, .. } => sum_of(&opened.key),
            Self::Live(_) => sum_of(&clinicx_keys::ArchiveKey::random()?),
        }
    }

    fn entry(&self, table: &Table) -> Option<&TableEntry> {
        match self {
            Self::Archive { opened, .. } => {
                opened.manifest.tables.iter().find(|entry| entry.table.name == table.name)
            }
            Self::Live(_) => None,
        }
    }

    async fn rows(
        &mut self,
        table: &Table,
    ) -> Result<BoxStream<'_, Result<Bytes, ArchiveError>>, ArchiveError> {
        match self {
            Self::Live(snapshot) => snapshot.rows(table).await,
            Self::Archive { store, place, opened } => {
                let entry = opened.manifest.tables.iter().find(|entry| entry.table.name == table.name);
                let Some(file) = entry.and_then(|entry| entry.file.as_ref()) else {
                    return Ok(futures_util::stream::empty().boxed());
                };
                let stream =
                    Stream { tenant: place.tenant, archive: place.archive, table: entry_name(entry) };
                let mut reader = ChunkReader::new(&opened.key, stream)?;
                let mut pieces = check::read(*store, *place, file).await?;
                Ok(async_stream::try_stream! {
                    while let Some(piece) = pieces.try_next().await? {
                        let rows = reader.push(&piece)?;
                        if !rows.is_empty() {
                            yield Bytes::from(rows);
                        }
                    }
                    reader.finish()?;
                }
                .boxed())
            }
        }
    }

    /// What came must be what the manifest says, also when the archive was changed since it was checked.
    fn compare(&self, table: &Table, sums: &Sums) -> Result<(), ArchiveError> {
        match self.entry(table) {
            Some(entry) if (sums.came.rows(), sums.came.hash()) != (entry.rows, entry.hash.clone()) => {
                Err(Refusal::Rows(table.name.as_str().to_owned()).into())
            }
            _ => Ok(()),
        }
    }
}

fn entry_name(entry: Option<&TableEntry>) -> &str {
    entry.map(|entry| entry.table.name.as_str()).unwrap_or_default()
}

/// Writes the statements that make those members who still have an account.
pub(crate) fn members(manifest: &Manifest, tenant: TenantId) -> Vec<Statement> {
    let statement = |member: &crate::manifest::Member| {
        let (user, roles) = (member.user_id, member.roles.join(","));
        raw_sql!(
            Postgres,
            r#"INSERT INTO public.memberships (user_id, tenant_id, roles)
               SELECT u.id, {tenant}, string_to_array({roles}, ',') FROM public.users AS u WHERE u.id = {user}"#
        )
    };
    manifest.members.iter().map(statement).collect()
}
