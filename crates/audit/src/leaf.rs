//! The leaf of a row: every column, written so that no two rows look the same.

use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::merkle::{self, Hash};

/// The encoding that new leaves have. A column that is added to the table needs a new one; old leaves keep theirs.
pub const ENCODING: i16 = 1;

/// The columns of encoding 1 in its order, each as text (numbers in decimal, `jsonb` as PostgreSQL prints it). They come
/// first in whatever selects them.
///
/// The time is in microseconds since 1970, because its text depends on settings of the session.
pub(crate) const COLUMNS: &str = "\
CAST(a.id AS text) AS c0, \
CAST(CAST(EXTRACT(EPOCH FROM a.recorded_at) * 1000000 AS bigint) AS text) AS c1, \
CAST(a.tenant_id AS text) AS c2, \
a.database_role AS c3, \
a.actor_kind AS c4, \
CAST(a.actor_id AS text) AS c5, \
a.actor_job AS c6, \
CAST(a.session_id AS text) AS c7, \
CAST(a.break_glass_id AS text) AS c8, \
a.action AS c9, \
a.entity AS c10, \
CAST(a.entity_id AS text) AS c11, \
CAST(a.patient_id AS text) AS c12, \
CAST(a.patient_ids AS text) AS c13, \
CAST(a.request_id AS text) AS c14, \
CAST(a.source_address AS text) AS c15, \
CAST(a.before AS text) AS c16, \
CAST(a.after AS text) AS c17, \
CAST(a.transaction_id AS text) AS c18";

/// The names of the table's columns in the order of encoding 1.
pub const COLUMN_NAMES: [&str; 19] = [
    "id",
    "recorded_at",
    "tenant_id",
    "database_role",
    "actor_kind",
    "actor_id",
    "actor_job",
    "session_id",
    "break_glass_id",
    "action",
    "entity",
    "entity_id",
    "patient_id",
    "patient_ids",
    "request_id",
    "source_address",
    "before",
    "after",
    "transaction_id",
];

/// A row as it is sealed.
#[derive(Clone, Debug)]
pub(crate) struct SealedRow {
    /// Which one.
    pub(crate) id: Uuid,
    /// The transaction that wrote it.
    pub(crate) transaction_id: u64,
    /// When it says that it was written, in microseconds since 1970.
    pub(crate) recorded_at_us: i64,
    fields: Vec<Option<String>>,
}

impl FromQueryResult for SealedRow {
    fn from_query_result(row: &sea_orm::QueryResult, _prefix: &str) -> Result<Self, sea_orm::DbErr> {
        // By their places: there are many rows, and looking for a name costs more than reading its text.
        let field = |number: usize| row.try_get_by_index::<Option<String>>(number);
        let fields = (0..COLUMN_NAMES.len()).map(field).collect::<Result<Vec<_>, _>>()?;
        let of = |at: Option<&Option<String>>| at.cloned().flatten().unwrap_or_default();
        let wrong = |what: &str| sea_orm::DbErr::Type(format!("an audit row's {what} can't be read"));
        Ok(Self {
            id: of(fields.first()).parse().map_err(|_| wrong("id"))?,
            transaction_id: of(fields.last()).parse().map_err(|_| wrong("transaction"))?,
            recorded_at_us: of(fields.get(1)).parse().map_err(|_| wrong("time"))?,
            fields,
        })
    }
}

impl SealedRow {
    /// Returns the hash of its leaf; `None` for an encoding that this program does not know.
    pub(crate) fn leaf_hash(&self, encoding: i16) -> Option<Hash> {
        (encoding == ENCODING).then(|| merkle::leaf_hash(&encode(&self.fields)))
    }
}

/// Writes fields down: what it is, then for each a mark of its absence, or its length and its bytes.
fn encode(fields: &[Option<String>]) -> Vec<u8> {
    let mut leaf = b"clinicx audit row 1\n".to_vec();
    for field in fields {
        match field {
            None => leaf.push(0),
            Some(text) => {
                leaf.push(1);
                leaf.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
                leaf.extend_from_slice(text.as_bytes());
            }
        }
    }
    leaf
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_rows_have_the_same_leaf() {
        let field = |text: &str| Some(text.to_owned());
        let rows = [
            vec![None, None],
            vec![None, field("")],
            vec![field(""), None],
            vec![field("ab"), field("c")],
            vec![field("a"), field("bc")],
            vec![field("abc"), field("")],
            vec![field("\0"), field("\u{1}")],
            vec![None],
        ];
        let leaves: BTreeSet<_> = rows.iter().map(|fields| encode(fields)).collect();
        assert_eq!(leaves.len(), rows.len());
    }

    #[test]
    fn every_column_is_selected_in_its_place() {
        for (number, name) in COLUMN_NAMES.iter().enumerate() {
            let part = COLUMNS.split(", ").find(|part| part.ends_with(&format!(" AS c{number}"))).unwrap();
            assert!(part.contains(&format!("a.{name}")), "{part}");
        }
    }
}
