use super::*;

const GOOD: &str = r#"
[legacy]
schema = "Old Data"
overlapping = "overbook"

[[tenants]]
slug = "clinic1"
legacy = "clinic1-abc123"
name = "Clinic 1"
time_zone = "Asia/Damascus"
currency = "SYP"
admin_email = "owner@clinic1.example"
admin_name = "Owner"

[tables.patients]
from = "Patients"
tenant = "TenantId"
key = "PatientID"
where = '"Deleted" IS NOT TRUE'
[tables.patients.columns]
family_name = "LastName"
given_name = { sql = "coalesce(\"FirstName\", '?')" }
gender = { column = "Sex", values = { M = "male", F = "female" }, otherwise = "unknown" }
"#;

#[test]
fn a_mapping_says_what_becomes_what() {
    let mapping = Mapping::parse(GOOD).unwrap();
    assert_eq!(mapping.schema.quoted(), "\"Old Data\"");
    assert_eq!(mapping.on_overlap, OnOverlap::Overbook);
    let patients = &mapping.tables[&Thing::Patient];
    assert_eq!(mapping.relation(patients), "\"Old Data\".\"Patients\"");
    assert_eq!(patients.columns["given_name"].sql(), "(coalesce(\"FirstName\", '?'))");
    let gender = &patients.columns["gender"];
    assert_eq!(gender.translated("M".to_owned()).unwrap(), "male");
    assert_eq!(gender.translated("x".to_owned()).unwrap(), "unknown");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let good = GOOD.replace(r#"{ sql = "coalesce(\"FirstName\", '?')" }"#, "\"FirstName\"");
    assert!(Mapping::parse(&good).is_ok());
    let check = |from: &str, to: &str, expected: &str| {
        let error = Mapping::parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
        assert_eq!(error, expected, "{to}");
    };
    check(
        "family_name",
        "famly_name",
        "unknown key tables.patients.columns.famly_name; did you mean family_name?",
    );
    check("schema =", "shema =", "legacy.schema is missing");
    check("[tables.patients]", "[tables.patient]", "unknown key tables.patient; did you mean patients?");
    check(
        "slug = \"clinic1\"",
        "slug = \"Clinic 1\"",
        "tenants[0].slug must match ^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
    );
    check("legacy = \"clinic1-abc123\"", "legacy = 7", "tenants[0].legacy must be a text");
    check("given_name = \"FirstName\"", "", "tables.patients.columns.given_name is missing");
    check(
        "IS NOT TRUE'",
        "IS NOT TRUE; --'",
        "tables.patients.where must be one expression, with its quotes and brackets closed and without comments",
    );
    check(
        "otherwise",
        "otherwize",
        "unknown key tables.patients.columns.gender.otherwize; did you mean otherwise?",
    );
    check(
        "gender =",
        "guarantor = { value = \"1\" , sql = \"2\" }\ngender =",
        "tables.patients.columns.guarantor must have exactly one of column, sql and value",
    );
}
