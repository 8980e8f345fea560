//! Believable data for the demo clinics. The same data each time; only the days of the visits follow the calendar.

use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use clinicx_core::{
    PatientId, RoomId, ServiceId, StaffId,
    appointment::{self, Action, Appointment},
    patient, room, service, staff, time_off, working_hours,
};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantConnection, TenantScope, TenantTransaction};
use clinicx_types::{clock::FixedClock, page::PageRequest};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    money,
    mouths::{self, Chair},
    names,
};

/// How many patients each demo clinic has.
pub(super) const PATIENTS: usize = 220;
/// How many days before and after today there are visits on.
const DAYS_EITHER_WAY: u64 = 10;

/// What differs between the demo clinics.
pub(super) struct Profile {
    /// The country code and area code of the patients' phones.
    pub(super) phone_prefix: &'static str,
    /// The language that most patients prefer.
    pub(super) language: &'static str,
    /// The clinic's days of work.
    pub(super) weekdays: &'static [Weekday],
    /// Who works there: title and name, role, specialty, colour.
    pub(super) staff:
        &'static [(&'static str, &'static str, &'static str, Option<&'static str>, &'static str)],
    /// Rooms and chairs: name and kind.
    pub(super) rooms: &'static [(&'static str, &'static str)],
    /// Who the clinic is on its invoices: the field and its text.
    pub(super) issuer: &'static [(&'static str, &'static str)],
    /// Services: code, name, minutes, whether it needs a chair, price.
    pub(super) services: &'static [(&'static str, &'static str, u32, bool, &'static str)],
}

/// What has been put into a clinic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filled {
    /// Patients.
    pub(super) patients: usize,
    /// Appointments.
    pub(super) appointments: usize,
    /// Invoices.
    pub(super) invoices: usize,
}

struct Practitioner {
    id: StaffId,
    room: RoomId,
}

/// Tells whether a clinic has its data.
pub(super) async fn is_filled(connection: &TenantConnection, scope: &TenantScope) -> anyhow::Result<bool> {
    let any = staff::list(connection, scope, &staff::StaffFilter::default(), &PageRequest::default()).await?;
    Ok(!any.items.is_empty())
}

/// Fills an empty clinic, in one transaction.
pub(super) async fn fill(
    connection: &TenantConnection,
    scope: &TenantScope,
    cipher: &FieldCipher,
    profile: &Profile,
    modules: &[&str],
) -> anyhow::Result<Filled> {
    let tx = connection.begin().await.map_err(clinicx_persistence::Failure::from)?;
    let practitioners = add_team(&tx, scope, profile).await?;
    let services = add_services(&tx, scope, profile).await?;
    let patients = add_patients(&tx, scope, cipher, profile).await?;
    let appointments =
        add_visits(&tx, (scope, cipher), profile, &practitioners, &services, &patients).await?;
    let mut charted = 0;
    if let Some(dentist) = practitioners.first().filter(|_| modules.contains(&"dental")) {
        let charges = crate::charging::of(modules);
        charted = mouths::add(&Chair { tx: &tx, scope, cipher, charges, dentist: dentist.id }).await?;
    }
    let issuer = profile.issuer.iter().map(|(field, text)| ((*field).to_owned(), json!(text)));
    let issuer = Value::Object(issuer.collect());
    let invoices = money::add(&tx, (scope, cipher), &issuer, (&services, &patients)).await?;
    tx.commit().await.map_err(clinicx_persistence::Failure::from)?;
    Ok(Filled { patients: patients.len() + charted, appointments, invoices })
}

/// Reads an input as a client would send it.
pub(super) fn input<T: DeserializeOwned>(body: Value) -> anyhow::Result<T> {
    serde_json::from_value(body).context("the demo data does not fit")
}

async fn add_team(
    tx: &TenantTransaction,
    scope: &TenantScope,
    profile: &Profile,
) -> anyhow::Result<Vec<Practitioner>> {
    let mut rooms = Vec::new();
    for (name, kind) in profile.rooms {
        let made = room::create(tx, scope, input(json!({"name": name, "kind": kind}))?).await?;
        if *kind != "site" {
            rooms.push(made.id);
        }
    }
    let mut practitioners = Vec::new();
    for (given_name, family_name, role, specialty, colour) in profile.staff {
        let body = json!({"given_name": given_name, "family_name": family_name, "roles": [role],
            "specialty": specialty, "colour": colour});
        let member = staff::create(tx, scope, &staff::NoAccounts, input(body)?).await?;
        for weekday in profile.weekdays {
            for (starts, ends) in [("09:00", "13:00"), ("14:00", "18:00")] {
                let body = json!({"weekday": weekday.number_from_monday(), "starts": starts, "ends": ends});
                working_hours::create(tx, scope, member.id, input(body)?).await?;
            }
        }
        if matches!(*role, "doctor" | "dentist" | "hygienist")
            && let Some(room) = rooms.get(practitioners.len() % rooms.len().max(1))
        {
            practitioners.push(Practitioner { id: member.id, room: *room });
        }
    }
    if let Some(away) = practitioners.last() {
        let from = start_of(scope, today(scope) + Days::new(5))?;
        let body = json!({"starts_at": from, "ends_at": from + TimeDelta::days(2), "reason": "conference"});
        time_off::create(tx, scope, away.id, input(body)?).await?;
    }
    Ok(practitioners)
}

async fn add_services(
    tx: &TenantTransaction,
    scope: &TenantScope,
    profile: &Profile,
) -> anyhow::Result<Vec<ServiceId>> {
    let mut services = Vec::new();
    for (code, name, minutes, needs_chair, price) in profile.services {
        let body = json!({"code": code, "name": name, "duration_minutes": minutes, "needs_chair": needs_chair,
            "price": price, "bookable_online": true});
        services.push(service::create(tx, scope, input(body)?).await?.id);
    }
    Ok(services)
}

