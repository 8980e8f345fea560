//! Moves clinics, one at a time, and takes moves back.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use clinicx_core::intake::Thing;
use clinicx_keys::{DataKey, FieldCipher, Keyring};
use clinicx_persistence::{Cluster, SystemConnection, SystemExecutor, TenantConnection, TenantScope};
use clinicx_tenancy::{PlatformScope, Tenancy, TenancyError, Tenant, TenantStatus, audit, registry};
use clinicx_types::{id::TenantId, money::Currency, name::TenantSlug, permission::PermissionSet};
use serde::Serialize;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;

use crate::{
    book::Book,
    cut_over,
    decide::Judge,
    error::AdoptionError,
    legacy::{Gate, Reader, take_turn},
    mapping::{Mapping, OnMisfit, TenantMapping},
    report::{self, Misfits, TableReport, Verified},
    round::{Move, Sink},
    store::{self, State, Status},
    verify::{self, Which},
};

/// For how long a clinic's writers are held up at most, unless said otherwise.
pub const MAX_PAUSE: Duration = Duration::from_secs(2);

/// How far a clinic is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its rows are copied and compared; nothing is done to the old tables.
    Copied,
    /// The tenant answers; the gate holds its writers up for the last moment.
    Switched,
    /// The tenant answers; somebody else sees to it that nobody writes to the old tables.
    SwitchedUnwatched,
}

/// What an adoption is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many rows are there to be read.
    Rows(u64),
    /// So many more were read.
    Read(u64),
    /// It begins with this.
    Step(&'static str),
}

/// What has come of a clinic.
#[derive(Clone, Debug, Serialize)]
pub struct Adopted {
    /// The tenant.
    pub slug: TenantSlug,
    /// How far it has come.
    pub state: Option<State>,
    /// What the first round of this run has done.
    pub tables: Vec<TableReport>,
    /// What does not fit.
    pub misfits: Vec<Misfits>,
    /// What the last comparison has found.
    pub verified: Vec<Verified>,
    /// How many rows have changed while it was copied.
    pub caught_up: u64,
    /// For how long its writers were held up, in milliseconds.
    pub pause_ms: Option<i32>,
}

/// How clinics are moved.
#[derive(Clone)]
pub struct Adopter {
    /// The operator's hand on tenants.
    pub tenancy: Tenancy,
    /// The pool of tenants' connections.
    pub cluster: Cluster,
    /// Gives the tenants' ciphers.
    pub keyring: Keyring,
    /// What becomes what.
    pub mapping: Arc<Mapping>,
    /// The login that reads the old tables.
    pub reader: PgConnectOptions,
    /// The login that owns the old tables.
    pub owner: Option<PgConnectOptions>,
    /// For how long a clinic's writers are held up at most.
    pub max_pause: Duration,
}

/// A tenant that is being filled.
pub(crate) struct Target {
    pub(crate) tenant: Tenant,
    pub(crate) scope: TenantScope,
    pub(crate) cipher: FieldCipher,
    pub(crate) connection: TenantConnection,
}

impl Adopter {
    /// Reads a clinic's rows and tells what does not fit. Writes nothing anywhere.
    ///
    /// # Errors
    /// [`AdoptionError`].
    #[tracing::instrument(name = "adoption.preview", skip_all, fields(tenant.slug = %clinic.slug))]
    pub async fn preview(
        &self,
        clinic: &TenantMapping,
        by: &PlatformScope,
        mut seen: impl FnMut(Event) + Send,
    ) -> Result<Adopted, AdoptionError> {
        let mut reader = Reader::open(&self.reader, &self.mapping).await?;
        let (scope, cipher) = self.imagined(clinic, by)?;
        let done = self.look(clinic, &mut reader, (&scope, &cipher), by.now(), &mut seen).await;
        reader.close().await;
        done
    }

