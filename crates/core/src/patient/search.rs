//! Finding patients as they are typed, and listing them.
//!
//! Under row-level security an index serves only leakproof operators: equality and ranges. So names are found
//! through ranges over folded words, telephone numbers through ranges over their reversed digits, identifiers
//! through their blind index. Trigrams, which forgive mistakes, read every row; they are asked only when nothing
//! else was found.

use chrono::{DateTime, Utc};
use clinicx_keys::FieldCipher;
use clinicx_persistence::{TenantScope, TenantScoped};
use clinicx_types::page::{Page, PageRequest};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, ExprTrait, Order, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
    sea_query::{Expr, Query, SelectStatement, UnionType},
};

use super::{
    code::{PatientStatus, TelecomSystem},
    dto::{PatientFilter, PatientSort, PatientSummary},
    entity::{Column, Entity, Model},
    identifier, mrn,
    open_identifier::IDENTIFIER,
    partial_date::{DatePrecision, PartialDate},
    parts::{sealed, telecoms_of},
    query::values,
    search_token, telecom,
};
use crate::{
    PatientId,
    error::CoreError,
    folding, paging,
    phone::{self, Region},
};

/// How alike a typed word and a part of a name must be, from 0 to 1.
const LIKENESS: f64 = 0.34;
/// Words shorter than this have too few trigrams to be compared.
const MIN_SIMILAR_CHARACTERS: usize = 3;
/// The most characters of a search.
const MAX_QUERY: usize = 200;
/// The word for the order by likeness in a cursor.
const SIMILAR: &str = "similar";

/// Lists patients, those who are in use unless a status is asked for.
///
/// When no record matches the words of `q`, those that resemble them follow, the most alike first, unless
/// [`PatientFilter::exact`] is set. A cursor
/// names a patient and no personal data, for it stands in URLs.
///
/// # Errors
/// [`CoreError::Invalid`] for a cursor that is none of this list's, fewer than four digits of a telephone number
/// or a search that is too long; [`CoreError::Cipher`]; [`CoreError::Database`].
#[tracing::instrument(name = "core.patient.list", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn list(
    db: &impl TenantScoped,
    scope: &TenantScope,
    cipher: &FieldCipher,
    filter: &PatientFilter,
    (page, sort): (&PageRequest, PatientSort),
) -> Result<Page<PatientSummary>, CoreError> {
    let Some(wanted) = Wanted::by(scope, cipher, filter)? else {
        return Ok(Page { items: Vec::new(), next: None, total: page.count.then_some(0) });
    };
    let similar_page =
        page.after.as_ref().is_some_and(|key| key.0.first().is_some_and(|mode| mode == SIMILAR));
    if !similar_page {
        let found = sorted_page(db, wanted.exact(), page, sort).await?;
        if page.after.is_some() || !found.items.is_empty() || wanted.similar.is_empty() {
            return with_telecoms(db, found).await;
        }
    }
    let found = similar_page_of(db, &wanted, page).await?;
    with_telecoms(db, found).await
}

/// What a filter asks for.
struct Wanted {
    /// What holds in any case.
    frame: Condition,
    /// What `q` asks for, taken literally.
    literal: Condition,
    /// The words of `q` that names may resemble; empty when resemblance is not asked for.
    similar: Vec<String>,
}

impl Wanted {
    /// Reads a filter; `None` when nothing can match it.
    fn by(
        scope: &TenantScope,
        cipher: &FieldCipher,
        filter: &PatientFilter,
    ) -> Result<Option<Self>, CoreError> {
        let mut frame = match filter.status {
            Some(status) => Condition::all().add(Column::Status.eq(status)),
            None => {
                Condition::all().add(Column::Status.is_in([PatientStatus::Active, PatientStatus::Inactive]))
            }
        };
        if let Some(date) = filter.birth_date {
            frame = frame.add(born(date));
        }
        if let Some(typed) = filled(filter.phone.as_deref(), "?phone")? {
            let prefixes = phone::search_prefixes(typed, Region::of_locale(&scope.locale));
            if prefixes.is_empty() {
                return Err(CoreError::invalid("?phone", "too_short", "must have at least 4 digits"));
            }
            frame = frame.add(Column::Id.in_subquery(with_phone(&prefixes)));
        }
        if let Some(typed) = filled(filter.identifier.as_deref(), "?identifier")? {
            let Some(ids) = with_identifier(scope, cipher, typed)? else { return Ok(None) };
            frame = frame.add(Column::Id.in_subquery(ids));
        }
        let everything = Self { frame, literal: Condition::all(), similar: Vec::new() };
        match filled(filter.q.as_deref(), "?q")? {
            Some(typed) => {
                let mut narrowed = everything.narrowed(scope, cipher, typed)?;
                if let Some(wanted) = narrowed.as_mut().filter(|_| filter.exact) {
                    wanted.similar.clear();
                }
                Ok(narrowed)
            }
            None => Ok(Some(everything)),
        }
    }

