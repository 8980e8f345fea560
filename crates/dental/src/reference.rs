//! What an input refers to: read, and refused where it is not there.

use chrono::{Datelike, NaiveDate};
use clinicx_core::{PatientId, StaffId, local_time, patient, staff};
use clinicx_persistence::{TenantScope, TenantScoped};
use clinicx_types::{
    error::FieldError,
    money::{Currency, Money, MoneyError},
};
use rust_decimal::Decimal;
use sea_orm::EntityTrait;

use crate::{error::DentalError, notation::Notation, tooth::Tooth};

/// The word that tests and clients see for what a name leads to nothing.
const NOT_FOUND: &str = "not_found";

/// Makes sure that a member of staff is there and works here.
pub(crate) async fn require_staff(
    db: &impl TenantScoped,
    scope: &TenantScope,
    id: Option<StaffId>,
) -> Result<(), DentalError> {
    let Some(id) = id else { return Ok(()) };
    match staff::find(db, scope, id).await? {
        Some(member) if member.active => Ok(()),
        Some(_) => Err(DentalError::invalid("/staff_id", "inactive", "must be active")),
        None => Err(DentalError::invalid("/staff_id", NOT_FOUND, "must be a member of staff")),
    }
}

/// Reads a tooth in a notation.
pub(crate) fn tooth(text: &str, notation: Option<Notation>, pointer: &str) -> Result<Tooth, FieldError> {
    let read = notation.unwrap_or_default().read(text);
    read.map_err(|error| FieldError::new(pointer, error.code(), error.to_string()))
}

/// Returns the date that the clinic's calendar shows now.
pub(crate) fn today(scope: &TenantScope) -> NaiveDate {
    local_time::local_date(scope.now(), scope.time_zone)
}

/// Returns the date of something that has happened: today unless it is said.
pub(crate) fn past_day(
    scope: &TenantScope,
    day: Option<NaiveDate>,
    pointer: &str,
) -> Result<NaiveDate, FieldError> {
    let today = today(scope);
    match day {
        Some(day) if day > today => Err(FieldError::new(pointer, "in_future", "must not be in the future")),
        Some(day) => Ok(day),
        None => Ok(today),
    }
}

/// The first year in which anything can have happened to somebody who can be a patient.
const EARLIEST: i32 = 1900;
/// The last year for which anything can be planned.
const LATEST: i32 = 2199;

/// Returns the date of something that has happened to a patient, today unless it is said: not before the birth, of which
/// the month or the day may be unknown.
pub(crate) async fn day_of_life(
    db: &impl TenantScoped,
    scope: &TenantScope,
    patient_id: PatientId,
    (day, pointer): (Option<NaiveDate>, &str),
) -> Result<NaiveDate, DentalError> {
    let day = past_day(scope, day, pointer).map_err(refused)?;
    require_lived(db, patient_id, (day, pointer)).await?;
    Ok(day)
}

/// Refuses a day on which a patient was not born, or nobody who can be one.
pub(crate) async fn require_lived(
    db: &impl TenantScoped,
    patient_id: PatientId,
    (day, pointer): (NaiveDate, &str),
) -> Result<(), DentalError> {
    if day.year() < EARLIEST {
        return Err(DentalError::invalid(pointer, "out_of_range", "must not be before 1900-01-01"));
    }
    let patient = patient::entity::Entity::find_by_id(patient_id).one(db).await?;
    if patient.and_then(|patient| patient.birth_date).is_some_and(|born| day < born) {
        return Err(DentalError::invalid(pointer, "before_birth", "must not be before the patient's birth"));
    }
    Ok(())
}

/// Refuses a day for which nobody plans anything.
pub(crate) fn require_plannable(day: Option<NaiveDate>, pointer: &str) -> Result<(), DentalError> {
    if day.is_none_or(|day| (EARLIEST..=LATEST).contains(&day.year())) {
        return Ok(());
    }
    Err(DentalError::invalid(pointer, "out_of_range", "must be from 1900-01-01 to 2199-12-31"))
}

/// Reads the code of a currency; the clinic's own unless it is said.
pub(crate) fn currency(scope: &TenantScope, code: Option<&str>) -> Result<Currency, FieldError> {
    let Some(code) = code else { return Ok(scope.currency) };
    code.parse().map_err(|error: MoneyError| FieldError::new("/currency", error.code(), error.to_string()))
}

/// Reads an amount that is not negative.
pub(crate) fn amount(text: &str, currency: Currency, pointer: &str) -> Result<Decimal, FieldError> {
    let money = Money::parse(text, currency)
        .map_err(|error| FieldError::new(pointer, error.code(), error.to_string()))?;
    if money.amount().is_sign_negative() && !money.amount().is_zero() {
        return Err(FieldError::new(pointer, "out_of_range", "must not be negative"));
    }
    Ok(money.amount())
}

/// Reads a percentage: 0 to 100 with at most four decimals.
pub(crate) fn percentage(text: &str, pointer: &str) -> Result<Decimal, FieldError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let plain =
        |part: &str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|digit| digit.is_ascii_digit());
    let rate = if plain(whole) && plain(fraction) { text.parse::<Decimal>().ok() } else { None };
    rate.filter(|rate| *rate <= Decimal::ONE_HUNDRED).ok_or_else(|| {
        let detail = "must be a percentage from \"0\" to \"100\" with at most 4 decimals";
        FieldError::new(pointer, "malformed_percentage", detail)
    })
}

/// Writes an amount with the decimals of its currency, or exactly where it has more.
pub(crate) fn shown(amount: Decimal, currency: &str) -> String {
    let money = currency.parse::<Currency>().and_then(|currency| Money::from_decimal(amount, currency));
    money.map_or_else(|_| amount.normalize().to_string(), |money| money.to_string())
}

/// Makes the one error of a wrong field.
pub(crate) fn refused(error: FieldError) -> DentalError {
    DentalError::fields_of(vec![error])
}
