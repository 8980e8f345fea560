//! Operations on accounts.

use clinicx_core::{
    CoreError, PatientId, paging,
    patient::{self, entity},
};
use clinicx_persistence::{TenantScope, TenantScoped, TenantTransaction};
use clinicx_types::{
    money::Currency,
    page::{Page, PageRequest},
};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, raw_sql};
use uuid::Uuid;

use super::{
    dto::{Account, AccountFilter, OwnPart, PatientBalance, Sums},
    entity::{ActiveModel, Column, Entity},
};
use crate::{
    AccountId,
    error::{BillingError, Result},
    input::shown,
};

const THING: &str = "account";

/// Looks for an account.
///
/// # Errors
/// [`BillingError::Core`] when the database fails.
pub async fn find(db: &impl TenantScoped, scope: &TenantScope, id: AccountId) -> Result<Option<Account>> {
    let filter = Wanted { id: Some(id.uuid()), ..Wanted::default() };
    Ok(sums(db, scope, &filter, 1).await?.pop().map(Account::from))
}

/// Returns an account.
///
/// # Errors
/// [`CoreError::NotFound`]; [`BillingError::Core`] when the database fails.
pub async fn get(db: &impl TenantScoped, scope: &TenantScope, id: AccountId) -> Result<Account> {
    find(db, scope, id).await?.ok_or_else(|| BillingError::not_found(THING))
}

/// Lists accounts in the order in which they were opened.
///
/// # Errors
/// [`CoreError::Invalid`] when the cursor is none of this list's; [`BillingError::Core`] when the database fails.
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    filter: &AccountFilter,
    page: &PageRequest,
) -> Result<Page<Account>> {
    let mut wanted = Wanted { guarantor: filter.patient_id.map(PatientId::uuid), ..Wanted::default() };
    let total = if page.count { Some(count(db, &wanted).await?) } else { None };
    if let Some(key) = &page.after {
        let [id] = paging::parts(key)?;
        wanted.after = Some(paging::part(id)?);
    }
    let rows = sums(db, scope, &wanted, i64::from(page.limit()) + 1).await?;
    Ok(Page::from_rows(rows, page, total, |row: &Sums| vec![row.id.to_string()]).map(Account::from))
}

/// Tells what is owed for a patient, and nobody else, whoever pays; and the accounts on which it stands or would: that
/// of who pays for them now, and every other one on which something of theirs stands.
///
/// # Errors
/// [`CoreError::NotFound`], [`CoreError::PatientGone`]; [`BillingError::Core`] when the database fails.
pub async fn of(db: &impl TenantScoped, scope: &TenantScope, patient: PatientId) -> Result<PatientBalance> {
    let guarantor = guarantor_of(db, scope, patient).await?;
    let wanted =
        Wanted { guarantor: Some(guarantor.uuid()), patient: Some(patient.uuid()), ..Wanted::default() };
    let rows = sums(db, scope, &wanted, i64::from(u16::MAX)).await?;
    let currency = scope.currency.code();
    let own = own_part(db, patient, scope.currency).await?;
    Ok(PatientBalance {
        patient_id: patient,
        currency: currency.to_owned(),
        balance: shown(own.open_invoices - own.unapplied_credit, currency),
        open_invoices: shown(own.open_invoices, currency),
        unapplied_credit: shown(own.unapplied_credit, currency),
        accounts: rows.into_iter().map(Account::from).collect(),
    })
}

/// Sums what is open of a patient's own invoices, and what was paid for them and is on none. All patients' parts of an
/// account together are its balance; by the ledger's rows they would not be told apart, since what was paid for one
/// patient can be on another's invoice.
async fn own_part(db: &impl TenantScoped, patient: PatientId, currency: Currency) -> Result<OwnPart> {
    let (patient, currency) = (patient.uuid(), currency.code());
    let statement = raw_sql!(
        Postgres,
        r#"SELECT COALESCE((SELECT sum(gross - allocated - credited)
                            FROM invoices
                            WHERE patient_id = {patient}
                              AND currency = {currency}
                              AND status IN ('issued', 'balanced')), 0) AS open_invoices,
                  COALESCE((SELECT sum(amount - allocated - refunded)
                            FROM payments
                            WHERE patient_id = {patient}
                              AND currency = {currency}
                              AND status = 'completed'), 0) AS unapplied_credit"#
    );
    let found = OwnPart::find_by_statement(statement).one(db).await?;
    Ok(found.unwrap_or_default())
}

