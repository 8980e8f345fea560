//! Compares two descriptions.

use std::collections::BTreeSet;

use super::{
    Change, Difference,
    describe::{Description, Facts, Thing, own},
    mend,
};
use crate::tenant::script::ScriptTarget;

/// The kinds of relation that other things belong to.
const RELATIONS: &[&str] = &["table", "view", "materialised view", "foreign table", "sequence"];

/// Lists what differs. What belongs to a relation that is missing or extra goes with it.
pub(super) fn compare(expected: &Description, found: &Description, target: &ScriptTarget) -> Vec<Difference> {
    let relations = |of: &Description| -> BTreeSet<(String, String)> {
        of.keys()
            .filter(|thing| is_relation(thing))
            .map(|thing| (thing.kind.clone(), thing.relation.clone()))
            .collect()
    };
    let (wanted, there) = (relations(expected), relations(found));
    let whole: BTreeSet<&str> =
        wanted.symmetric_difference(&there).map(|(_, relation)| relation.as_str()).collect();
    let goes_with_it = |thing: &Thing| !is_relation(thing) && whole.contains(thing.relation.as_str());
    let mut differences = Vec::new();
    for (thing, facts) in expected.iter().filter(|(thing, _)| !goes_with_it(thing)) {
        match found.get(thing) {
            None => differences.push(Difference {
                change: Change::Missing,
                aspect: None,
                expected: Some(own(target, &summary(facts))).filter(|text| !text.is_empty()),
                found: None,
                mend: own(target, &mend::make(expected, thing, facts)),
                ..named(thing, target)
            }),
            Some(other) => {
                let aspects = facts.keys().chain(other.keys()).collect::<BTreeSet<_>>();
                let otherwise = aspects.into_iter().filter(|aspect| facts.get(*aspect) != other.get(*aspect));
                differences.extend(otherwise.map(|aspect| Difference {
                    change: Change::Different,
                    aspect: Some(aspect.clone()),
                    expected: facts.get(aspect).map(|text| own(target, text)),
                    found: other.get(aspect).map(|text| own(target, text)),
                    mend: own(target, &mend::change(thing, aspect, facts)),
                    ..named(thing, target)
                }));
            }
        }
    }
    let extra = found.iter().filter(|(thing, _)| !goes_with_it(thing) && !expected.contains_key(thing));
    differences.extend(extra.map(|(thing, facts)| Difference {
        change: Change::Extra,
        aspect: None,
        expected: None,
        found: Some(own(target, &summary(facts))).filter(|text| !text.is_empty()),
        mend: own(target, &mend::take(thing)),
        ..named(thing, target)
    }));
    differences
}

fn is_relation(thing: &Thing) -> bool {
    RELATIONS.contains(&thing.kind.as_str())
}

fn named(thing: &Thing, target: &ScriptTarget) -> Difference {
    let name = own(target, &thing.name);
    let object = match (thing.relation.as_str(), name.as_str()) {
        ("", "") => target.schema.to_string(),
        ("", name) => name.to_owned(),
        (relation, "") => relation.to_owned(),
        (relation, name) => format!("{relation}.{name}"),
    };
    Difference {
        kind: thing.kind.clone(),
        object,
        change: Change::Different,
        aspect: None,
        expected: None,
        found: None,
        mend: String::new(),
    }
}

/// Says of a thing what tells it best.
fn summary(facts: &Facts) -> String {
    ["definition", "type", "using", "rights"]
        .into_iter()
        .find_map(|aspect| facts.get(aspect))
        .cloned()
        .unwrap_or_default()
}
