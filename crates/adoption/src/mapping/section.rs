//! A section of a mapping, read strictly: what nobody asks for is an error that names the nearest known key.

use toml::{Table, Value};

use super::{MappingError, name::LegacyName};

/// How alike two keys must be for one to be suggested for the other.
const ALIKE: f64 = 0.6;

/// One table of the file and where it stands.
pub(super) struct Section {
    path: String,
    table: Table,
    known: Vec<&'static str>,
}

impl Section {
    /// Begins with a table.
    pub(super) fn new(path: &str, table: Table) -> Self {
        Self { path: path.to_owned(), table, known: Vec::new() }
    }

    /// Returns where a key of it stands.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Makes an error about one of its keys.
    pub(super) fn wrong(&self, key: &str, what: &str) -> MappingError {
        MappingError::Wrong { key: self.path_of(key), what: what.to_owned() }
    }

    /// Takes a value out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Takes a text out, if it is there.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "must be a text")),
        }
    }

    /// Takes a text out that has to be there.
    pub(super) fn required(&mut self, key: &'static str) -> Result<String, MappingError> {
        self.text(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    /// Takes a list of texts out, empty when it is not there.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Vec<String>, MappingError> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let Value::Array(items) = value else { return Err(self.wrong(key, "must be a list of texts")) };
        let text = |item: Value| match item {
            Value::String(text) => Ok(text),
            _ => Err(self.wrong(key, "must be a list of texts")),
        };
        items.into_iter().map(text).collect()
    }

    /// Takes a name of the old system out.
    pub(super) fn name(&mut self, key: &'static str) -> Result<LegacyName, MappingError> {
        let text = self.required(key)?;
        LegacyName::parse(&text).ok_or_else(|| self.wrong(key, "must be a name of 1 to 63 bytes"))
    }

    /// Takes a table out, empty when it is not there.
    pub(super) fn table(&mut self, key: &'static str) -> Result<Table, MappingError> {
        match self.take(key) {
            None => Ok(Table::new()),
            Some(Value::Table(table)) => Ok(table),
            Some(_) => Err(self.wrong(key, "must be a section")),
        }
    }

    /// Refuses what is left.
    pub(super) fn finish(self) -> Result<(), MappingError> {
        match self.table.keys().next() {
            None => Ok(()),
            Some(key) => Err(unknown(&self.path_of(key), key, self.known.iter().copied())),
        }
    }
}

/// Makes the error of a key that nobody knows.
pub(super) fn unknown<'a>(path: &str, key: &str, known: impl Iterator<Item = &'a str>) -> MappingError {
    let score = |name: &str| strsim::jaro_winkler(key, name);
    let nearest = known.max_by(|one, other| score(one).total_cmp(&score(other)));
    let nearest = nearest.filter(|name| score(name) > ALIKE).map(str::to_owned);
    MappingError::UnknownKey { key: path.to_owned(), nearest }
}