    /// Moves a clinic whose tenant was made closed, or goes on with it where it was left.
    ///
    /// # Errors
    /// [`AdoptionError`]; what was done is kept, and the next run goes on from there.
    #[tracing::instrument(name = "adoption.adopt", skip_all, fields(tenant.slug = %clinic.slug))]
    pub async fn adopt(
        &self,
        clinic: &TenantMapping,
        until: Until,
        by: &PlatformScope,
        mut seen: impl FnMut(Event) + Send,
    ) -> Result<Adopted, AdoptionError> {
        // Whoever has the turn keeps it until the connection is closed, at the latest by the end of the process.
        let turn = take_turn(&self.reader, &clinic.legacy).await?;
        let tenant = registry::get_by_slug(self.tenancy.app(), &clinic.slug).await?;
        let target = match self.begin(clinic, tenant, by).await? {
            Begun::Open(target) => target,
            Begun::Done(adopted) => return Ok(*adopted),
        };
        let done = self.carry_out(clinic, &target, until, by, &mut seen).await;
        if let Err(error) = &done {
            // What stands in the way is what the caller needs; that it could not be written down is not.
            if let Err(lost) = store::failed(self.control(), target.tenant.id, error).await {
                tracing::warn!(error = %lost, "why an adoption stopped could not be kept");
            }
        }
        drop(turn);
        done
    }

    /// Takes a switch back: the tenant is suspended, and the old tables are used again. What was changed in the tenant
    /// since is not carried back.
    ///
    /// # Errors
    /// [`AdoptionError::WrongState`] unless it is switched and not cleaned up; [`AdoptionError`].
    #[tracing::instrument(name = "adoption.revert", skip_all, fields(tenant.slug = %clinic.slug))]
    pub async fn revert(&self, clinic: &TenantMapping, by: &PlatformScope) -> Result<Status, AdoptionError> {
        let tenant = registry::get_by_slug(self.tenancy.app(), &clinic.slug).await?;
        let status = self.status(&tenant).await?.ok_or(AdoptionError::NotAdopted)?;
        if !matches!(status.state, State::Switching | State::Switched | State::Reverting) {
            let wanted = "only what was switched and not cleaned up can be taken back";
            return Err(AdoptionError::WrongState { state: status.state, wanted });
        }
        if self.owner.is_none() && (status.pause_ms.is_some() || status.state == State::Switching) {
            return Err(AdoptionError::NoGate);
        }
        self.control().execute(store::reach(tenant.id, State::Reverting, by.now())).await?;
        // Nobody writes to the tenant any more before anybody writes to the old tables again.
        if tenant.status == TenantStatus::Active {
            self.tenancy.suspend(&clinic.slug, None, by).await?;
        }
        if let Some(owner) = &self.owner {
            let mut gate = Gate::open(owner).await?;
            gate.reopen(&clinic.legacy).await?;
            gate.leave().await;
        }
        // A tenant that never answered stays closed, to be filled again.
        let state = if status.switched_at.is_none() { State::Copying } else { State::Reverted };
        let action = audit::Action::on_tenant(
            "tenant.adoption_reverted",
            tenant.id,
            Some(json!({ "adoption": status.state })),
            Some(json!({ "adoption": state })),
        );
        let tx = self.control().begin().await?;
        tx.execute(store::reach(tenant.id, state, by.now())).await?;
        tx.execute(audit::statement(by, action)).await?;
        tx.commit().await?;
        self.status(&tenant).await?.ok_or(AdoptionError::NotAdopted)
    }

    /// Lists every adoption.
    ///
    /// # Errors
    /// [`AdoptionError::System`].
    pub async fn list(control: &SystemConnection) -> Result<Vec<Status>, AdoptionError> {
        store::list(control).await
    }

    /// Tells how far a tenant has come; `None` when it came from no adoption.
    ///
    /// # Errors
    /// [`AdoptionError::System`].
    pub async fn status(&self, tenant: &Tenant) -> Result<Option<Status>, AdoptionError> {
        store::find(self.control(), tenant.id).await
    }

    pub(crate) fn control(&self) -> &SystemConnection {
        self.tenancy.control()
    }

