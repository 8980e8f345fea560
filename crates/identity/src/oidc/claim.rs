//! Finding a claim in a token and reading it as one text or several.

use std::collections::BTreeMap;

use clinicx_types::permission::Role;
use serde_json::{Map, Value};

/// Where a claim stands: `realm_access.roles`, or a JSON pointer (RFC 6901) for names that have dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// Reads a path; `None` for one with an empty step.
    pub fn parse(text: &str) -> Option<Self> {
        let steps: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => {
                pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
            }
            None => text.split('.').map(str::to_owned).collect(),
        };
        steps.iter().all(|step| !step.is_empty()).then_some(Self(steps))
    }

    /// Returns the texts of the claim: one of a text, each of a list; nothing of anything else.
    pub(crate) fn texts<'a>(&self, claims: &'a Map<String, Value>) -> Vec<&'a str> {
        let Some((first, rest)) = self.0.split_first() else { return Vec::new() };
        let mut found = claims.get(first);
        for step in rest {
            found = found.and_then(Value::as_object).and_then(|object| object.get(step));
        }
        texts(found)
    }
}

/// Returns the texts of a value.
pub(crate) fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Which values of which claim give which roles in the tenant.
#[derive(Clone, Debug)]
pub struct RoleRule {
    /// Where the values stand.
    pub claim: ClaimPath,
    /// The roles of each value; one that is not here gives none.
    pub values: BTreeMap<String, Vec<Role>>,
}

impl RoleRule {
    /// Returns the roles that the claims give, each once and in the order of the type.
    pub(crate) fn roles(&self, claims: &Map<String, Value>) -> Vec<Role> {
        let values = self.claim.texts(claims);
        let given = values.iter().filter_map(|value| self.values.get(*value)).flatten();
        let distinct: std::collections::BTreeSet<Role> = given.copied().collect();
        distinct.into_iter().collect()
    }
}

/// Which values of which claim make an operator of the platform.
#[derive(Clone, Debug)]
pub struct OperatorRule {
    /// Where the values stand.
    pub claim: ClaimPath,
    /// One of them is enough.
    pub values: Vec<String>,
}

impl OperatorRule {
    /// Tells whether the claims make an operator.
    pub(crate) fn holds(&self, claims: &Map<String, Value>) -> bool {
        self.claim.texts(claims).iter().any(|text| self.values.iter().any(|value| value == text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_found_by_dots_and_by_pointer() {
        let claims = json!({"realm_access": {"roles": ["a", 7, "b"]}, "https://x.example/t": "one", "n": 3});
        let claims = claims.as_object().unwrap();
        let check = |path: &str, expected: &[&str]| {
            assert_eq!(ClaimPath::parse(path).unwrap().texts(claims), expected, "{path}");
        };
        check("realm_access.roles", &["a", "b"]);
        check("/realm_access/roles", &["a", "b"]);
        check("/https:~1~1x.example~1t", &["one"]);
        check("n", &[]);
        check("realm_access.roles.0", &[]);
        check("nothing.here", &[]);
        for bad in ["", "a..b", ".", "/", "a."] {
            assert!(ClaimPath::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn values_that_are_not_in_the_mapping_give_no_role() {
        let rule = RoleRule {
            claim: ClaimPath::parse("roles").unwrap(),
            values: BTreeMap::from([
                ("desk".to_owned(), vec![Role::Receptionist]),
                ("boss".to_owned(), vec![Role::Owner, Role::Receptionist]),
            ]),
        };
        let roles = |value: Value| rule.roles(json!({ "roles": value }).as_object().unwrap());
        assert_eq!(roles(json!(["boss", "desk", "owner"])), [Role::Owner, Role::Receptionist]);
        assert_eq!(roles(json!("desk")), [Role::Receptionist]);
        assert_eq!(roles(json!(["owner", "Desk", "desk "])), []);
        assert_eq!(roles(json!({"desk": true})), []);
    }
}
