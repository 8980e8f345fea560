//! Accounts, memberships, the first operator.

use clinicx_identity::{
    Bootstrap, IdentityError, LastOwner, NewAccount, Password, admin_statements, membership,
    user::{self, UserFilter},
};
use clinicx_persistence::SystemExecutor;
use clinicx_types::{
    id::{TenantId, UserId},
    page::PageRequest,
    permission::Role,
};
use uuid::Uuid;

use crate::support::{Fixture, PASSWORD, WRONG, code, scope};

#[tokio::test]
async fn the_first_operator_is_made_once_and_keeps_the_password() {
    let fixture = Fixture::new().await;
    let bootstrap = async |email: &str, password: &str| {
        fixture.identity.bootstrap_operator(email, &Password::new(password)).await
    };
    let Ok(Bootstrap::Created(id)) = bootstrap("Root@Example.org", PASSWORD).await else {
        panic!("not created")
    };
    assert_eq!(bootstrap("root@example.org", WRONG).await.unwrap(), Bootstrap::Present(id));
    assert_eq!(code(&fixture.login("root@example.org", PASSWORD, None).await), "ok");
    assert_eq!(code(&fixture.login("root@example.org", WRONG, None).await), "invalid_credentials");
    // Somebody's account does not become an operator's because the configuration names its address.
    let user = fixture.user("ada@example.org").await;
    assert_eq!(bootstrap("ada@example.org", WRONG).await.unwrap(), Bootstrap::NotAnOperator(user));
    assert!(!user::find_by_id(&fixture.app, user).await.unwrap().unwrap().is_operator);
    assert_eq!(code(&bootstrap("new@example.org", "short").await), "invalid");
}

#[tokio::test]
async fn two_starts_at_once_make_one_operator() {
    let fixture = Fixture::new().await;
    let password = Password::new(PASSWORD);
    let (one, two) = tokio::join!(
        fixture.identity.bootstrap_operator("root@example.org", &password),
        fixture.identity.bootstrap_operator("root@example.org", &password),
    );
    let created =
        [one.unwrap(), two.unwrap()].iter().filter(|done| matches!(done, Bootstrap::Created(_))).count();
    assert_eq!(created, 1);
    assert_eq!(fixture.count("SELECT count(*) FROM public.users").await, 1);
}

