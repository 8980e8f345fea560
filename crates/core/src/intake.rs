//! Taking in rows that another system has kept: many at a time, with the ids and times that they come with.
//!
//! What a clinic brings along did not happen here: it leaves no audit row and no event of its own. Whoever takes it in
//! records that once for all of it, and nobody is served from the tenant meanwhile. Every rule of a single row holds
//! as it does for input: [`take_in`] makes of fields what [`write()`] stores, folded, sealed and indexed, and [`read`]
//! returns what the operations would show of it. What stands between rows (unique values, slots that are taken)
//! [`Incoming`] only names: whoever has all rows decides.

use chrono::{DateTime, Utc};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantTransaction};
use clinicx_types::error::FieldError;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IdenStatic, IntoActiveModel, Iterable, JsonValue,
    PaginatorTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{appointment, change, error::CoreError, patient, room, service, staff, time_off, working_hours};

/// How many rows one statement writes: PostgreSQL takes 65,535 values, and the widest table has 26 columns.
pub const BATCH: usize = 1000;

/// A kind of row that can be taken in, in an order in which none refers to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thing {
    /// A member of staff.
    Staff,
    /// A site, room or chair.
    Room,
    /// A service.
    Service,
    /// A patient, with all that belongs to the record.
    Patient,
    /// A line of working hours.
    WorkingHours,
    /// An absence.
    TimeOff,
    /// An appointment.
    Appointment,
}

impl Thing {
    /// Every kind, in its order.
    pub const ALL: [Self; 7] = [
        Self::Staff,
        Self::Room,
        Self::Service,
        Self::Patient,
        Self::WorkingHours,
        Self::TimeOff,
        Self::Appointment,
    ];

    /// Returns the name of its table.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Room => "rooms",
            Self::Service => "services",
            Self::Patient => "patients",
            Self::WorkingHours => "working_hours",
            Self::TimeOff => "time_off",
            Self::Appointment => "appointments",
        }
    }
}

/// Which row it becomes, and when it was made and last changed where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its id here.
    pub id: Uuid,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A row that fits by itself and is not written yet.
#[derive(Clone)]
pub enum Incoming {
    /// A member of staff.
    Staff(staff::entity::Model),
    /// A site, room or chair.
    Room(room::entity::Model),
    /// A service.
    Service(service::entity::Model),
    /// A patient.
    Patient(Box<patient::intake::Record>),
    /// A line of working hours.
    WorkingHours(working_hours::entity::Model),
    /// An absence.
    TimeOff(time_off::entity::Model),
    /// An appointment; its words are in clear.
    Appointment(Box<appointment::entity::Model>),
}

/// Where only one row can be at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A member of staff who is busy.
    Staff(Uuid),
    /// A room that is busy.
    Room(Uuid),
    /// A patient who is treated.
    Patient(Uuid),
    /// A weekday of a member of staff.
    Weekday(Uuid, i16),
}

/// What a row takes up of a lane, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where.
    pub lane: Lane,
    /// From when: microseconds since 1970, or minutes of a weekday.
    pub from: i64,
    /// Until when.
    pub until: i64,
    /// The days since 1970 on which it holds, the last included; on all days when there are none.
    pub days: Option<(i64, i64)>,
}

impl Span {
    /// Tells whether both want the same of the same lane.
    pub fn meets(&self, other: &Self) -> bool {
        let same_days = match (self.days, other.days) {
            (Some((from, until)), Some((other_from, other_until))) => {
                from <= other_until && other_from <= until
            }
            _ => true,
        };
        self.lane == other.lane && self.from < other.until && other.from < self.until && same_days
    }
}

impl Incoming {
    /// Returns its id.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Staff(row) => row.id.uuid(),
            Self::Room(row) => row.id.uuid(),
            Self::Service(row) => row.id.uuid(),
            Self::Patient(record) => record.id(),
            Self::WorkingHours(row) => row.id.uuid(),
            Self::TimeOff(row) => row.id.uuid(),
            Self::Appointment(row) => row.id.uuid(),
        }
    }

    /// Returns what the operations would show of it, without what differs from one writing to the next.
    ///
    /// # Errors
    /// [`CoreError::Cipher`].
    pub fn shown(&self, scope: &TenantScope, cipher: &FieldCipher) -> Result<JsonValue, CoreError> {
        Ok(match self {
            Self::Staff(row) => change::json(&staff::StaffMember::from(row.clone())),
            Self::Room(row) => change::json(&room::Room::from(row.clone())),
            Self::Service(row) => change::json(&service::Service::from(row.clone())),
            Self::Patient(record) => record.shown(scope, cipher)?,
            Self::WorkingHours(row) => change::json(&working_hours::WorkingHours::from(row.clone())),
            Self::TimeOff(row) => change::json(&time_off::TimeOff::from(row.clone())),
            Self::Appointment(row) => change::json(&appointment::Appointment::from(row.as_ref().clone())),
        })
    }

    /// Returns the values that no other row of the tenant may have, each with where it stands.
    pub fn unique(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Service(row) => vec![("code", row.code.clone())],
            Self::Patient(record) => record.unique(),
            _ => Vec::new(),
        }
    }

    /// Returns what it takes up of time.
    pub fn spans(&self) -> Vec<Span> {
        match self {
            Self::WorkingHours(row) => vec![working_hours::intake::span(row)],
            Self::Appointment(row) => appointment::intake::spans(row),
            _ => Vec::new(),
        }
    }

    /// Takes another value in place of one that was made for it and that another row has; `attempt` begins with 1.
    /// Returns whether there is one: what a row has brought itself is not changed.
    pub fn remake(&mut self, field: &str, attempt: u32) -> bool {
        match self {
            Self::Patient(record) if field == "mrn" => record.redraw(attempt),
            _ => false,
        }
    }

    /// Lets an appointment stand over others; anything else stays as it is.
    pub fn overbook(&mut self) {
        if let Self::Appointment(row) = self {
            row.overbook = true;
        }
    }
}