    /// Adds what was typed into the search.
    fn narrowed(
        mut self,
        scope: &TenantScope,
        cipher: &FieldCipher,
        typed: &str,
    ) -> Result<Option<Self>, CoreError> {
        // A date among the words is a birth date; it may also be all there is.
        let (dates, words): (Vec<_>, Vec<_>) = typed
            .split_whitespace()
            .map(|word| (PartialDate::typed(word), word))
            .partition(|(date, _)| date.is_some());
        for date in dates.into_iter().filter_map(|(date, _)| date) {
            self.frame = self.frame.add(born(date));
        }
        let rest = words.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ");
        if rest.is_empty() {
            return Ok(Some(self));
        }
        let spellings = folding::query_words(&rest);
        let has_digit = folding::ascii_digits(&rest).bytes().any(|byte| byte.is_ascii_digit());
        if !has_digit && !rest.contains('|') {
            if spellings.is_empty() {
                return Ok(None);
            }
            self.literal = named(&spellings);
            self.similar = spellings
                .into_iter()
                .filter_map(|of_word| of_word.into_iter().next())
                .filter(|word| word.chars().count() >= MIN_SIMILAR_CHARACTERS)
                .collect();
            return Ok(Some(self));
        }
        let mut sources = Vec::new();
        if !spellings.is_empty() {
            sources
                .push(Query::select().column(Column::Id).from(Entity).cond_where(named(&spellings)).take());
        }
        sources.push(with_record_number(&rest));
        if phone::looks_like_phone(&rest) {
            sources.push(with_phone(&phone::search_prefixes(&rest, Region::of_locale(&scope.locale))));
        }
        sources.extend(with_identifier(scope, cipher, &rest)?);
        self.literal = Condition::all().add(Column::Id.in_subquery(union(sources)));
        Ok(Some(self))
    }

    fn exact(&self) -> Select<Entity> {
        Entity::find().filter(self.frame.clone()).filter(self.literal.clone())
    }
}

async fn sorted_page(
    db: &impl TenantScoped,
    query: Select<Entity>,
    page: &PageRequest,
    sort: PatientSort,
) -> Result<Page<Model>, CoreError> {
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    let (column, order) = match sort {
        PatientSort::Name => (Column::SortName, Order::Asc),
        PatientSort::NameDescending => (Column::SortName, Order::Desc),
        PatientSort::CreatedAt => (Column::CreatedAt, Order::Asc),
        PatientSort::CreatedAtDescending => (Column::CreatedAt, Order::Desc),
    };
    let mut query = query;
    if let Some(key) = &page.after {
        let [mode, id] = paging::parts(key)?;
        let last = last_of_page(db, id).await?;
        if mode != sort.as_str() {
            return Err(paging::malformed());
        }
        let columns = Expr::tuple([Expr::col((Entity, column)), Expr::col((Entity, Column::Id))]);
        let id = Expr::value(last.id);
        let values = match column {
            Column::CreatedAt => Expr::tuple([Expr::value(last.created_at), id]),
            _ => Expr::tuple([Expr::value(last.sort_name), id]),
        };
        query = query.filter(if order == Order::Asc { columns.gt(values) } else { columns.lt(values) });
    }
    let rows = query
        .order_by(column, order.clone())
        .order_by(Column::Id, order)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    Ok(Page::from_rows(rows, page, total, |row| vec![sort.as_str().to_owned(), row.id.to_string()]))
}

async fn similar_page_of(
    db: &impl TenantScoped,
    wanted: &Wanted,
    page: &PageRequest,
) -> Result<Page<Model>, CoreError> {
    let mut query = Entity::find().filter(wanted.frame.clone());
    for word in &wanted.similar {
        query = query.filter(likeness(word).gte(LIKENESS));
    }
    let total = if page.count { Some(query.clone().count(db).await?) } else { None };
    let score = wanted.similar.iter().map(|word| likeness(word)).reduce(|sum, one| sum.add(one));
    let Some(score) = score else { return Err(paging::malformed()) };
    if let Some(key) = &page.after {
        let [_, id] = paging::parts(key)?;
        let last = last_of_page(db, id).await?.id;
        let its_score = Entity::find_by_id(last).select_only().expr_as(score.clone(), "score");
        let its_score: f64 = its_score.into_tuple().one(db).await?.ok_or_else(paging::malformed)?;
        let behind = Condition::any()
            .add(score.clone().lt(its_score))
            .add(Condition::all().add(score.clone().eq(its_score)).add(Column::Id.gt(last)));
        query = query.filter(behind);
    }
    let rows = query
        .order_by(score, Order::Desc)
        .order_by_asc(Column::Id)
        .limit(u64::from(page.limit()) + 1)
        .all(db)
        .await?;
    Ok(Page::from_rows(rows, page, total, |row| vec![SIMILAR.to_owned(), row.id.to_string()]))
}

/// How alike a word and the best part of a name are. The extension's schema is named because it is never on a
/// tenant's search path.
fn likeness(word: &str) -> Expr {
    Expr::cust_with_values("CAST(extensions.word_similarity($1, search_text) AS float8)", [word])
}

