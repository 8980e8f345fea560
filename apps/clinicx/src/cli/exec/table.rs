//! The rows of several tenants as one table.

use std::collections::BTreeSet;

use clinicx_tenancy::exec::Rows;
use clinicx_types::name::TenantSlug;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Undone;
use crate::cli::{Failed, Output};

/// The first column.
const TENANT: &str = "tenant";

/// The rows of all, each under its tenant. Columns that only some tenants have are empty for the others.
#[derive(Serialize)]
pub(super) struct Joined {
    columns: Vec<String>,
    rows: Vec<Map<String, Value>>,
    /// What came of each tenant.
    pub(super) tenants: Vec<Standing>,
    #[serde(skip)]
    most: usize,
}

/// What came of a tenant.
#[derive(Serialize)]
pub(super) struct Standing {
    tenant: String,
    rows: usize,
    /// There were more rows.
    cut: bool,
    error: Option<String>,
    sqlstate: Option<String>,
}

impl Standing {
    pub(super) fn undone(slug: &TenantSlug, undone: Undone) -> Self {
        let error = Some(undone.why().to_owned());
        let sqlstate = match undone {
            Undone::Failed { sqlstate, .. } => sqlstate,
            Undone::NotAsked(_) => None,
        };
        Self { tenant: slug.to_string(), rows: 0, cut: false, error, sqlstate }
    }
}

impl Joined {
    pub(super) fn new(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self { columns: vec![TENANT.to_owned()], rows: Vec::new(), tenants: Vec::new(), most }
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= self.most
    }

    pub(super) fn undone(&self) -> usize {
        self.tenants.iter().filter(|tenant| tenant.error.is_some()).count()
    }

    /// Adds the rows of a tenant, as many as there is room for.
    pub(super) fn add(&mut self, slug: &TenantSlug, found: Rows) -> Standing {
        let names = distinct(&found.columns);
        for name in &names {
            if !self.columns.contains(name) {
                self.columns.push(name.clone());
            }
        }
        let room = self.most.saturating_sub(self.rows.len());
        let (rows, cut) = (found.rows.len().min(room), found.is_cut || found.rows.len() > room);
        for values in found.rows.into_iter().take(room) {
            let mut row = Map::new();
            row.insert(TENANT.to_owned(), Value::from(slug.as_str()));
            row.extend(names.iter().cloned().zip(values));
            self.rows.push(row);
        }
        Standing { tenant: slug.to_string(), rows, cut, error: None, sqlstate: None }
    }

    /// Prints it: JSON, CSV, or a table with what is to be said of the tenants below.
    pub(super) fn show(&self, as_csv: bool, output: &Output) -> Result<(), Failed> {
        if output.is_json() {
            output.one(self);
            return Ok(());
        }
        if as_csv {
            output.text(&self.csv()?);
            for tenant in &self.tenants {
                let Standing { tenant, cut, error, .. } = tenant;
                if let Some(error) = error {
                    output.progress(&format!("{tenant}: {error}"));
                } else if *cut {
                    output.progress(&format!("{tenant}: there are more rows"));
                }
            }
            return Ok(());
        }
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        if !self.rows.is_empty() {
            let shown: Vec<Map<String, Value>> = self.rows.iter().map(printable).collect();
            output.many(&shown, &columns);
        }
        let remarkable: Vec<&Standing> =
            self.tenants.iter().filter(|one| one.cut || one.error.is_some()).collect();
        let (cut, undone) = (self.tenants.iter().filter(|one| one.cut).count(), self.undone());
        output.note(&format!(
            "{} rows of {} tenants; {cut} have more rows, {undone} failed or were not asked",
            self.rows.len(),
            self.tenants.len() - undone
        ));
        if !remarkable.is_empty() {
            output.many(&remarkable, &["tenant", "rows", "cut", "error"]);
        }
        Ok(())
    }

    fn csv(&self) -> Result<String, Failed> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.columns)?;
        for row in &self.rows {
            writer.write_record(self.columns.iter().map(|column| match row.get(column) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            }))?;
        }
        let bytes = writer.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(String::from_utf8(bytes)?)
    }
}

/// Gives each column a name of its own that is not the tenant's column either.
fn distinct(columns: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::from([TENANT.to_owned()]);
    let mut names = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column.clone();
        let mut number = 1_u32;
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{column}_{number}");
        }
        names.push(name);
    }
    names
}

/// Makes a row fit for a terminal, which obeys some characters: a value could move its cursor or rename its window.
fn printable(row: &Map<String, Value>) -> Map<String, Value> {
    let clean = |value: &Value| match value {
        Value::String(text) => {
            let line = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
            Value::String(text.chars().map(line).collect())
        }
        Value::Array(_) | Value::Object(_) => Value::String(value.to_string()),
        other => other.clone(),
    };
    row.iter().map(|(name, value)| (name.clone(), clean(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(columns: &[&str], rows: &[&[i64]], is_cut: bool) -> Rows {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let rows = rows.iter().map(|row| row.iter().map(|value| json!(value)).collect()).collect();
        Rows { columns, rows, is_cut }
    }

    fn slug(text: &str) -> TenantSlug {
        TenantSlug::parse(text).unwrap()
    }

    #[test]
    fn rows_stand_under_their_tenants_whatever_their_columns() {
        let mut joined = Joined::new(3);
        let standing = joined.add(&slug("a"), rows(&["tenant", "n", "n"], &[&[1, 2, 3]], false));
        joined.tenants.push(standing);
        let standing = joined.add(&slug("b"), rows(&["m"], &[&[4], &[5], &[6]], false));
        joined.tenants.push(standing);
        assert_eq!(joined.columns, ["tenant", "tenant_2", "n", "n_2", "m"]);
        assert_eq!(joined.csv().unwrap(), "tenant,tenant_2,n,n_2,m\na,1,2,3,\nb,,,,4\nb,,,,5\n");
        assert!(joined.is_full());
        assert_eq!((joined.tenants[1].rows, joined.tenants[1].cut), (2, true));
    }

    #[test]
    fn a_value_does_not_command_the_terminal() {
        let row = json!({"a": "x\u{1b}[2Jy\nz", "b": {"c": 1}, "d": 2});
        let shown = printable(row.as_object().unwrap());
        assert_eq!(Value::from(shown), json!({"a": "x\u{fffd}[2Jy\nz", "b": "{\"c\":1}", "d": 2}));
    }
}