    async fn begin(
        &self,
        clinic: &TenantMapping,
        mut tenant: Tenant,
        by: &PlatformScope,
    ) -> Result<Begun, AdoptionError> {
        match self.status(&tenant).await? {
            None if tenant.status == TenantStatus::Provisioning => {
                let digest = &self.mapping.digest;
                self.control().execute(store::begin(tenant.id, &clinic.legacy, digest, by.now())).await?;
            }
            None => return Err(AdoptionError::NotAdopted),
            Some(status) => match status.state {
                State::Copying | State::Copied | State::Switching => {}
                State::Reverted => {
                    let also = store::begin_again(tenant.id, by.now());
                    tenant = self.tenancy.close_again(&clinic.slug, by, also).await?;
                }
                State::Switched | State::Cleaning | State::Cleaned => {
                    return Ok(Begun::Done(Box::new(Adopted::nothing(clinic, Some(status.state)))));
                }
                State::Reverting => {
                    let wanted = "take it back to the end first";
                    return Err(AdoptionError::WrongState { state: status.state, wanted });
                }
            },
        }
        let cipher = self.keyring.cipher(tenant.id).await?.lasting();
        let connection = self.cluster.tenant(tenant.target());
        let scope = scope_of(&tenant, by);
        Ok(Begun::Open(Box::new(Target { tenant, scope, cipher, connection })))
    }

    async fn carry_out(
        &self,
        clinic: &TenantMapping,
        target: &Target,
        until: Until,
        by: &PlatformScope,
        seen: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Adopted, AdoptionError> {
        if until == Until::Switched && self.owner.is_none() {
            return Err(AdoptionError::NoGate);
        }
        let mut reader = Reader::open(&self.reader, &self.mapping).await?;
        if self.mapping.on_misfit == OnMisfit::Stop {
            seen(Event::Step("looking for what does not fit"));
            let crypto = (&target.scope, &target.cipher);
            let found = self.look(clinic, &mut reader, crypto, by.now(), seen).await?;
            let rows = found.misfits.iter().map(|one| one.rows).sum::<u64>();
            if rows > 0 {
                return Err(AdoptionError::Misfits { rows });
            }
        }
        let gate = match (until, &self.owner) {
            (Until::Switched, Some(owner)) => {
                seen(Event::Step("putting the gate up"));
                let mut gate = Gate::open(owner).await?;
                gate.put_up(&self.mapping, &[&clinic.legacy]).await?;
                // A snapshot that is taken from here on shows what was written down so far.
                gate.take(&clinic.legacy).await?;
                Some(gate)
            }
            _ => None,
        };
        seen(Event::Step("copying"));
        seen(Event::Rows(reader.count(&self.mapping, &clinic.legacy).await?));
        let kept = store::keys(self.control(), target.tenant.id).await?;
        let began_at = self.status(&target.tenant).await?.map_or_else(|| by.now(), |status| status.began_at);
        let mut count = |rows: u64| seen(Event::Read(rows));
        let mut moving = Move {
            mapping: &self.mapping,
            legacy: &clinic.legacy,
            judge: self.judge((&target.scope, &target.cipher), began_at),
            sink: Sink::Tenant(&target.connection, self.control()),
            book: Book::of(kept),
            seen: &mut count,
            written: BTreeSet::new(),
            comparing: Duration::ZERO,
        };
        let tables = moving.all(&mut reader).await?;
        self.end_round(target, &moving.book, by).await?;
        let verified = self.compare(target, &mut moving).await?;
        store::verified(self.control(), target.tenant.id, State::Copied, by.now()).await?;
        let state = self.status(&target.tenant).await?.map(|status| status.state);
        let mut adopted = Adopted {
            tables,
            misfits: report::grouped(&moving.book.misfits),
            verified,
            ..Adopted::nothing(clinic, state)
        };
        match (until, gate) {
            (Until::Copied, _) => {}
            (Until::Switched, Some(gate)) => {
                cut_over::watched(self, (clinic, target), (&mut moving, &mut reader), gate, &mut adopted, by)
                    .await?;
            }
            (Until::Switched | Until::SwitchedUnwatched, _) => {
                cut_over::unwatched(self, (clinic, target), &moving, &mut adopted, by).await?;
            }
        }
        reader.close().await;
        Ok(adopted)
    }

    /// Reads everything and writes nothing.
    async fn look(
        &self,
        clinic: &TenantMapping,
        reader: &mut Reader,
        crypto: (&TenantScope, &FieldCipher),
        began_at: DateTime<Utc>,
        seen: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Adopted, AdoptionError> {
        seen(Event::Rows(reader.count(&self.mapping, &clinic.legacy).await?));
        let mut count = |rows: u64| seen(Event::Read(rows));
        let mut moving = Move {
            mapping: &self.mapping,
            legacy: &clinic.legacy,
            judge: self.judge(crypto, began_at),
            sink: Sink::Nowhere,
            book: Book::default(),
            seen: &mut count,
            written: BTreeSet::new(),
            comparing: Duration::ZERO,
        };
        let tables = moving.all(reader).await?;
        let misfits = report::grouped(&moving.book.misfits);
        Ok(Adopted { tables, misfits, ..Adopted::nothing(clinic, None) })
    }

    pub(crate) async fn end_round(
        &self,
        target: &Target,
        book: &Book,
        by: &PlatformScope,
    ) -> Result<(), AdoptionError> {
        store::end_round(self.control(), (target.tenant.id, &self.mapping.digest), book, by.now()).await
    }

    /// Compares every row, and refuses when one differs.
    pub(crate) async fn compare(
        &self,
        target: &Target,
        moving: &mut Move<'_>,
    ) -> Result<Vec<Verified>, AdoptionError> {
        let started = Instant::now();
        let things = self.mapping.tables.keys().copied();
        let crypto = (&target.scope, &target.cipher);
        let verified = verify::all(&target.connection, crypto, things, (&moving.book, Which::All)).await?;
        verify::require_same(&verified)?;
        moving.written.clear();
        moving.comparing = started.elapsed();
        Ok(verified)
    }

    fn judge<'a>(
        &self,
        (scope, cipher): (&'a TenantScope, &'a FieldCipher),
        began_at: DateTime<Utc>,
    ) -> Judge<'a> {
        Judge { scope, cipher, on_overlap: self.mapping.on_overlap, began_at }
    }

