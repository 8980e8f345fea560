//! The mapping: which clinics, which old tables, and what of them becomes what.

pub mod name;
mod section;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use clinicx_core::intake::Thing;
use clinicx_types::name::TenantSlug;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

pub use name::LegacyName;
use section::Section;
pub use source::{Origin, Source};

use crate::target;

/// Why a mapping can't be used; each is one line that says what to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// It is no TOML.
    #[error("the mapping is no TOML: {0}")]
    Malformed(String),
    /// A key that nobody knows.
    #[error("unknown key {key}{}", nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    UnknownKey {
        /// The key, with its sections.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A key with something that it can't be, or that is missing.
    #[error("{key} {what}")]
    Wrong {
        /// The key, with its sections.
        key: String,
        /// What is wrong.
        what: String,
    },
}

/// What becomes of a row that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMisfit {
    /// It is left behind and written down.
    #[default]
    Leave,
    /// The clinic is not moved.
    Stop,
}

/// What becomes of an appointment that stands over another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOverlap {
    /// It does not fit.
    #[default]
    Leave,
    /// It is kept as one that was booked over others.
    Overbook,
}

/// One old table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMapping {
    /// Its name.
    pub from: LegacyName,
    /// The column that says whose a row is.
    pub tenant: LegacyName,
    /// The column that names a row; unique within a clinic.
    pub key: LegacyName,
    /// A condition over its columns, in SQL: the rows that are moved.
    pub filter: Option<String>,
    /// Where each field comes from.
    pub columns: BTreeMap<&'static str, Source>,
}

/// One clinic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantMapping {
    /// The slug of the tenant that it becomes.
    pub slug: TenantSlug,
    /// What stands in the tenant columns of its rows.
    pub legacy: String,
    /// Names it for people.
    pub name: String,
    /// Its time zone (IANA).
    pub time_zone: String,
    /// Its currency (ISO 4217).
    pub currency: String,
    /// Its locale (BCP 47).
    pub locale: String,
    /// Its modules beside core.
    pub modules: Vec<String>,
    /// What it subscribes to.
    pub plan: Option<String>,
    /// The first administrator's address.
    pub admin_email: String,
    /// The first administrator's name.
    pub admin_name: String,
}

/// A mapping that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The schema of the old tables.
    pub schema: LegacyName,
    /// The variable that holds the URL of the login that reads them and can do nothing else.
    pub reader_url_env: String,
    /// The variable that holds the URL of the login that owns them.
    pub owner_url_env: String,
    /// What becomes of rows that don't fit.
    pub on_misfit: OnMisfit,
    /// What becomes of appointments over others.
    pub on_overlap: OnOverlap,
    /// The clinics, in the order in which they are moved.
    pub tenants: Vec<TenantMapping>,
    /// The tables, in an order in which none refers to a later one.
    pub tables: BTreeMap<Thing, TableMapping>,
    /// The SHA-256 of the text, in hexadecimal.
    pub digest: String,
}

impl Mapping {
    /// Reads a mapping.
    ///
    /// # Errors
    /// [`MappingError`].
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let table: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
            let line =
                error.span().map(|span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            MappingError::Malformed(format!("{place}{}", error.message()))
        })?;
        let mut root = Section::new("", table);
        let mut legacy = Section::new("legacy", root.table("legacy")?);
        let tenants = tenants(&mut root)?;
        let tables = tables(root.table("tables")?)?;
        root.finish()?;
        let mapping = Self {
            schema: legacy.name("schema")?,
            reader_url_env: legacy.text("reader_url_env")?.unwrap_or_else(|| "LEGACY_READER_URL".to_owned()),
            owner_url_env: legacy.text("owner_url_env")?.unwrap_or_else(|| "LEGACY_OWNER_URL".to_owned()),
            on_misfit: match legacy.text("misfits")?.as_deref() {
                None | Some("leave") => OnMisfit::Leave,
                Some("stop") => OnMisfit::Stop,
                Some(_) => return Err(legacy.wrong("misfits", "must be \"leave\" or \"stop\"")),
            },
            on_overlap: match legacy.text("overlapping")?.as_deref() {
                None | Some("leave") => OnOverlap::Leave,
                Some("overbook") => OnOverlap::Overbook,
                Some(_) => return Err(legacy.wrong("overlapping", "must be \"leave\" or \"overbook\"")),
            },
            tenants,
            tables,
            digest: crate::report::hex(&Sha256::digest(text.as_bytes())),
        };
        legacy.finish()?;
        Ok(mapping)
    }

    /// Returns the old table's name with its schema, quoted.
    pub(crate) fn relation(&self, table: &TableMapping) -> String {
        format!("{}.{}", self.schema.quoted(), table.from.quoted())
    }
}

