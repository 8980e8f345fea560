//! Listing tenants.

use clinicx_tenancy::{
    Tenancy, TenantStatus,
    registry::{self, TenantFilter},
};
use clinicx_testing::TestDatabase;
use clinicx_types::{name::TenantSlug, page::PageRequest};

use crate::{by, draft, new_tenant, tenancy};

async fn slugs(tenancy: &Tenancy, filter: &TenantFilter, page: &PageRequest) -> Vec<String> {
    let page = registry::list(tenancy.control(), filter, page).await.unwrap();
    page.items.iter().map(|tenant| tenant.slug.to_string()).collect()
}

#[tokio::test]
async fn pages_hold_every_tenant_once_also_when_some_are_added() {
    let database = TestDatabase::create().await;
    let tenancy = tenancy(&database).await;
    let end = sqlx::types::Uuid::new_v4().simple().to_string();
    let slug = |letter: &str| format!("{letter}-{}", &end[..20]);
    for letter in ["a", "c", "e"] {
        tenancy.create(new_tenant(&tenancy, &slug(letter)), &by(), Vec::new()).await.unwrap();
    }
    let mut request = PageRequest::first(2).unwrap();
    request.count = true;
    let first = registry::list(tenancy.control(), &TenantFilter::default(), &request).await.unwrap();
    assert_eq!(first.total, Some(3));
    let seen: Vec<&str> = first.items.iter().map(|tenant| tenant.slug.as_str()).collect();
    assert_eq!(seen, [slug("a"), slug("c")]);
    tenancy.create(new_tenant(&tenancy, &slug("b")), &by(), Vec::new()).await.unwrap();
    request.after = first.next;
    let second = registry::list(tenancy.control(), &TenantFilter::default(), &request).await.unwrap();
    assert_eq!(second.items.iter().map(|tenant| tenant.slug.as_str()).collect::<Vec<_>>(), [slug("e")]);
    assert_eq!(second.next, None);
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let database = TestDatabase::create().await;
    let tenancy = tenancy(&database).await;
    let end = sqlx::types::Uuid::new_v4().simple().to_string();
    let (one, two) = (format!("one-{}", &end[..20]), format!("two-{}", &end[..20]));
    for (slug, name) in [(&one, "Smile 100% Center"), (&two, "عيادة دمشق")] {
        let mut draft = draft(slug);
        draft.name = name.to_owned();
        let new = tenancy.check(draft, by().next_id().into()).unwrap();
        tenancy.create(new, &by(), Vec::new()).await.unwrap();
    }
    tenancy.suspend(&TenantSlug::parse(&two).unwrap(), None, &by()).await.unwrap();
    let page = PageRequest::default();
    let check = async |filter: TenantFilter, expected: &[&String]| {
        let found = slugs(&tenancy, &filter, &page).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    };
    let q = |text: &str| TenantFilter { q: Some(text.to_owned()), ..TenantFilter::default() };
    check(TenantFilter::default(), &[&one, &two]).await;
    check(TenantFilter { status: Some(TenantStatus::Suspended), ..TenantFilter::default() }, &[&two]).await;
    check(TenantFilter { status: Some(TenantStatus::Purged), ..TenantFilter::default() }, &[]).await;
    check(TenantFilter { cluster: Some("main".parse().unwrap()), ..TenantFilter::default() }, &[&one, &two])
        .await;
    check(TenantFilter { cluster: Some("moon".parse().unwrap()), ..TenantFilter::default() }, &[]).await;
    check(q("SMILE"), &[&one]).await;
    check(q("دمشق"), &[&two]).await;
    check(q("two-"), &[&two]).await;
    check(q("100%"), &[&one]).await;
    check(q("%"), &[&one]).await;
    check(q("_"), &[]).await;
    check(q("\\"), &[]).await;
    check(q("  "), &[&one, &two]).await;
}