#[tokio::test]
async fn an_address_has_one_account_however_it_is_spelt() {
    let fixture = Fixture::new().await;
    let id = fixture.user("José@Example.org").await;
    let password = Password::new(PASSWORD);
    for email in ["josé@example.org", " JOSE\u{301}@EXAMPLE.ORG "] {
        let new = NewAccount { email, full_name: "Somebody", password: Some(&password), is_operator: false };
        assert_eq!(code(&fixture.identity.create_user(&scope(), new).await), "email_taken");
        assert_eq!(user::find_by_email(&fixture.app, email).await.unwrap().unwrap().id, id);
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_new_account_is_named() {
    let fixture = Fixture::new().await;
    let new = NewAccount { email: "nonsense", full_name: " ", password: None, is_operator: false };
    let error = fixture.identity.create_user(&scope(), new).await.unwrap_err().under("/admin");
    let IdentityError::Invalid(fields) = error else { panic!("{error:?}") };
    let pointers: Vec<&str> = fields.iter().map(|field| field.pointer.as_str()).collect();
    assert_eq!(pointers, ["/admin/email", "/admin/full_name"]);
}

#[tokio::test]
async fn a_change_with_an_old_version_is_refused() {
    let fixture = Fixture::new().await;
    let id = fixture.user("ada@example.org").await;
    let disabled = user::disable(&fixture.app, &scope(), id, Some(1)).await.unwrap();
    assert_eq!((disabled.version, disabled.disabled_at.is_some()), (2, true));
    assert_eq!(code(&user::enable(&fixture.app, &scope(), id, Some(1)).await), "version_mismatch");
    let again = user::disable(&fixture.app, &scope(), id, Some(2)).await.unwrap();
    assert_eq!(again.disabled_at, disabled.disabled_at);
    let nobody = UserId::new(Uuid::now_v7());
    assert_eq!(code(&user::disable(&fixture.app, &scope(), nobody, None).await), "not_found");
}

#[tokio::test]
async fn memberships_are_granted_changed_and_revoked() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.tenant("one").await, fixture.tenant("two").await);
    let user = fixture.user("ada@example.org").await;
    let grant =
        async |tenant, roles: &[Role]| membership::grant(&fixture.app, &scope(), tenant, user, roles).await;
    assert_eq!(code(&grant(one, &[]).await), "invalid");
    assert_eq!(code(&grant(TenantId::new(Uuid::now_v7()), &[Role::Nurse]).await), "not_found");
    assert_eq!(grant(one, &[Role::Nurse]).await.unwrap().version, 1);
    let before = fixture.audit().await.len();
    assert_eq!(grant(one, &[Role::Nurse]).await.unwrap().version, 1);
    assert_eq!(fixture.audit().await.len(), before);
    let changed = grant(one, &[Role::Nurse, Role::Owner, Role::Nurse]).await.unwrap();
    assert_eq!((changed.version, changed.roles), (2, vec![Role::Owner, Role::Nurse]));
    grant(two, &[Role::Dentist]).await.unwrap();
    assert_eq!(membership::roles_of(&fixture.app, user, one).await.unwrap(), [Role::Owner, Role::Nurse]);
    let list = membership::list_for_user(&fixture.app, user).await.unwrap();
    let slugs: Vec<&str> = list.iter().map(|belonging| belonging.slug.as_str()).collect();
    assert_eq!(slugs, ["one", "two"]);
    membership::revoke(&fixture.app, &scope(), one, user).await.unwrap();
    assert_eq!(code(&membership::revoke(&fixture.app, &scope(), one, user).await), "not_found");
    assert_eq!(membership::roles_of(&fixture.app, user, one).await.unwrap(), []);
    let change: (serde_json::Value, serde_json::Value) = sqlx::query_as(
        "SELECT before, after FROM public.audit_logs
         WHERE action = 'membership.granted' AND tenant_id = $1 AND before IS NOT NULL",
    )
    .bind(one.uuid())
    .fetch_one(&fixture.admin)
    .await
    .unwrap();
    let expected =
        (serde_json::json!({"roles": ["nurse"]}), serde_json::json!({"roles": ["owner", "nurse"]}));
    assert_eq!(change, expected);
}