/// Makes a row of fields, which are those of the operation that makes such a thing by hand, and a few more: a patient's
/// `mrn` and `status`; `staff_id` of working hours and absences; all states of an appointment but `pending`, its
/// `cancellation_reason`, and the buffers of its service. Local times are those of the clinic.
///
/// # Errors
/// [`CoreError::Invalid`] with everything that is wrong with it; [`CoreError::Cipher`].
pub fn take_in(
    thing: Thing,
    (scope, cipher): (&TenantScope, &FieldCipher),
    origin: Origin,
    fields: JsonValue,
) -> Result<Incoming, CoreError> {
    Ok(match thing {
        Thing::Staff => Incoming::Staff(staff::intake::row(origin, fields)?),
        Thing::Room => Incoming::Room(room::intake::row(origin, fields)?),
        Thing::Service => Incoming::Service(service::intake::row(scope, origin, fields)?),
        Thing::Patient => {
            Incoming::Patient(Box::new(patient::intake::record(scope, cipher, origin, fields)?))
        }
        Thing::WorkingHours => Incoming::WorkingHours(working_hours::intake::row(scope, origin, fields)?),
        Thing::TimeOff => Incoming::TimeOff(time_off::intake::row(scope, origin, fields)?),
        Thing::Appointment => {
            Incoming::Appointment(Box::new(appointment::intake::row(scope, origin, fields)?))
        }
    })
}

/// Writes rows of one kind; one that is there already becomes as it comes.
///
/// # Errors
/// [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    rows: &[Incoming],
) -> Result<(), CoreError> {
    /// Puts down the rows of one variant.
    macro_rules! of {
        ($variant:ident, $entity:path) => {{
            let rows = rows.iter().filter_map(|row| match row {
                Incoming::$variant(row) => Some(row.clone().into_active_model().reset_all()),
                _ => None,
            });
            put::<$entity>(tx, rows.collect()).await?;
        }};
    }
    of!(Staff, staff::entity::Entity);
    of!(Room, room::entity::Entity);
    of!(Service, service::entity::Entity);
    of!(WorkingHours, working_hours::entity::Entity);
    of!(TimeOff, time_off::entity::Entity);
    let records = rows.iter().filter_map(|row| match row {
        Incoming::Patient(record) => Some(record.as_ref()),
        _ => None,
    });
    patient::intake::write(tx, scope, &records.collect::<Vec<_>>()).await?;
    let appointments = rows.iter().filter_map(|row| match row {
        Incoming::Appointment(row) => Some(appointment::intake::closed(scope, cipher, row)),
        _ => None,
    });
    let appointments = appointments.collect::<Result<Vec<_>, _>>()?;
    put::<appointment::entity::Entity>(
        tx,
        appointments.into_iter().map(|row| row.into_active_model().reset_all()).collect(),
    )
    .await
}

/// Removes rows of one kind, with all that belongs to them; those that are not there do not matter.
///
/// # Errors
/// [`CoreError::Database`], also when other rows refer to one of them.
pub async fn remove(tx: &TenantTransaction, thing: Thing, ids: &[Uuid]) -> Result<(), CoreError> {
    for ids in ids.chunks(BATCH) {
        match thing {
            Thing::Staff => delete::<staff::entity::Entity>(tx, staff::entity::Column::Id, ids).await?,
            Thing::Room => delete::<room::entity::Entity>(tx, room::entity::Column::Id, ids).await?,
            Thing::Service => delete::<service::entity::Entity>(tx, service::entity::Column::Id, ids).await?,
            Thing::Patient => patient::intake::remove(tx, ids).await?,
            Thing::WorkingHours => {
                delete::<working_hours::entity::Entity>(tx, working_hours::entity::Column::Id, ids).await?;
            }
            Thing::TimeOff => {
                delete::<time_off::entity::Entity>(tx, time_off::entity::Column::Id, ids).await?
            }
            Thing::Appointment => {
                delete::<appointment::entity::Entity>(tx, appointment::entity::Column::Id, ids).await?;
            }
        }
    }
    Ok(())
}

