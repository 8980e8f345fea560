//! Takes over a clinic's own catalogue from a file: all of it or nothing.

use std::collections::{BTreeMap, BTreeSet};

use clinicx_core::validation;
use clinicx_persistence::{
    TenantScope, TenantTransaction,
    record::{Change, record},
};
use clinicx_types::error::FieldError;
use csv::{ReaderBuilder, StringRecord};
use sea_orm::{
    ActiveEnum, ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, JsonValue, QueryFilter,
    QuerySelect, sea_query::LockType,
};
use serde_json::json;
use validator::Validate;

use super::{
    dto::{
        self, CreateProcedureCode, ImportProcedureCodes, ImportedProcedureCodes, ProcedureCode,
        UpdateProcedureCode,
    },
    entity::{Column, Entity, Model},
    kind::{Category, Effect, Origin},
    service,
};
use crate::{area::Area, error::DentalError, event};

/// The columns that a file can have.
pub const COLUMNS: [&str; 10] =
    ["code", "name", "category", "area", "effect", "price", "currency", "tax_rate", "billable", "active"];
/// The most lines that a file can have beside its first.
pub const MAX_LINES: usize = 5_000;
/// The most errors that are told at once.
const MAX_ERRORS: usize = 100;

/// Takes over a catalogue: codes that are new are added, others changed in the columns that the file has.
///
/// Needs `procedure_code.write`. Leaves one audit row, with the new codes and their prices, and one event for the file,
/// and one of each for every code that it changes.
///
/// # Errors
/// [`CoreError::Invalid`](clinicx_core::CoreError::Invalid) with an entry for each wrong field, at
/// `/csv/<line>/<column>`, where the line that names the columns is line 1;
/// [`CoreError::Database`](clinicx_core::CoreError::Database).
#[tracing::instrument(name = "dental.procedure_code.import", skip_all, fields(tenant.id = %scope.tenant_id), err(level = "debug"))]
pub async fn import(
    tx: &TenantTransaction,
    scope: &TenantScope,
    input: ImportProcedureCodes,
) -> Result<ImportedProcedureCodes, DentalError> {
    validation::check(&input)?;
    let File { lines, mut wrong } = read(&input.csv).map_err(DentalError::fields_of)?;
    let codes = lines.iter().map(|line| line.code.clone()).filter(|code| dto::code(code).is_ok());
    let query = Entity::find().filter(Column::Code.is_in(codes)).lock(LockType::NoKeyUpdate);
    let present: BTreeMap<String, Model> =
        query.all(tx).await?.into_iter().map(|row| (row.code.clone(), row)).collect();
    let (mut new, mut changed, mut unchanged) = (Vec::new(), Vec::new(), 0_u64);
    for line in lines {
        let number = line.number;
        let outcome = match present.get(&line.code) {
            None => service::new_row(scope, line.create(), Origin::Imported).map(|row| new.push(row)),
            Some(before) => {
                let mut after = before.clone();
                service::apply(scope, &mut after, line.update()).map(|()| match after == *before {
                    true => unchanged += 1,
                    false => changed.push((before.clone(), after)),
                })
            }
        };
        if let Err(errors) = outcome {
            wrong.extend(errors.into_iter().map(|error| placed(number, error)));
        }
    }
    if !wrong.is_empty() {
        wrong.sort_by_key(|(number, _)| *number);
        let wrong = wrong.into_iter().map(|(_, error)| error).take(MAX_ERRORS);
        return Err(DentalError::fields_of(wrong.collect()));
    }
    let imported = ImportedProcedureCodes {
        created: u64::try_from(new.len()).unwrap_or(u64::MAX),
        updated: u64::try_from(changed.len()).unwrap_or(u64::MAX),
        unchanged,
    };
    for rows in new.chunks(500) {
        let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
        Entity::insert_many(rows).exec_without_returning(tx).await.map_err(service::refused)?;
    }
    for (before, after) in changed {
        service::write(tx, scope, before, after).await?;
    }
    let prices: BTreeMap<&str, Option<String>> =
        new.iter().map(|row| (row.code.as_str(), price_of(row))).collect();
    leave(tx, scope, imported, json!({ "created": prices, "updated": imported.updated })).await?;
    Ok(imported)
}