fn tenants(root: &mut Section) -> Result<Vec<TenantMapping>, MappingError> {
    let Some(Value::Array(list)) = root.take("tenants") else {
        return Err(root.wrong("tenants", "must be a list of sections [[tenants]]"));
    };
    let (mut slugs, mut values) = (BTreeSet::new(), BTreeSet::new());
    let mut tenants = Vec::with_capacity(list.len());
    for (at, item) in list.into_iter().enumerate() {
        let path = format!("tenants[{at}]");
        let Value::Table(table) = item else { return Err(root.wrong("tenants", "must be sections")) };
        let mut section = Section::new(&path, table);
        let slug = section.required("slug")?;
        let tenant = TenantMapping {
            slug: TenantSlug::parse(&slug).map_err(|error| section.wrong("slug", &error.to_string()))?,
            legacy: section.required("legacy")?,
            name: section.required("name")?,
            time_zone: section.required("time_zone")?,
            currency: section.required("currency")?,
            locale: section.text("locale")?.unwrap_or_else(|| "en".to_owned()),
            modules: section.texts("modules")?,
            plan: section.text("plan")?,
            admin_email: section.required("admin_email")?,
            admin_name: section.required("admin_name")?,
        };
        if !slugs.insert(tenant.slug.clone()) {
            return Err(section.wrong("slug", "stands there twice"));
        }
        if !values.insert(tenant.legacy.clone()) {
            return Err(section.wrong("legacy", "stands there twice"));
        }
        section.finish()?;
        tenants.push(tenant);
    }
    if tenants.is_empty() { Err(root.wrong("tenants", "must not be empty")) } else { Ok(tenants) }
}

fn tables(table: Table) -> Result<BTreeMap<Thing, TableMapping>, MappingError> {
    let mut tables = BTreeMap::new();
    for (name, value) in table {
        let path = format!("tables.{name}");
        let Some(thing) = Thing::ALL.into_iter().find(|thing| thing.table() == name) else {
            return Err(section::unknown(&path, &name, Thing::ALL.into_iter().map(Thing::table)));
        };
        let Value::Table(table) = value else {
            return Err(MappingError::Wrong { key: path, what: "must be a section".to_owned() });
        };
        tables.insert(thing, one_table(&path, thing, table)?);
    }
    if tables.is_empty() {
        return Err(MappingError::Wrong { key: "tables".to_owned(), what: "must not be empty".to_owned() });
    }
    for (thing, mapping) in &tables {
        for field in target::fields(*thing) {
            if let (target::Kind::Key(other), true) = (field.kind, mapping.columns.contains_key(field.name))
                && !tables.contains_key(&other)
            {
                let key = format!("tables.{}.columns.{}", thing.table(), field.name);
                let what = format!("refers to {}, which is not mapped", other.table());
                return Err(MappingError::Wrong { key, what });
            }
        }
    }
    Ok(tables)
}

fn one_table(path: &str, thing: Thing, table: Table) -> Result<TableMapping, MappingError> {
    let mut section = Section::new(path, table);
    let filter = section.text("where")?;
    if filter.as_deref().is_some_and(|sql| !source::is_one_expression(sql)) {
        return Err(section.wrong(
            "where",
            "must be one expression, with its quotes and brackets closed and without comments",
        ));
    }
    let columns_path = section.path_of("columns");
    let mut columns = BTreeMap::new();
    for (name, value) in section.table("columns")? {
        let key = format!("{columns_path}.{name}");
        let fields = target::fields(thing);
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            return Err(section::unknown(&key, &name, fields.iter().map(|field| field.name)));
        };
        columns.insert(field.name, Source::read(&key, value)?);
    }
    for field in target::fields(thing).iter().filter(|field| field.required) {
        if !columns.contains_key(field.name) {
            let key = format!("{columns_path}.{}", field.name);
            return Err(MappingError::Wrong { key, what: "is missing".to_owned() });
        }
    }
    let mapping = TableMapping {
        from: section.name("from")?,
        tenant: section.name("tenant")?,
        key: section.name("key")?,
        filter,
        columns,
    };
    section.finish()?;
    Ok(mapping)
}

#[cfg(test)]
mod tests;
