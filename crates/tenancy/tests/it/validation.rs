//! What a description of a tenant must look like.

use clinicx_tenancy::{TenancyError, TenantDraft};
use clinicx_testing::TestDatabase;
use clinicx_types::{error::DomainError, id::TenantId};

use crate::{by, draft, slug, tenancy};

#[tokio::test]
async fn each_wrong_part_is_named_by_its_pointer() {
    let tenancy = tenancy(&TestDatabase::shared().await).await;
    let check = |change: fn(&mut TenantDraft), expected: &[(&str, &str)]| {
        let mut draft = draft(&slug());
        change(&mut draft);
        let error = tenancy.check(draft, TenantId::new(by().next_id())).unwrap_err();
        let fields = error.fields();
        let found: Vec<(&str, &str)> =
            fields.iter().map(|field| (field.pointer.as_str(), field.code.as_str())).collect();
        assert_eq!(found, expected);
        assert!(matches!(error, TenancyError::Invalid(_)));
    };
    check(|draft| draft.slug = String::new(), &[("/slug", "empty")]);
    check(|draft| draft.slug = "a".repeat(41), &[("/slug", "too_long")]);
    check(|draft| draft.slug = "Clinic".to_owned(), &[("/slug", "malformed")]);
    check(|draft| draft.slug = "a--b".to_owned(), &[("/slug", "malformed")]);
    check(|draft| draft.slug = "a_b".to_owned(), &[("/slug", "malformed")]);
    check(|draft| draft.slug = "x\"; DROP SCHEMA public; --".to_owned(), &[("/slug", "malformed")]);
    check(|draft| draft.slug = "public".to_owned(), &[("/slug", "reserved")]);
    check(|draft| draft.name = "  ".to_owned(), &[("/name", "empty")]);
    check(|draft| draft.name = "a\u{7}".to_owned(), &[("/name", "malformed")]);
    check(|draft| draft.name = "ä".repeat(201), &[("/name", "too_long")]);
    check(
        |draft| draft.modules = ["billing", "x", "dental", "Y"].map(str::to_owned).to_vec(),
        &[("/modules/1", "unknown_module"), ("/modules/3", "unknown_module")],
    );
    check(|draft| draft.time_zone = "Mars/Olympus".to_owned(), &[("/time_zone", "unknown_time_zone")]);
    check(|draft| draft.currency = "eur".to_owned(), &[("/currency", "unknown_currency")]);
    check(|draft| draft.locale = "x y".to_owned(), &[("/locale", "unknown_locale")]);
    check(|draft| draft.plan = Some("a b".to_owned()), &[("/plan", "malformed")]);
    check(|draft| draft.isolation = Some("table".to_owned()), &[("/isolation", "malformed")]);
    check(|draft| draft.isolation = Some("database".to_owned()), &[("/isolation", "not_supported")]);
    check(|draft| draft.cluster = Some("moon".to_owned()), &[("/cluster", "unknown_cluster")]);
    check(|draft| draft.region = Some("mars".to_owned()), &[("/region", "unknown_region")]);
    check(
        |draft| {
            draft.slug = "A".to_owned();
            draft.currency = "XXX".to_owned();
            draft.time_zone = String::new();
        },
        &[("/slug", "malformed"), ("/time_zone", "unknown_time_zone"), ("/currency", "unknown_currency")],
    );
}

#[tokio::test]
async fn what_modules_require_comes_with_them() {
    let tenancy = tenancy(&TestDatabase::shared().await).await;
    let mut draft = draft(&slug());
    draft.modules = vec!["dental".to_owned()];
    let new = tenancy.check(draft, TenantId::new(by().next_id())).unwrap();
    assert_eq!(new.modules.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["core", "dental"]);
}