#[tokio::test]
async fn accounts_are_listed_a_page_at_a_time() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    let mut members = Vec::new();
    for at in 0..5 {
        members.push(fixture.member(&format!("user{at}@example.org"), tenant, Role::Nurse).await);
    }
    let operator = fixture.operator("operator@example.org").await;
    let ids = async |filter: UserFilter| {
        let mut page = PageRequest::first(2).unwrap();
        page.count = true;
        let mut ids = Vec::new();
        loop {
            let found = user::list(&fixture.app, filter.clone(), &page).await.unwrap();
            ids.extend(found.items.iter().map(|user| user.id));
            page.after = found.next;
            if page.after.is_none() {
                assert_eq!(found.total, Some(u64::try_from(ids.len()).unwrap()));
                break ids;
            }
        }
    };
    let everybody: Vec<UserId> = members.iter().copied().chain([operator]).collect();
    assert_eq!(ids(UserFilter::default()).await, everybody);
    assert_eq!(ids(UserFilter { tenant: Some(tenant), ..UserFilter::default() }).await, members);
    assert_eq!(ids(UserFilter { is_operator: Some(true), ..UserFilter::default() }).await, [operator]);
    let first =
        membership::list_of_tenant(&fixture.app, tenant, &PageRequest::first(2).unwrap()).await.unwrap();
    assert_eq!(first.items.len(), 2);
    assert_eq!((first.items[0].user.id, first.items[0].roles.as_slice()), (members[0], &[Role::Nurse][..]));
    let mut second = PageRequest::first(200).unwrap();
    second.after = first.next;
    assert_eq!(membership::list_of_tenant(&fixture.app, tenant, &second).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn a_new_tenants_administrator_is_created_or_found() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    let known = fixture.user("known@example.org").await;
    let password = Password::new(WRONG);
    for (email, password) in [
        ("known@example.org", Some(&password)),
        ("new@example.org", Some(&password)),
        ("bare@example.org", None),
    ] {
        let new = NewAccount { email, full_name: "Administrator", password, is_operator: false };
        let new = fixture.identity.check_account(new).await.unwrap();
        let tx = fixture.app.begin().await.unwrap();
        for statement in admin_statements(&scope(), tenant, &new, &[Role::Owner]).unwrap() {
            tx.execute(statement).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    assert_eq!(membership::roles_of(&fixture.app, known, tenant).await.unwrap(), [Role::Owner]);
    // Whoever was there keeps the password and the name.
    assert_eq!(code(&fixture.login("known@example.org", PASSWORD, Some("one")).await), "ok");
    assert_eq!(code(&fixture.login("known@example.org", WRONG, None).await), "invalid_credentials");
    assert_eq!(user::find_by_id(&fixture.app, known).await.unwrap().unwrap().full_name, "Somebody");
    assert_eq!(code(&fixture.login("new@example.org", WRONG, Some("one")).await), "ok");
    assert_eq!(code(&fixture.login("bare@example.org", WRONG, None).await), "invalid_credentials");
    let bare = user::find_by_email(&fixture.app, "bare@example.org").await.unwrap().unwrap();
    assert!(!bare.has_password && !bare.is_operator);
    let actions: Vec<String> = fixture.audit().await.into_iter().map(|(action, ..)| action).collect();
    let count = |wanted: &str| actions.iter().filter(|action| *action == wanted).count();
    assert_eq!((count("user.created"), count("membership.granted")), (3, 3));
}

#[tokio::test]
async fn the_applications_login_can_neither_read_the_audit_nor_remove_an_account() {
    let fixture = Fixture::new().await;
    fixture.user("ada@example.org").await;
    use sea_orm::{DbBackend, Statement};
    for sql in [
        "SELECT count(*) FROM public.audit_logs",
        "UPDATE public.audit_logs SET action = 'x'",
        "DELETE FROM public.users",
        "TRUNCATE public.sessions",
    ] {
        assert!(
            fixture.app.execute(Statement::from_string(DbBackend::Postgres, sql)).await.is_err(),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn a_command_leaves_a_tenant_its_last_owner_unless_it_is_told() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant("one").await;
    let owner = fixture.member("ada@example.org", tenant, Role::Owner).await;
    let second = fixture.user("eve@example.org").await;
    let grant = async |user, roles: &[Role], last_owner| {
        fixture.identity.grant_roles(&scope(), (tenant, user), roles, last_owner).await
    };
    assert_eq!(code(&grant(owner, &[Role::Nurse], LastOwner::Stays).await), "last_owner");
    assert_eq!(code(&grant(second, &[Role::Nurse], LastOwner::Stays).await), "ok");
    assert_eq!(code(&grant(second, &[Role::Owner], LastOwner::Stays).await), "ok");
    assert_eq!(code(&grant(owner, &[Role::Nurse], LastOwner::Stays).await), "ok");
    assert_eq!(code(&grant(second, &[Role::Nurse], LastOwner::MayGo).await), "ok");
}

#[tokio::test]
async fn each_tenant_of_an_account_learns_that_it_was_disabled() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.tenant("one").await, fixture.tenant("two").await);
    let user = fixture.member("ada@example.org", one, Role::Owner).await;
    fixture.grant(user, two, &[Role::Nurse]).await;
    fixture.identity.disable_user(&scope(), user, None).await.unwrap();
    fixture.identity.enable_user(&scope(), user, None).await.unwrap();
    let audit = fixture.audit().await;
    for action in ["membership.disabled", "membership.enabled"] {
        let told: Vec<_> = audit.iter().filter(|row| row.0 == action).collect();
        assert!(told.iter().all(|row| row.1 == Some(user.uuid())), "{told:?}");
        let mut tenants: Vec<_> = told.iter().filter_map(|row| row.2).collect();
        tenants.sort();
        let mut expected = vec![one.uuid(), two.uuid()];
        expected.sort();
        assert_eq!(tenants, expected, "{action}");
    }
}