    /// The tenant that there will be, for looking only.
    fn imagined(
        &self,
        clinic: &TenantMapping,
        by: &PlatformScope,
    ) -> Result<(TenantScope, FieldCipher), AdoptionError> {
        let id = TenantId::new(by.next_id());
        let field =
            |pointer, code, detail| AdoptionError::Tenancy(TenancyError::field(pointer, code, detail));
        let zone = clinic
            .time_zone
            .parse()
            .map_err(|_| field("/time_zone", "unknown_time_zone", "must be an IANA time zone"))?;
        let currency: Currency = clinic
            .currency
            .parse()
            .map_err(|_| field("/currency", "unknown_currency", "must be an ISO 4217 code"))?;
        let set = (zone, currency, clinic.locale.as_str());
        let scope = TenantScope::system(id, clinic.slug.clone(), set, "adoption", PermissionSet::default());
        Ok((scope, FieldCipher::new(id, 1, DataKey::random()?)))
    }
}

enum Begun {
    Open(Box<Target>),
    Done(Box<Adopted>),
}

impl Adopted {
    fn nothing(clinic: &TenantMapping, state: Option<State>) -> Self {
        Self {
            slug: clinic.slug.clone(),
            state,
            tables: Vec::new(),
            misfits: Vec::new(),
            verified: Vec::new(),
            caught_up: 0,
            pause_ms: None,
        }
    }

    /// Returns how many rows do not fit.
    pub fn misfit_rows(&self) -> u64 {
        self.tables.iter().map(|table| table.misfit).sum()
    }
}

fn scope_of(tenant: &Tenant, by: &PlatformScope) -> TenantScope {
    let set = (tenant.time_zone, tenant.currency, tenant.locale.as_str());
    TenantScope {
        clock: by.clock.clone(),
        ids: by.ids.clone(),
        ..TenantScope::system(tenant.id, tenant.slug.clone(), set, "adoption", PermissionSet::default())
    }
}

/// Tells how many rows there are of each kind, for the audit.
pub(crate) fn counts(book: &Book) -> serde_json::Value {
    let count = |thing: Thing| (thing.table().to_owned(), json!(book.fitting(thing).count()));
    serde_json::Value::Object(Thing::ALL.into_iter().map(count).collect())
}
