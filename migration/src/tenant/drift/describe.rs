//! What stands in a schema, in words that are the same for every tenant.

use std::collections::BTreeMap;

use sea_orm::JsonValue;
use sqlx::{Row, postgres::PgRow};

use crate::{failure::DatabaseFailure, owner::OwnerTransaction, tenant::script::ScriptTarget};

const QUERY: &str = include_str!("describe.sql");

/// What stands for the tenant's id in a literal.
const ID: &str = "'{tenant_id}'";
/// What stands for the tenant's role, which has the name of its schema.
const ROLE: &str = "{role}";

/// One thing of a schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Thing {
    /// `table`, `column`, `index`, ….
    pub(super) kind: String,
    /// The relation that it belongs to; empty when it stands for itself.
    pub(super) relation: String,
    /// Its name; empty when it is the relation.
    pub(super) name: String,
}

/// What can be said of a thing, each by a word.
pub(super) type Facts = BTreeMap<String, String>;

/// A schema.
pub(super) type Description = BTreeMap<Thing, Facts>;

/// Describes the schema of the tenant, which is the search path of the transaction.
pub(super) async fn describe(
    tx: &OwnerTransaction,
    target: &ScriptTarget,
) -> Result<Description, DatabaseFailure> {
    let role = format!("'{}'", target.schema.as_str());
    let query = QUERY.replace("{schema}", &target.schema.literal()).replace("{role}", &role);
    let rows = tx.rows("describe a schema", query).await?;
    let read = |row: &PgRow| -> Result<(Thing, Facts), sqlx::Error> {
        let text = |column: &str| row.try_get::<String, _>(column);
        let facts: JsonValue = row.try_get("facts")?;
        let facts = facts.as_object().into_iter().flatten();
        let facts = facts.filter_map(|(name, value)| Some((name.clone(), general(target, &word(value)?))));
        let thing = Thing {
            kind: text("kind")?,
            relation: text("relation")?,
            name: with_role(target, &text("name")?),
        };
        Ok((thing, facts.collect()))
    };
    let described: Result<Description, _> = rows.iter().map(read).collect();
    described.map_err(|error| DatabaseFailure::new("describe a schema", error))
}

fn word(value: &JsonValue) -> Option<String> {
    match value {
        JsonValue::Null => None,
        JsonValue::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Puts words in the place of what differs from tenant to tenant. Both stand in literals, so that a column that has the
/// name of the schema is left alone.
fn general(target: &ScriptTarget, text: &str) -> String {
    let schema = target.schema.as_str();
    text.replace(&format!("'{}'", target.tenant_id), ID)
        .replace(&format!("'{schema}'::name"), &format!("'{ROLE}'::name"))
}

/// Puts a word in the place of the tenant's role where a name begins with it.
fn with_role(target: &ScriptTarget, name: &str) -> String {
    match name.strip_prefix(target.schema.as_str()) {
        Some(rest) if rest.starts_with(' ') => format!("{ROLE}{rest}"),
        _ => name.to_owned(),
    }
}

/// Puts the tenant's own back where [`general`] has put words.
pub(super) fn own(target: &ScriptTarget, text: &str) -> String {
    text.replace(ID, &format!("'{}'", target.tenant_id)).replace(ROLE, target.schema.as_str())
}