/// Counts the rows of one kind.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn count(tx: &TenantTransaction, thing: Thing) -> Result<u64, CoreError> {
    Ok(match thing {
        Thing::Staff => staff::entity::Entity::find().count(tx).await?,
        Thing::Room => room::entity::Entity::find().count(tx).await?,
        Thing::Service => service::entity::Entity::find().count(tx).await?,
        Thing::Patient => patient::entity::Entity::find().count(tx).await?,
        Thing::WorkingHours => working_hours::entity::Entity::find().count(tx).await?,
        Thing::TimeOff => time_off::entity::Entity::find().count(tx).await?,
        Thing::Appointment => appointment::entity::Entity::find().count(tx).await?,
    })
}

/// Lets rows of one kind have nothing that only one can have, until they are written anew or removed.
///
/// # Errors
/// [`CoreError::Database`].
pub async fn loosen(tx: &TenantTransaction, thing: Thing, ids: &[Uuid]) -> Result<(), CoreError> {
    for ids in ids.chunks(BATCH) {
        match thing {
            Thing::Service => {
                let ids = ids.iter().copied();
                service::entity::Entity::update_many()
                    .col_expr(service::entity::Column::Code, Expr::cust("CAST(id AS text)"))
                    .filter(service::entity::Column::Id.is_in(ids))
                    .exec(tx)
                    .await?;
            }
            Thing::Patient => patient::intake::loosen(tx, ids).await?,
            _ => {}
        }
    }
    Ok(())
}

/// Reads rows of one kind as the operations show them, without what differs from one writing to the next.
///
/// # Errors
/// [`CoreError::Cipher`]; [`CoreError::Database`].
pub async fn read(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    thing: Thing,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, JsonValue)>, CoreError> {
    let mut all = Vec::with_capacity(ids.len());
    /// Reads rows that show themselves.
    macro_rules! of {
        ($ids:ident, $module:ident, $shown:path) => {
            for row in $module::entity::Entity::find()
                .filter($module::entity::Column::Id.is_in($ids.iter().copied()))
                .all(tx)
                .await?
            {
                all.push((row.id.uuid(), change::json(&<$shown>::from(row))));
            }
        };
    }
    for ids in ids.chunks(BATCH) {
        match thing {
            Thing::Staff => of!(ids, staff, staff::StaffMember),
            Thing::Room => of!(ids, room, room::Room),
            Thing::Service => of!(ids, service, service::Service),
            Thing::WorkingHours => of!(ids, working_hours, working_hours::WorkingHours),
            Thing::TimeOff => of!(ids, time_off, time_off::TimeOff),
            Thing::Patient => all.extend(patient::intake::read(tx, scope, cipher, ids).await?),
            Thing::Appointment => all.extend(appointment::intake::read(tx, scope, cipher, ids).await?),
        }
    }
    Ok(all)
}

/// Reads an input from its fields.
pub(crate) fn input<T: DeserializeOwned>(fields: JsonValue) -> Result<T, CoreError> {
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let path = error.path().to_string();
        // The parser's words are not repeated: it names the value that it does not know, which may be a person's.
        let text = error.into_inner().to_string();
        let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let (pointer, code) = match missing {
            Some(field) => (format!("/{field}"), "missing"),
            None if path == "." => (String::new(), "malformed"),
            None => (format!("/{}", path.replace(['.', '['], "/").replace(']', "")), "malformed"),
        };
        CoreError::Invalid(vec![FieldError::new(pointer, code, "does not fit")])
    })
}

/// Takes a field out of an object of them.
pub(crate) fn taken(fields: &mut JsonValue, name: &str) -> Option<String> {
    let value = fields.as_object_mut()?.remove(name)?;
    value.as_str().map(str::to_owned)
}

/// Inserts rows, or makes those that are there as these are.
pub(crate) async fn put<E>(tx: &TenantTransaction, rows: Vec<E::ActiveModel>) -> Result<(), CoreError>
where
    E: EntityTrait,
    E::ActiveModel: ActiveModelTrait<Entity = E> + Send,
{
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let others = E::Column::iter().filter(|column| column.as_str() != "id");
        let conflict = OnConflict::column("id").update_columns(others).to_owned();
        let batch: Vec<E::ActiveModel> = rows.by_ref().take(BATCH).collect();
        E::insert_many(batch).on_conflict(conflict).exec_without_returning(tx).await?;
    }
    Ok(())
}

async fn delete<E: EntityTrait>(
    tx: &TenantTransaction,
    column: impl ColumnTrait,
    ids: &[Uuid],
) -> Result<(), CoreError> {
    E::delete_many().filter(column.is_in(ids.iter().copied())).exec(tx).await?;
    Ok(())
}

/// Returns something as the operations show it.
pub(crate) fn shown(thing: &impl Serialize) -> JsonValue {
    change::json(thing)
}
