//! Steps that do not fit into a migration's transaction: an index that is built while its table is written to, and rows
//! that are filled in by batches.
//!
//! Such a step is alone in its migration, and can be taken up again where a crash has left it. On a schema that is new
//! there is nobody to be held up: there the whole migration is its plain statement, in the transaction of all others.

use clinicx_types::uuid::Uuid;

/// A step outside of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// An index that is built while its table is written to.
    Index(ConcurrentIndex),
    /// Rows that are filled in by batches.
    Backfill(Backfill),
}

/// An index that is built with CONCURRENTLY. One that a crash has left invalid is dropped and built again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrentIndex {
    /// Its name.
    pub name: &'static str,
    /// Its table.
    pub table: &'static str,
    /// What stands after the table: `(birth_date)`, `USING gin (…)`, `(a) WHERE b`.
    pub on: &'static str,
    /// Whether it lets no value be there twice.
    pub is_unique: bool,
}

/// Rows that are given a value, a range of ids at a time.
///
/// The position is saved with each range, so that a crash repeats none. Rows that are written meanwhile are the
/// running program's: the column has a default, or the program fills it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// The table; its rows have a key `id`.
    pub table: &'static str,
    /// What is set: `given_name_key = lower(given_name)`. It may not name `id` without its table.
    pub set: &'static str,
    /// Which rows are due, those that are done not among them: `given_name_key IS NULL`.
    pub due: &'static str,
    /// How many rows a batch has.
    pub rows: u32,
}

impl Outside {
    /// Writes it as one statement for a transaction.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Index(index) => index.statement(""),
            Self::Backfill(Backfill { table, set, due, .. }) => {
                format!("UPDATE \"{table}\" SET {set} WHERE {due}")
            }
        }
    }

    /// Says what it does, for a plan that people read.
    pub fn summary(&self) -> String {
        match self {
            Self::Index(index) => index.concurrently(),
            Self::Backfill(Backfill { rows, .. }) => format!("{}, {rows} rows at a time", self.plain()),
        }
    }
}

impl ConcurrentIndex {
    /// Writes the statement that builds it outside of a transaction.
    pub(super) fn concurrently(&self) -> String {
        self.statement("CONCURRENTLY ")
    }

    /// Tells whether it has columns alone, without expressions and conditions.
    pub(super) fn is_of_columns(&self) -> bool {
        self.on.matches('(').count() == 1 && !self.on.to_ascii_uppercase().contains("WHERE")
    }

    fn statement(&self, how: &str) -> String {
        let Self { name, table, on, is_unique } = self;
        let unique = if *is_unique { "UNIQUE " } else { "" };
        format!("CREATE {unique}INDEX {how}\"{name}\" ON \"{table}\" {on}")
    }
}

impl Backfill {
    /// Writes the statement of the batch after this id. It answers with the last id that it has looked at, as `last`,
    /// and how many rows it has filled, as `filled`; `last` is null at the end of the table.
    pub(super) fn batch(&self, after: Uuid) -> String {
        let Self { table, set, due, rows } = self;
        format!(
            "WITH batch AS (\
             SELECT x.id AS batch_id FROM \"{table}\" AS x WHERE x.id > '{after}' ORDER BY x.id LIMIT {rows}), \
             filled AS (UPDATE \"{table}\" SET {set} FROM batch WHERE \"{table}\".id = batch.batch_id AND ({due}) \
             RETURNING 1) \
             SELECT (SELECT batch_id FROM batch ORDER BY batch_id DESC LIMIT 1) AS last, \
             (SELECT count(*) FROM filled) AS filled"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_written_with_and_without_concurrently() {
        let index =
            ConcurrentIndex { name: "ux_a__b", table: "a", on: "(b) WHERE b IS NOT NULL", is_unique: true };
        assert_eq!(
            Outside::Index(index).plain(),
            "CREATE UNIQUE INDEX \"ux_a__b\" ON \"a\" (b) WHERE b IS NOT NULL"
        );
        assert!(!index.is_of_columns() && ConcurrentIndex { on: "(b, c DESC)", ..index }.is_of_columns());
        assert_eq!(
            index.concurrently(),
            "CREATE UNIQUE INDEX CONCURRENTLY \"ux_a__b\" ON \"a\" (b) WHERE b IS NOT NULL"
        );
    }
}
