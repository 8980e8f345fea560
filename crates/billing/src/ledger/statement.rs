//! Statements of accounts.

use chrono::{Days, NaiveDate};
use clinicx_core::local_time;
use clinicx_persistence::{TenantScope, TenantScoped};
use rust_decimal::Decimal;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, raw_sql};

use super::{
    dto::{Entry, Movement, Statement},
    entity::{Column, Entity},
};
use crate::{
    AccountId, account,
    error::{BillingError, Result},
    input::shown,
};

/// The most days of a statement.
const MAX_DAYS: i64 = 366;

/// Tells what moved an account from one day to another, both included, in the clinic's own time: a month up to today
/// unless days are named.
///
/// # Errors
/// [`CoreError::NotFound`](clinicx_core::CoreError::NotFound);
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) unless the days are in their order and at most 366;
/// [`BillingError::Core`] when the database fails.
pub async fn statement(
    db: &impl TenantScoped,
    scope: &TenantScope,
    account: AccountId,
    (from, to): (Option<NaiveDate>, Option<NaiveDate>),
) -> Result<Statement> {
    let to = to.unwrap_or_else(|| local_time::local_date(scope.now(), scope.time_zone));
    let from = from.or_else(|| to.checked_sub_days(Days::new(30))).unwrap_or(to);
    if from > to {
        return Err(BillingError::invalid("?to", "end_before_start", "must not be before the first day"));
    }
    if (to - from).num_days() >= MAX_DAYS {
        return Err(BillingError::invalid("?to", "range_too_long", "must be at most 366 days in all"));
    }
    let account = account::get(db, scope, account).await?;
    let bounds =
        local_time::day_bounds(from, scope.time_zone).zip(local_time::day_bounds(to, scope.time_zone));
    let ((start, _), (_, end)) =
        bounds.ok_or_else(|| BillingError::invalid("?from", "out_of_range", "is out of range"))?;
    let id = account.id;
    let before = raw_sql!(
        Postgres,
        r#"SELECT COALESCE(sum(amount), 0) AS opening
           FROM ledger_entries
           WHERE account_id = {id} AND occurred_at < {start}"#
    );
    let before = db.query_one_raw(before).await?;
    let opening: Decimal = before.map(|row| row.try_get("", "opening")).transpose()?.unwrap_or_default();
    let rows = Entity::find()
        .filter(Column::AccountId.eq(id))
        .filter(Column::OccurredAt.gte(start))
        .filter(Column::OccurredAt.lt(end))
        .order_by_asc(Column::OccurredAt)
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    let mut balance = opening;
    let movements = rows
        .into_iter()
        .map(|row| {
            balance += row.amount;
            Movement { entry: Entry::from(row), balance: shown(balance, &account.currency) }
        })
        .collect();
    Ok(Statement {
        account_id: id,
        patient_id: account.patient_id,
        from,
        to,
        opening: shown(opening, &account.currency),
        movements,
        closing: shown(balance, &account.currency),
        currency: account.currency,
    })
}
