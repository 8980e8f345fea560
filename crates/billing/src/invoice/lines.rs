//! The lines of a draft: read from what a caller says, priced, and written.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use clinicx_core::{PatientId, ServiceId, StaffId, local_time, service, staff};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    error::FieldError,
    money::{Currency, Money},
};
use rust_decimal::Decimal;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};

use super::{dto::LineInput, line, tax};
use crate::{
    ChargeItemId, InvoiceId, InvoiceLineId, charge_item,
    error::{BillingError, Result},
    input,
    pricing::{Discount, LineOrder, Price, PricingError, price},
    sealed,
};

/// A line before it has its price.
pub(super) struct Ordered {
    pub(super) id: InvoiceLineId,
    pub(super) order: LineOrder,
    pub(super) description: String,
    pub(super) charge_item_id: Option<ChargeItemId>,
    performed_on: Option<NaiveDate>,
    staff_id: Option<StaffId>,
    service_id: Option<ServiceId>,
    code: Option<String>,
}

/// What a line can be filled from.
#[derive(Default)]
struct Defaults {
    items: Vec<charge_item::entity::Model>,
    services: BTreeMap<ServiceId, service::entity::Model>,
    staff: BTreeSet<StaffId>,
}

impl Defaults {
    /// What was done and is named by a line.
    fn item(&self, input: &LineInput) -> Option<&charge_item::entity::Model> {
        self.items.iter().find(|item| match (input.treatment_id, input.charge_item_id) {
            (Some(id), _) => item.source_kind == charge_item::TREATMENT && item.source_id == id,
            (None, id) => id == Some(item.id),
        })
    }
}

/// The field by which a line names what was done.
fn named_by(input: &LineInput) -> &'static str {
    if input.treatment_id.is_some() { "treatment_id" } else { "charge_item_id" }
}

/// Reads new lines; what was done by a module is put on the invoice and stays locked.
pub(super) async fn read(
    tx: &TenantTransaction,
    scope: &TenantScope,
    (invoice, patient, currency): (InvoiceId, PatientId, Currency),
    inputs: &[LineInput],
) -> Result<Vec<Ordered>> {
    let named = charge_item::Named {
        treatments: inputs.iter().filter_map(|input| input.treatment_id).collect(),
        items: inputs.iter().filter_map(|input| input.charge_item_id).collect(),
    };
    let defaults = Defaults {
        items: charge_item::bill(tx, scope, (invoice, patient), named).await?,
        services: services(tx, inputs).await?,
        staff: people(tx, inputs).await?,
    };
    let (mut lines, mut wrong) = (Vec::with_capacity(inputs.len()), Vec::new());
    let mut seen = BTreeSet::new();
    for (index, input) in inputs.iter().enumerate() {
        let at = |field: &str| format!("/lines/{index}/{field}");
        if let Some(item) = defaults.item(input)
            && !seen.insert(item.id)
        {
            let pointer = at(named_by(input));
            wrong.push(FieldError::new(pointer, "duplicate", "must not be given twice"));
        }
        match one(scope, currency, (input, &at), &defaults) {
            Ok(line) => lines.push(line),
            Err(errors) => wrong.extend(errors),
        }
    }
    if wrong.is_empty() { Ok(lines) } else { Err(wrong.into()) }
}

/// Takes the lines of a draft as they stand.
pub(super) fn again(
    scope: &TenantScope,
    cipher: &FieldCipher,
    currency: Currency,
    rows: Vec<line::Model>,
) -> Result<Vec<Ordered>> {
    let one = |row: line::Model| {
        let id = row.id;
        let money = |amount| Money::from_decimal(amount, currency);
        let wrong = |error| input::wrong_amount(error, "/lines");
        let discount = match row.discount_percent {
            Some(percent) => Discount::Percent(percent),
            None => Discount::Amount(money(row.discount).map_err(wrong)?),
        };
        Ok(Ordered {
            id,
            order: LineOrder {
                quantity: row.quantity,
                unit_price: money(row.unit_price).map_err(wrong)?,
                discount,
                tax_rate: row.tax_rate,
            },
            description: sealed::open(scope, cipher, (sealed::LINE, id.uuid()), &row.description)?,
            charge_item_id: row.charge_item_id,
            performed_on: row.performed_on,
            staff_id: row.staff_id,
            service_id: row.service_id,
            code: row.code,
        })
    };
    rows.into_iter().map(one).collect()
}