async fn last_of_page(db: &impl TenantScoped, id: &str) -> Result<Last, CoreError> {
    let id: PatientId = paging::part(id)?;
    Entity::find_by_id(id).into_partial_model().one(db).await?.ok_or_else(paging::malformed)
}

/// The row at which a page ended.
#[derive(sea_orm::DerivePartialModel)]
#[sea_orm(entity = "Entity")]
struct Last {
    id: PatientId,
    created_at: DateTime<Utc>,
    sort_name: String,
}

async fn with_telecoms(db: &impl TenantScoped, page: Page<Model>) -> Result<Page<PatientSummary>, CoreError> {
    let ids: Vec<_> = page.items.iter().map(|row| row.id).collect();
    let telecoms = if ids.is_empty() { Vec::new() } else { telecoms_of(db, &ids).await? };
    Ok(page.map(|row| {
        let of_kind = |system| values(telecoms.iter().filter(|telecom| telecom.patient_id == row.id), system);
        PatientSummary {
            id: row.id,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            phones: of_kind(TelecomSystem::Phone),
            emails: of_kind(TelecomSystem::Email),
            mrn: row.mrn,
            status: row.status,
            family_name: row.family_name,
            given_name: row.given_name,
            middle_name: row.middle_name,
            usual_name: row.usual_name,
            original_script_name: row.original_script_name,
            gender: row.gender,
            birth_date: row
                .birth_date
                .zip(row.birth_date_precision)
                .map(|(date, precision)| PartialDate::new(date, precision)),
            deceased: row.deceased,
        }
    }))
}

/// Takes what was typed into one field of the filter; blank is nothing.
fn filled<'a>(text: Option<&'a str>, pointer: &str) -> Result<Option<&'a str>, CoreError> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    if text.is_some_and(|text| text.chars().count() > MAX_QUERY) {
        return Err(CoreError::invalid(pointer, "too_long", "must have at most 200 characters"));
    }
    Ok(text)
}

/// Every word begins one of the patient's words.
fn named(words: &[Vec<String>]) -> Condition {
    words.iter().fold(Condition::all(), |all, spellings| {
        let ranges = spellings.iter().map(|spelling| beginning(search_token::Column::Token, spelling));
        let ids = Query::select()
            .column(search_token::Column::PatientId)
            .from(search_token::Entity)
            .cond_where(ranges.fold(Condition::any(), Condition::add))
            .take();
        all.add(Column::Id.in_subquery(ids))
    })
}

fn with_phone(prefixes: &[String]) -> SelectStatement {
    let ranges = prefixes.iter().map(|prefix| beginning(telecom::Column::ReversedDigits, prefix));
    Query::select()
        .column(telecom::Column::PatientId)
        .from(telecom::Entity)
        .cond_where(ranges.fold(Condition::any(), Condition::add))
        .take()
}

fn with_record_number(typed: &str) -> SelectStatement {
    let number = mrn::typed(typed).unwrap_or_else(|| typed.to_owned());
    Query::select().column(Column::Id).from(Entity).and_where(Column::Mrn.eq(number)).take()
}

/// Selects whom an identifier belongs to; `None` when there is nothing to look for.
fn with_identifier(
    scope: &TenantScope,
    cipher: &FieldCipher,
    typed: &str,
) -> Result<Option<SelectStatement>, CoreError> {
    let (system, value) = typed.split_once('|').unwrap_or(("", typed));
    let folded = folding::identifier(value);
    if folded.is_empty() {
        return Ok(None);
    }
    let indexes = cipher.blind_indexes(scope.tenant_id, IDENTIFIER, &folded).map_err(sealed)?;
    let mut ids = Query::select()
        .column(identifier::Column::PatientId)
        .from(identifier::Entity)
        .and_where(identifier::Column::BlindIndex.is_in(indexes))
        .and_where(identifier::Column::VoidedAt.is_null())
        .take();
    let system = folding::tidy(system);
    if !system.is_empty() {
        ids.and_where(identifier::Column::System.eq(system));
    }
    Ok(Some(ids))
}

/// The range of texts, in the order of code points, that begin with a prefix.
fn beginning<C: ColumnTrait>(column: C, prefix: &str) -> Condition {
    let range = Condition::all().add(column.gte(prefix));
    match folding::prefix_end(prefix) {
        Some(end) => range.add(column.lt(end)),
        None => range,
    }
}

/// Born on the day, or in the month or year: a date that is known less exactly does not match a more exact one.
fn born(date: PartialDate) -> Condition {
    let mut range = Condition::all().add(Column::BirthDate.gte(date.first()));
    if let Some(end) = date.end() {
        range = range.add(Column::BirthDate.lt(end));
    }
    match date.precision() {
        DatePrecision::Day => range.add(Column::BirthDatePrecision.eq(DatePrecision::Day)),
        DatePrecision::Month => range.add(Column::BirthDatePrecision.ne(DatePrecision::Year)),
        DatePrecision::Year => range,
    }
}

fn union(sources: Vec<SelectStatement>) -> SelectStatement {
    let mut sources = sources.into_iter();
    let mut first = sources.next().unwrap_or_default();
    first.unions(sources.map(|source| (UnionType::All, source)));
    first
}