fn price_of(row: &Model) -> Option<String> {
    ProcedureCode::from(row.clone()).price
}

async fn leave(
    tx: &TenantTransaction,
    scope: &TenantScope,
    imported: ImportedProcedureCodes,
    after: JsonValue,
) -> Result<(), DentalError> {
    let counts = serde_json::to_value(imported).unwrap_or_default();
    let change = Change {
        event: event::PROCEDURE_CODES_IMPORTED,
        aggregate: "procedure_catalogue",
        aggregate_id: scope.next_id(),
        patient_id: None,
        before: None,
        after: Some(after),
        payload: json!({ "imported": counts }),
    };
    Ok(record(tx, scope, change).await?)
}

/// One line of a file; what its file has no column for is `None`, what is empty is `Some(None)` where that clears.
struct Line {
    number: u64,
    code: String,
    name: String,
    category: Option<Category>,
    area: Option<Area>,
    effect: Option<Option<Effect>>,
    price: Option<Option<String>>,
    currency: Option<String>,
    tax_rate: Option<String>,
    billable: Option<bool>,
    active: Option<bool>,
}

impl Line {
    fn create(self) -> CreateProcedureCode {
        CreateProcedureCode {
            code: self.code,
            name: self.name,
            names: BTreeMap::new(),
            category: self.category.unwrap_or_default(),
            area: self.area.unwrap_or_default(),
            effect: self.effect.flatten(),
            price: self.price.flatten(),
            currency: self.currency,
            tax_rate: self.tax_rate,
            billable: self.billable.unwrap_or(true),
            active: self.active.unwrap_or(true),
        }
    }

    fn update(self) -> UpdateProcedureCode {
        UpdateProcedureCode {
            name: Some(self.name),
            names: None,
            category: self.category,
            area: self.area,
            effect: self.effect,
            price: self.price,
            currency: self.currency,
            tax_rate: self.tax_rate,
            billable: self.billable,
            active: self.active,
        }
    }
}

/// What was read of a file: its lines, and what is wrong about them by the numbers of the lines.
struct File {
    lines: Vec<Line>,
    wrong: Vec<(u64, FieldError)>,
}

/// Says in which line a wrong field stands.
fn placed(number: u64, error: FieldError) -> (u64, FieldError) {
    let pointer = format!("/csv/{number}{}", error.pointer);
    (number, FieldError { pointer, ..error })
}

/// Reads the whole file, whatever is wrong about its lines; a file that can't be read as one is refused.
fn read(text: &str) -> Result<File, Vec<FieldError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|_| vec![unreadable(1)])?.clone();
    let columns = columns(&headers)?;
    let (mut lines, mut wrong, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut counted = Counted { text, bytes: 0, line: 1 };
    for record in reader.records() {
        let Ok(record) = record else {
            wrong.push((2, unreadable(2)));
            break;
        };
        let number = counted.line_of(&record);
        if lines.len() >= MAX_LINES {
            let detail = format!("must have at most {MAX_LINES} lines");
            return Err(vec![FieldError::new("/csv", "too_long", detail)]);
        }
        if wrong.len() >= MAX_ERRORS {
            break;
        }
        if record.len() != headers.len() {
            let detail = "must have as many fields as the first line";
            wrong.push(placed(number, FieldError::new("", "wrong_length", detail)));
            continue;
        }
        let (line, errors) = line(&columns, &record, number);
        wrong.extend(errors.into_iter().map(|error| placed(number, error)));
        if dto::code(&line.code).is_ok() && !seen.insert(line.code.clone()) {
            let twice = FieldError::new("/code", "duplicate", "stands in the file already");
            wrong.push(placed(number, twice));
        }
        lines.push(line);
    }
    if lines.is_empty() && wrong.is_empty() {
        return Err(vec![FieldError::new("/csv", "too_short", "must have a line beside the first")]);
    }
    Ok(File { lines, wrong })
}