/// Reads a discount that is given as an amount or in percent.
pub(super) fn discount(
    currency: Currency,
    (amount, percent): (Option<&str>, Option<&str>),
    at: impl Fn(&str) -> String,
) -> std::result::Result<Discount, FieldError> {
    match (amount, percent) {
        (None, None) => Ok(Discount::None),
        (Some(amount), None) => input::amount(amount, currency, &at("discount")).map(Discount::Amount),
        (None, Some(percent)) => input::percentage(percent, &at("discount_percent")).map(Discount::Percent),
        (Some(_), Some(_)) => {
            let (pointer, detail) = (at("discount_percent"), "must not stand beside an amount");
            Err(FieldError::new(pointer, "amount_or_percent", detail))
        }
    }
}

/// Reckons what lines come to.
pub(super) fn priced(currency: Currency, lines: &[Ordered], header: Discount) -> Result<Price> {
    let orders: Vec<LineOrder> = lines.iter().map(|line| line.order).collect();
    price(currency, &orders, header).map_err(|error| {
        let (pointer, code) = match error {
            PricingError::LineDiscount(index) => (format!("/lines/{index}/discount"), "out_of_range"),
            PricingError::Discount => ("/discount".to_owned(), "out_of_range"),
            PricingError::Line(index, _) => (format!("/lines/{index}/unit_price"), "out_of_range"),
            PricingError::Sum(_) => ("/lines".to_owned(), "out_of_range"),
        };
        BillingError::invalid(&pointer, code, &error.to_string())
    })
}

/// Writes the lines and taxes of a draft, in the place of those before.
pub(super) async fn write(
    tx: &TenantTransaction,
    scope: &TenantScope,
    cipher: &FieldCipher,
    invoice: InvoiceId,
    (lines, price): (&[Ordered], &Price),
) -> Result<(Vec<line::Model>, Vec<tax::Model>)> {
    let now = scope.now();
    line::Entity::delete_many().filter(line::Column::InvoiceId.eq(invoice)).exec(tx).await?;
    tax::Entity::delete_many().filter(tax::Column::InvoiceId.eq(invoice)).exec(tx).await?;
    let mut rows = Vec::with_capacity(lines.len());
    for ((position, line), priced) in (1..).zip(lines).zip(&price.lines) {
        rows.push(line::Model {
            id: line.id,
            version: 1,
            created_at: now,
            updated_at: now,
            invoice_id: invoice,
            position,
            description: sealed::close(scope, cipher, (sealed::LINE, line.id.uuid()), &line.description)?,
            quantity: line.order.quantity,
            unit_price: line.order.unit_price.amount(),
            discount: priced.discount.amount(),
            discount_percent: percent(line.order.discount),
            header_discount: priced.header_discount.amount(),
            net: priced.net.amount(),
            tax_rate: line.order.tax_rate,
            charge_item_id: line.charge_item_id,
            performed_on: line.performed_on,
            staff_id: line.staff_id,
            service_id: line.service_id,
            code: line.code.clone(),
            credited_quantity: Decimal::ZERO,
            credited_net: Decimal::ZERO,
        });
    }
    let taxes: Vec<tax::Model> = price
        .taxes
        .iter()
        .map(|one| tax::Model {
            id: scope.next_id(),
            version: 1,
            created_at: now,
            updated_at: now,
            invoice_id: invoice,
            rate: one.rate,
            net: one.net.amount(),
            tax: one.tax.amount(),
            credited_tax: Decimal::ZERO,
        })
        .collect();
    if !rows.is_empty() {
        let all = rows.iter().cloned().map(|row| row.into_active_model().reset_all());
        line::Entity::insert_many(all).exec_without_returning(tx).await?;
        let all = taxes.iter().cloned().map(|row| row.into_active_model().reset_all());
        tax::Entity::insert_many(all).exec_without_returning(tx).await?;
    }
    Ok((rows, taxes))
}

/// Returns the share of a discount that was given in percent.
pub(super) fn percent(discount: Discount) -> Option<Decimal> {
    match discount {
        Discount::Percent(percent) => Some(percent),
        Discount::None | Discount::Amount(_) => None,
    }
}

