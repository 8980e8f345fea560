//! What is said about a clinic's rows: tables, rules, counts, keys; never what stands in a row.

use std::collections::{BTreeMap, BTreeSet};

use clinicx_core::intake::Thing;
use serde::Serialize;

/// How many keys are shown of what does not fit by the same rule.
const SHOWN_KEYS: usize = 5;
/// The longest key that is shown, in characters.
const SHOWN_KEY_CHARS: usize = 40;

/// One reason why a row does not fit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Misfit {
    /// The field; empty when it is about the whole row.
    pub(crate) field: String,
    /// The rule that it breaks.
    pub(crate) rule: String,
}

impl Misfit {
    pub(crate) fn new(field: &str, rule: &str) -> Self {
        Self { field: field.to_owned(), rule: rule.to_owned() }
    }
}

/// What does not fit by the same rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misfits {
    /// The table that it would have gone to.
    pub table: &'static str,
    /// The field; empty when it is about the whole row.
    pub field: String,
    /// The rule that it breaks.
    pub rule: String,
    /// How many rows.
    pub rows: u64,
    /// The first few of their keys in the old table.
    pub keys: Vec<String>,
}

/// What has come of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// The table.
    pub table: &'static str,
    /// How many rows were read.
    pub read: u64,
    /// How many fit.
    pub fit: u64,
    /// How many do not.
    pub misfit: u64,
    /// How many were written now.
    pub written: u64,
    /// How many were removed now, because they have gone or no longer fit.
    pub removed: u64,
}

/// What a comparison of both sides has found of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The table.
    pub table: &'static str,
    /// How many rows the old tables give.
    pub expected: u64,
    /// How many rows the tenant has.
    pub found: u64,
    /// The sum of the hashes of what the old tables give.
    pub expected_hash: String,
    /// The sum of the hashes of what was read back.
    pub found_hash: String,
    /// The keys of the first few rows that differ or are missing.
    pub different: Vec<String>,
}

impl Verified {
    /// Tells whether both sides have the same.
    pub fn agrees(&self) -> bool {
        self.expected == self.found && self.expected_hash == self.found_hash && self.different.is_empty()
    }
}

/// Puts reasons together by table, field and rule, the most frequent first in each table.
pub(crate) fn grouped(all: &BTreeMap<(Thing, String), BTreeSet<Misfit>>) -> Vec<Misfits> {
    let mut groups: BTreeMap<(Thing, &Misfit), (u64, Vec<String>)> = BTreeMap::new();
    for ((thing, key), reasons) in all {
        for reason in reasons {
            let group = groups.entry((*thing, reason)).or_default();
            group.0 += 1;
            if group.1.len() < SHOWN_KEYS {
                group.1.push(key.chars().take(SHOWN_KEY_CHARS).collect());
            }
        }
    }
    let mut list: Vec<(Thing, Misfits)> = groups
        .into_iter()
        .map(|((thing, reason), (rows, keys))| {
            let (field, rule) = (reason.field.clone(), reason.rule.clone());
            (thing, Misfits { table: thing.table(), field, rule, rows, keys })
        })
        .collect();
    list.sort_by(|(one_thing, one), (other_thing, other)| {
        one_thing.cmp(other_thing).then(other.rows.cmp(&one.rows))
    });
    list.into_iter().map(|(_, misfits)| misfits).collect()
}

/// Adds up hashes, whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    /// Adds one.
    pub(crate) fn add(&mut self, hash: &[u8; 32]) {
        for (sum, part) in self.0.iter_mut().zip(hash.chunks_exact(8)) {
            let part = part.try_into().map_or(0, u64::from_be_bytes);
            *sum = sum.wrapping_add(part);
        }
    }
    /// Returns it in hexadecimal.
    pub(crate) fn hex(self) -> String {
        self.0.iter().map(|part| format!("{part:016x}")).collect()
    }
}

/// Writes bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misfits_are_counted_by_rule_and_name_a_few_keys() {
        let mut all: BTreeMap<(Thing, String), BTreeSet<Misfit>> = BTreeMap::new();
        for key in 0..9 {
            let reasons = BTreeSet::from([Misfit::new("gender", "unknown_value")]);
            all.insert((Thing::Patient, key.to_string()), reasons);
        }
        all.insert((Thing::Staff, "1".to_owned()), BTreeSet::from([Misfit::new("", "no_key")]));
        let groups = grouped(&all);
        let shown: Vec<_> =
            groups.iter().map(|one| (one.table, one.rule.as_str(), one.rows, one.keys.len())).collect();
        assert_eq!(shown, [("staff", "no_key", 1, 1), ("patients", "unknown_value", 9, 5)]);
    }

    #[test]
    fn sums_do_not_depend_on_the_order() {
        let (mut one, mut other) = (Sum::default(), Sum::default());
        for hash in [[1; 32], [0xff; 32]] {
            one.add(&hash);
        }
        for hash in [[0xff; 32], [1; 32]] {
            other.add(&hash);
        }
        assert_eq!(one, other);
        assert_ne!(one, Sum::default());
    }
}