/// Counts the lines up to a record. The reader's own count is one behind where lines end with CR and LF.
struct Counted<'a> {
    text: &'a str,
    bytes: usize,
    line: u64,
}

impl Counted<'_> {
    fn line_of(&mut self, record: &StringRecord) -> u64 {
        let begins = record.position().and_then(|position| usize::try_from(position.byte()).ok());
        let rest = self.text.as_bytes().get(self.bytes..).unwrap_or_default();
        let ahead = begins.unwrap_or(self.bytes).saturating_sub(self.bytes);
        // The end of the line before may still belong to what comes.
        let ends = rest.iter().skip(ahead).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = rest.iter().take(ahead.saturating_add(ends));
        let lines = passed.filter(|byte| **byte == b'\n').count();
        self.line = self.line.saturating_add(u64::try_from(lines).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(ahead).saturating_add(ends);
        self.line
    }
}

fn unreadable(line: u64) -> FieldError {
    FieldError::new(format!("/csv/{line}"), "malformed_csv", "must be comma-separated values (RFC 4180)")
}

/// Finds the columns by their names.
fn columns(headers: &StringRecord) -> Result<BTreeMap<&'static str, usize>, Vec<FieldError>> {
    let (mut columns, mut wrong) = (BTreeMap::new(), Vec::new());
    for (index, header) in headers.iter().enumerate() {
        let name = header.trim().to_ascii_lowercase();
        let pointer = || format!("/csv/1/{}", index.saturating_add(1));
        match COLUMNS.into_iter().find(|column| *column == name) {
            Some(column) => {
                if columns.insert(column, index).is_some() {
                    wrong.push(FieldError::new(pointer(), "duplicate", "stands in the line already"));
                }
            }
            None => {
                let detail = format!("must be one of {}", COLUMNS.join(", "));
                wrong.push(FieldError::new(pointer(), "unknown_column", detail));
            }
        }
    }
    for needed in ["code", "name"] {
        if !columns.contains_key(needed) {
            wrong.push(FieldError::new("/csv/1", "required", format!("must name the column {needed}")));
        }
    }
    if wrong.is_empty() { Ok(columns) } else { Err(wrong) }
}

/// Reads a line, and tells what is wrong about its fields but what it costs, which depends on what is there already.
fn line(
    columns: &BTreeMap<&'static str, usize>,
    record: &StringRecord,
    number: u64,
) -> (Line, Vec<FieldError>) {
    let field = |name: &str| columns.get(name).and_then(|index| record.get(*index)).map(str::trim);
    let filled = |name: &str| field(name).filter(|text| !text.is_empty());
    let mut wrong = Vec::new();
    let category = word::<Category>(filled("category"), "category", &mut wrong);
    let area = word::<Area>(filled("area"), "area", &mut wrong);
    let effect = word::<Effect>(filled("effect"), "effect", &mut wrong);
    let billable = truth(filled("billable"), "billable", &mut wrong);
    let active = truth(filled("active"), "active", &mut wrong);
    let found = Line {
        number,
        code: field("code").unwrap_or_default().to_ascii_uppercase(),
        name: field("name").unwrap_or_default().to_owned(),
        category,
        area,
        effect: columns.contains_key("effect").then_some(effect),
        price: field("price").map(|text| (!text.is_empty()).then(|| text.to_owned())),
        currency: filled("currency").map(str::to_owned),
        tax_rate: filled("tax_rate").map(str::to_owned),
        billable,
        active,
    };
    let checked = CreateProcedureCode {
        code: found.code.clone(),
        name: found.name.clone(),
        names: BTreeMap::new(),
        category: Category::Other,
        area: Area::Mouth,
        effect: None,
        price: None,
        currency: None,
        tax_rate: None,
        billable: true,
        active: true,
    };
    if let Err(errors) = checked.validate() {
        wrong.extend(validation::field_errors(&errors));
    }
    (found, wrong)
}