async fn add_patients(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    profile: &Profile,
) -> anyhow::Result<Vec<PatientId>> {
    let mut patients = Vec::new();
    for number in 0..PATIENTS {
        let days_old = u64::try_from(number)? * 4_973 % 31_000;
        let woman = number % 2 == 0;
        let person = names::person(woman, number / 2);
        let born = NaiveDate::from_ymd_opt(1936, 1, 1).unwrap_or_default() + Days::new(days_old);
        let emails = if number % 3 == 0 { vec![format!("patient{number}@mail.example")] } else { Vec::new() };
        let identifiers = match number % 4 {
            0 => json!([{"system": "urn:clinicx:national-id", "value": format!("N{:09}", number * 7_919)}]),
            _ => json!([]),
        };
        let body = json!({
            "given_name": person.given, "family_name": person.family, "gender": if woman { "female" } else { "male" },
            "birth_date": born, "phones": [format!("{} {:07}", profile.phone_prefix, 2_310_000 + number * 37)],
            "emails": emails, "preferred_language": profile.language, "original_script_name": person.original,
            "identifiers": identifiers,
        });
        patients.push(patient::create(tx, scope, cipher, input(body)?).await?.id);
    }
    Ok(patients)
}

async fn add_visits(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    profile: &Profile,
    practitioners: &[Practitioner],
    services: &[ServiceId],
    patients: &[PatientId],
) -> anyhow::Result<usize> {
    let now = scope.now();
    let (mut made, mut turn) = (0_usize, 0_usize);
    for offset in 0..=2 * DAYS_EITHER_WAY {
        let day = today(scope) - Days::new(DAYS_EITHER_WAY) + Days::new(offset);
        if !profile.weekdays.contains(&day.weekday()) {
            continue;
        }
        for (seat, practitioner) in practitioners.iter().enumerate() {
            for (hour, minute) in [(9, 0), (10, 0), (11, 15), (14, 0), (15, 30), (16, 45)] {
                turn += 1;
                // Somebody's conference, and a quarter of the times stays free.
                let away = seat + 1 == practitioners.len()
                    && (5..8).contains(&(offset.wrapping_sub(DAYS_EITHER_WAY)));
                if away || turn % 4 == 3 {
                    continue;
                }
                let (Some(patient), Some(service)) =
                    (patients.get(turn * 13 % patients.len()), services.get(turn % services.len()))
                else {
                    continue;
                };
                let start = at(scope, day, hour, minute)?;
                let body = json!({"patient_id": patient, "staff_id": practitioner.id, "room_id": practitioner.room,
                    "service_id": service, "start": start, "duration_minutes": 40});
                let booked_at = acting_at(scope, (start - TimeDelta::days(6)).min(now));
                let booked = appointment::book(tx, &booked_at, cipher, input(body)?).await?;
                made += 1;
                if start < now {
                    conclude(tx, (scope, cipher), &booked, start, turn).await?;
                } else if turn % 17 == 0 {
                    step(tx, (scope, cipher), &booked, Action::Cancel, now).await?;
                }
            }
        }
    }
    Ok(made)
}

/// Takes a past visit to its end: most came, some did not, some had called it off.
async fn conclude(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    visit: &Appointment,
    start: DateTime<Utc>,
    turn: usize,
) -> anyhow::Result<()> {
    match turn % 12 {
        0 => {
            step(tx, (scope, cipher), visit, Action::NoShow, start + TimeDelta::minutes(20)).await?;
        }
        1 => {
            step(tx, (scope, cipher), visit, Action::Cancel, start - TimeDelta::hours(20)).await?;
        }
        _ => {
            let arrived =
                step(tx, (scope, cipher), visit, Action::Arrive, start - TimeDelta::minutes(8)).await?;
            let seated =
                step(tx, (scope, cipher), &arrived, Action::CheckIn, start + TimeDelta::minutes(2)).await?;
            let ended = start + TimeDelta::minutes(38);
            if ended < scope.now() {
                step(tx, (scope, cipher), &seated, Action::Fulfil, ended).await?;
            }
        }
    }
    Ok(())
}

async fn step(
    tx: &TenantTransaction,
    (scope, cipher): (&TenantScope, &FieldCipher),
    visit: &Appointment,
    action: Action,
    at: DateTime<Utc>,
) -> anyhow::Result<Appointment> {
    let scope = acting_at(scope, at);
    Ok(appointment::transition(
        tx,
        &scope,
        cipher,
        (visit.id, Some(visit.version)),
        (action, input(json!({}))?),
    )
    .await?)
}

/// The same actor at another time.
fn acting_at(scope: &TenantScope, at: DateTime<Utc>) -> TenantScope {
    TenantScope { clock: Arc::new(FixedClock(at)), ..scope.clone() }
}

fn today(scope: &TenantScope) -> NaiveDate {
    scope.now().with_timezone(&scope.time_zone).date_naive()
}

fn start_of(scope: &TenantScope, day: NaiveDate) -> anyhow::Result<DateTime<Utc>> {
    at(scope, day, 6, 0)
}

/// A time of the clinic's day; the demo's hours exist once on every day of its zones.
fn at(scope: &TenantScope, day: NaiveDate, hour: u32, minute: u32) -> anyhow::Result<DateTime<Utc>> {
    let time = NaiveTime::from_hms_opt(hour, minute, 0).context("a time of day")?;
    let local =
        scope.time_zone.from_local_datetime(&day.and_time(time)).earliest().context("a time that exists")?;
    Ok(local.with_timezone(&Utc))
}