/// Returns who pays for a patient about whom new things may be recorded.
async fn guarantor_of(db: &impl TenantScoped, scope: &TenantScope, patient: PatientId) -> Result<PatientId> {
    patient::require(db, scope, patient).await?;
    let guarantor: Option<Option<PatientId>> = entity::Entity::find_by_id(patient)
        .select_only()
        .column(entity::Column::GuarantorId)
        .into_tuple()
        .one(db)
        .await?;
    Ok(guarantor.flatten().unwrap_or(patient))
}

/// Returns the account from which a patient's invoices in a currency are paid, and opens it when it is the first.
pub(crate) async fn of_patient(
    tx: &TenantTransaction,
    scope: &TenantScope,
    patient: PatientId,
    currency: Currency,
) -> Result<AccountId> {
    let guarantor = guarantor_of(tx, scope, patient).await?;
    let mut found = existing(tx, guarantor, currency).await?;
    if found.is_none() {
        let now = scope.now();
        let row = ActiveModel {
            id: sea_orm::Set(AccountId::new(scope.next_id())),
            version: sea_orm::Set(1),
            created_at: sea_orm::Set(now),
            updated_at: sea_orm::Set(now),
            patient_id: sea_orm::Set(guarantor),
            currency: sea_orm::Set(currency.code().to_owned()),
        };
        // Whoever opens the same account at the same time is waited for.
        Entity::insert(row)
            .on_conflict_do_nothing_on([Column::PatientId, Column::Currency])
            .exec_without_returning(tx)
            .await?;
        found = existing(tx, guarantor, currency).await?;
    }
    found.ok_or_else(|| BillingError::not_found(THING))
}

async fn existing(
    tx: &TenantTransaction,
    guarantor: PatientId,
    currency: Currency,
) -> Result<Option<AccountId>> {
    let query = Entity::find()
        .filter(Column::PatientId.eq(guarantor))
        .filter(Column::Currency.eq(currency.code()))
        .select_only()
        .column(Column::Id);
    Ok(query.into_tuple().one(tx).await?)
}

/// Which accounts are summed.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    id: Option<Uuid>,
    guarantor: Option<Uuid>,
    /// With a guarantor: also the accounts on which something of this patient stands.
    patient: Option<Uuid>,
    after: Option<Uuid>,
}

async fn count(db: &impl TenantScoped, wanted: &Wanted) -> Result<u64> {
    let guarantor = wanted.guarantor;
    let statement = raw_sql!(
        Postgres,
        r#"SELECT count(*) AS accounts
           FROM accounts
           WHERE CAST({guarantor} AS uuid) IS NULL OR patient_id = {guarantor}"#
    );
    let row = db.query_one_raw(statement).await?;
    let count: i64 = row.map(|row| row.try_get("", "accounts")).transpose()?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

async fn sums(
    db: &impl TenantScoped,
    _scope: &TenantScope,
    wanted: &Wanted,
    limit: i64,
) -> std::result::Result<Vec<Sums>, CoreError> {
    let Wanted { id, guarantor, patient, after } = *wanted;
    let statement = raw_sql!(
        Postgres,
        r#"SELECT a.id,
                  a.version,
                  a.created_at,
                  a.updated_at,
                  a.patient_id,
                  a.currency::text AS currency,
                  COALESCE((SELECT sum(l.amount) FROM ledger_entries AS l WHERE l.account_id = a.id), 0) AS balance,
                  COALESCE((SELECT sum(i.gross - i.allocated - i.credited)
                            FROM invoices AS i
                            WHERE i.account_id = a.id AND i.status IN ('issued', 'balanced')), 0) AS open_invoices,
                  COALESCE((SELECT sum(p.amount - p.allocated - p.refunded)
                            FROM payments AS p
                            WHERE p.account_id = a.id AND p.status = 'completed'), 0) AS unapplied_credit
           FROM accounts AS a
           WHERE (CAST({id} AS uuid) IS NULL OR a.id = {id})
             AND (CAST({guarantor} AS uuid) IS NULL
                  OR a.patient_id = {guarantor}
                  OR EXISTS (SELECT FROM ledger_entries AS l
                             WHERE l.account_id = a.id AND l.patient_id = CAST({patient} AS uuid)))
             AND (CAST({after} AS uuid) IS NULL OR a.id > {after})
           ORDER BY a.id
           LIMIT {limit}"#
    );
    Ok(Sums::find_by_statement(statement).all(db).await?)
}