/// Reads one of the words of a type.
fn word<T: ActiveEnum<Value = String>>(
    text: Option<&str>,
    column: &str,
    wrong: &mut Vec<FieldError>,
) -> Option<T> {
    let text = text?;
    let found = T::try_from_value(&text.to_ascii_lowercase()).ok();
    if found.is_none() {
        let words = T::values().into_iter().collect::<Vec<_>>().join(", ");
        let detail = format!("must be one of {words}");
        wrong.push(FieldError::new(format!("/{column}"), "unknown_value", detail));
    }
    found
}

fn truth(text: Option<&str>, column: &str, wrong: &mut Vec<FieldError>) -> Option<bool> {
    match text?.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => {
            wrong.push(FieldError::new(format!("/{column}"), "unknown_value", "must be true or false"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(text: &str) -> Vec<(String, String)> {
        let wrong = match read(text) {
            Ok(file) => file.wrong.into_iter().map(|(_, error)| error).collect(),
            Err(wrong) => wrong,
        };
        wrong.into_iter().map(|one| (one.pointer, one.code)).collect()
    }

    #[test]
    fn a_file_is_read_by_the_names_of_its_columns() {
        let text = "\u{feff}Name,code,PRICE,billable\r\n\"Filling, small\",f1,12.50,no\r\nExam,E-2,,\r\n";
        let File { lines, wrong } = read(text).map_err(|wrong| format!("{wrong:?}")).unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        let one = &lines[0];
        assert_eq!((one.number, one.code.as_str(), one.name.as_str()), (2, "F1", "Filling, small"));
        assert_eq!(
            (one.price.clone(), one.billable, one.active),
            (Some(Some("12.50".into())), Some(false), None)
        );
        assert_eq!((lines[1].price.clone(), lines[1].billable), (Some(None), None));
        assert!(lines[1].effect.is_none() && lines[1].category.is_none());
    }

    #[test]
    fn every_wrong_field_is_told_with_its_line() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let expected: Vec<_> =
                expected.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect();
            assert_eq!(pointers(text), expected, "{text:?}");
        };
        check("", &[("/csv/1", "required"), ("/csv/1", "required")]);
        check("code,name\n", &[("/csv", "too_short")]);
        check("code,name,colour\nA,B,C\n", &[("/csv/1/3", "unknown_column")]);
        check("code,name,code\nA,B,C\n", &[("/csv/1/3", "duplicate")]);
        check("code,name\nA,B\nA,C\n", &[("/csv/3/code", "duplicate")]);
        check("code,name\nA\n", &[("/csv/2", "wrong_length")]);
        check("code,name\nA B,\n", &[("/csv/2/code", "malformed_code"), ("/csv/2/name", "blank")]);
        check(
            "code,name,category,area,effect,active\nA,A,magic,mouth,,\nB,B,other,nose,none,perhaps\n",
            &[
                ("/csv/2/category", "unknown_value"),
                ("/csv/3/area", "unknown_value"),
                ("/csv/3/effect", "unknown_value"),
                ("/csv/3/active", "unknown_value"),
            ],
        );
        check("code,name\n\"A\nB\",C\nD,\n", &[("/csv/2/code", "malformed_code"), ("/csv/4/name", "blank")]);
    }

    #[test]
    fn a_file_that_is_too_long_is_refused() {
        let lines: String = (0..=MAX_LINES).map(|number| format!("C{number},Name\n")).collect();
        assert_eq!(pointers(&format!("code,name\n{lines}")), [("/csv".to_owned(), "too_long".to_owned())]);
    }
}