fn one(
    scope: &TenantScope,
    currency: Currency,
    (input, at): (&LineInput, &impl Fn(&str) -> String),
    defaults: &Defaults,
) -> std::result::Result<Ordered, Vec<FieldError>> {
    let mut wrong = Vec::new();
    let missing = |field: &str, detail: &str| FieldError::new(at(field), "not_found", detail);
    let item = defaults.item(input);
    match (input.treatment_id, input.charge_item_id) {
        (Some(_), Some(_)) => {
            let (pointer, detail) = (at("charge_item_id"), "must not stand beside a treatment");
            wrong.push(FieldError::new(pointer, "beside_treatment", detail));
        }
        (Some(_), None) if item.is_none() => {
            wrong.push(missing("treatment_id", "must be a completed treatment of this patient"));
        }
        (None, Some(_)) if item.is_none() => {
            wrong.push(missing("charge_item_id", "must be something that was done for this patient"));
        }
        _ => {}
    }
    if item.and_then(|item| item.currency.as_deref()).is_some_and(|code| code != currency.code()) {
        let (pointer, detail) = (at(named_by(input)), "has its price in another currency");
        wrong.push(FieldError::new(pointer, "currency_mismatch", detail));
    }
    let service = input.service_id.and_then(|id| defaults.services.get(&id));
    if input.service_id.is_some() && service.is_none() {
        wrong.push(missing("service_id", "must be a service of this clinic"));
    }
    if input.staff_id.is_some_and(|id| !defaults.staff.contains(&id)) {
        wrong.push(missing("staff_id", "must be a member of staff of this clinic"));
    }
    let required = |pointer: String| FieldError::new(pointer, "required", "is required");
    let mut keep = |error: FieldError| wrong.push(error);
    let quantity = match &input.quantity {
        Some(text) => input::quantity(text, &at("quantity")).map_err(&mut keep).ok(),
        None => Some(item.map_or(Decimal::ONE, |item| item.quantity)),
    };
    let usual =
        service.filter(|service| service.currency == currency.code()).and_then(|service| service.price);
    let unit_price = match (&input.unit_price, item.and_then(|item| item.unit_price).or(usual)) {
        (Some(text), _) => input::amount(text, currency, &at("unit_price")),
        (None, Some(amount)) => Money::from_decimal(amount, currency)
            .map_err(|error| input::wrong_amount(error, &at("unit_price"))),
        (None, None) => Err(required(at("unit_price"))),
    };
    let unit_price = unit_price.map_err(&mut keep).ok();
    let pair = (input.discount.as_deref(), input.discount_percent.as_deref());
    let discount = discount(currency, pair, at).map_err(&mut keep).ok();
    let known = item.and_then(|item| item.tax_rate).or(service.map(|service| service.tax_rate));
    let tax_rate = match &input.tax_rate {
        Some(text) => input::percentage(text, &at("tax_rate")).map_err(&mut keep).ok(),
        None => Some(known.unwrap_or_default()),
    };
    let words = input.description.as_deref().map(str::trim);
    let words = words.or(item.map(|item| item.description.as_str()));
    let words = words.or(service.map(|service| service.name.as_str()));
    if words.is_none() {
        keep(required(at("description")));
    }
    match (quantity, unit_price, discount, tax_rate, words) {
        (Some(quantity), Some(unit_price), Some(discount), Some(tax_rate), Some(words))
            if wrong.is_empty() =>
        {
            Ok(Ordered {
                id: InvoiceLineId::new(scope.next_id()),
                order: LineOrder { quantity, unit_price, discount, tax_rate },
                description: words.to_owned(),
                charge_item_id: item.map(|item| item.id),
                performed_on: item.map(|item| local_time::local_date(item.performed_at, scope.time_zone)),
                staff_id: input.staff_id.or(item.and_then(|item| item.staff_id)),
                service_id: input.service_id,
                code: item.map(|item| item.code.clone()).or(service.map(|service| service.code.clone())),
            })
        }
        _ => Err(wrong),
    }
}

async fn services(
    db: &impl TenantScoped,
    inputs: &[LineInput],
) -> Result<BTreeMap<ServiceId, service::entity::Model>> {
    let ids: BTreeSet<ServiceId> = inputs.iter().filter_map(|input| input.service_id).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let query = service::entity::Entity::find().filter(service::entity::Column::Id.is_in(ids));
    Ok(query.all(db).await?.into_iter().map(|row| (row.id, row)).collect())
}

async fn people(db: &impl TenantScoped, inputs: &[LineInput]) -> Result<BTreeSet<StaffId>> {
    let ids: BTreeSet<StaffId> = inputs.iter().filter_map(|input| input.staff_id).collect();
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let query = staff::entity::Entity::find().filter(staff::entity::Column::Id.is_in(ids));
    let found: Vec<StaffId> =
        query.select_only().column(staff::entity::Column::Id).into_tuple().all(db).await?;
    Ok(found.into_iter().collect())
}
