//! How much a tenant may use: the limits that differ from those of its plan.

use std::ops::RangeInclusive;

use clinicx_types::error::FieldError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most that each limit can be; the least is 1, or 0 where that is without limit.
const MOST: u64 = 1_000_000;
/// The most storage, in bytes: one pebibyte.
const MOST_STORAGE: u64 = 1 << 50;

/// What a tenant may use at most; a limit that is not given is the service's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = ranges)]
pub struct TenantLimits {
    /// Requests in a second, over time; 0 is without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Requests at once, above the rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Requests that run at the same time; 0 is without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u32>,
    /// Connections to the database at the same time, in each process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Users who belong to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<u32>,
    /// What its files take, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
}

impl TenantLimits {
    /// Reads what the registry holds. What this program does not know, or would not write, limits nothing: a row of
    /// another version must not make its tenant unreadable.
    pub fn from_stored(stored: &Value) -> Self {
        let read =
            |name: &str| stored.get(name).and_then(Value::as_u64).filter(|value| range(name).contains(value));
        let small = |name: &str| read(name).and_then(|value| u32::try_from(value).ok());
        Self {
            requests_per_second: small("requests_per_second"),
            burst: small("burst"),
            concurrent_requests: small("concurrent_requests"),
            connections: small("connections"),
            users: small("users"),
            storage_bytes: read("storage_bytes"),
        }
    }

    /// Returns what the registry keeps: an object with the limits that are given.
    pub fn to_stored(&self) -> Value {
        let given =
            self.each().into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
        Value::Object(given.collect())
    }

    /// Lists what is out of range, with pointers under `/limits`.
    pub(crate) fn findings(&self) -> Vec<FieldError> {
        let wrong = |(name, value): (&str, Option<u64>)| {
            let range = range(name);
            value.filter(|value| !range.contains(value)).map(|_| {
                let detail = format!("must be from {} to {}", range.start(), range.end());
                FieldError::new(format!("/limits/{name}"), "out_of_range", detail)
            })
        };
        self.each().into_iter().filter_map(wrong).collect()
    }

    fn each(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("requests_per_second", self.requests_per_second.map(u64::from)),
            ("burst", self.burst.map(u64::from)),
            ("concurrent_requests", self.concurrent_requests.map(u64::from)),
            ("connections", self.connections.map(u64::from)),
            ("users", self.users.map(u64::from)),
            ("storage_bytes", self.storage_bytes),
        ]
    }
}

fn range(name: &str) -> RangeInclusive<u64> {
    match name {
        "requests_per_second" | "concurrent_requests" => 0..=MOST,
        "storage_bytes" => 1..=MOST_STORAGE,
        _ => 1..=MOST,
    }
}

/// Writes the ranges into the schema, so that they stand in one place.
fn ranges(schema: &mut schemars::Schema) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for (name, property) in properties {
        if let Value::Object(property) = property {
            property.insert("minimum".to_owned(), (*range(name).start()).into());
            property.insert("maximum".to_owned(), (*range(name).end()).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_kept_as_they_were_given() {
        let limits = TenantLimits { burst: Some(20), users: Some(5), ..TenantLimits::default() };
        assert_eq!(limits.to_stored(), json!({"burst": 20, "users": 5}));
        assert_eq!(TenantLimits::from_stored(&limits.to_stored()), limits);
        assert_eq!(serde_json::to_value(limits).unwrap(), limits.to_stored());
        assert_eq!(limits.findings(), []);
    }

    #[test]
    fn what_is_stored_and_not_understood_limits_nothing() {
        for stored in
            [json!({}), json!([]), json!(null), json!({"patients": 10, "burst": -1, "users": "many"})]
        {
            assert_eq!(TenantLimits::from_stored(&stored), TenantLimits::default(), "{stored}");
        }
    }

    #[test]
    fn a_limit_has_a_range() {
        let wrong =
            TenantLimits { connections: Some(0), storage_bytes: Some(u64::MAX), ..TenantLimits::default() };
        let findings = wrong.findings();
        let pointers: Vec<&str> = findings.iter().map(|field| field.pointer.as_str()).collect();
        assert_eq!(pointers, ["/limits/connections", "/limits/storage_bytes"]);
        let without = TenantLimits {
            requests_per_second: Some(0),
            concurrent_requests: Some(0),
            ..TenantLimits::default()
        };
        assert_eq!(without.findings(), []);
        assert!(serde_json::from_value::<TenantLimits>(json!({"patients": 10})).is_err());
    }
}
