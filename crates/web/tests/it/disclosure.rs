//! Who has seen what is left in the audit before it is answered.

use clinicx_persistence::Actor;
use clinicx_types::{
    id::{SessionId, UserId},
    uuid::Uuid,
};
use clinicx_web::{Access, Api, ApiError, HttpModule, Operation, Path, Reply, TenantCx};

use crate::module::{Client, INFO, RULES, THING_READ, THING_WRITE, get_as, module, with};

const ONE: &str = "/api/v1/things/00000000-0000-0000-0000-000000000001";

#[actix_web::test]
async fn a_read_names_the_patient_and_who_asked() {
    let client = Client::new();
    let request = Uuid::from_u128(77);
    let asked = get_as("doctor", ONE).insert_header(("X-Request-ID", request.to_string()));
    assert_eq!(client.send(asked).await.status, 200);
    let left = client.disclosures();
    let [one] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((one.action.as_str(), one.entity, one.operation), ("thing.read", "thing", "get_thing"));
    assert_eq!(one.entity_id, Some(Uuid::from_u128(1)));
    assert_eq!(one.patients, Some(vec![Uuid::from_u128(1)]));
    assert_eq!(one.actor, Actor::User(UserId::new(Uuid::from_u128(9))));
    assert_eq!(one.session_id, Some(SessionId::new(Uuid::from_u128(10))));
    assert_eq!(one.tenant_id.map(|id| id.uuid().as_u128()), Some(1));
    assert_eq!(one.request_id.uuid(), request);
}

#[actix_web::test]
async fn a_list_is_one_row_with_everybody_on_it_and_the_filters_names() {
    let client = Client::new();
    let path = "/api/v1/things?q=secret&sort=age&limit=2";
    assert_eq!(client.send(get_as("doctor", path)).await.status, 200);
    let left = client.disclosures();
    let [one] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((one.action.as_str(), one.is_list, one.entity_id), ("thing.listed", true, None));
    assert_eq!(one.patients, Some(vec![Uuid::from_u128(1), Uuid::from_u128(2)]), "the page, not the list");
    assert_eq!(one.filters, ["limit", "q", "sort"]);
}

#[actix_web::test]
async fn what_the_client_has_already_and_head_leave_rows_too() {
    let client = Client::new();
    let known = get_as("doctor", ONE).insert_header(("If-None-Match", "\"3\""));
    assert_eq!(client.send(known).await.status, 304);
    let head = with("doctor", actix_web::test::TestRequest::default().method(actix_web::http::Method::HEAD));
    assert_eq!(client.send(head.uri(ONE)).await.status, 200);
    assert_eq!(client.disclosures().len(), 2);
}

#[actix_web::test]
async fn what_shows_nobody_leaves_nothing() {
    let client = Client::new();
    for (path, status) in [
        ("/api/v1/things/00000000-0000-0000-0000-000000000002", 404),
        ("/api/v1/weight?grams=1", 200),
        ("/api/v1/me", 200),
        ("/api/v1/things?unknown=1", 422),
    ] {
        assert_eq!(client.send(get_as("doctor", path)).await.status, status, "{path}");
    }
    assert!(client.disclosures().is_empty());
}

#[actix_web::test]
async fn a_change_that_shows_whom_it_has_not_recorded_is_a_read() {
    let write = Access::Tenant(THING_WRITE);
    let shown = |patients: &'static [u128]| {
        async move |_: TenantCx, _: Path<Uuid>| {
            Ok::<_, ApiError>(
                Reply::no_content()
                    .showing(patients.iter().map(|id| Uuid::from_u128(*id)).collect::<Vec<_>>()),
            )
        }
    };
    let extra = HttpModule::new("extra", "Extra").operations([
        Operation::patch("/one/{id}", "one").access(write).answers_empty(204).handler(shown(&[5])),
        Operation::patch("/two/{id}", "two").access(write).answers_empty(204).handler(shown(&[6, 5])),
        Operation::patch("/none/{id}", "none").access(write).answers_empty(204).handler(shown(&[])),
        Operation::patch("/said/{id}", "said")
            .access(write)
            .shows_patients("thing")
            .answers_empty(204)
            .handler(shown(&[5])),
    ]);
    let client = Client::of(Api::new(&INFO, [module(), extra], RULES.iter()).unwrap());
    let (one, five) = (Uuid::from_u128(1), Uuid::from_u128(5));
    for (path, expected) in [
        ("one", Some(("patient.read", Some(five), vec![five]))),
        ("two", Some(("patient.read", None, vec![five, Uuid::from_u128(6)]))),
        ("none", None),
        ("said", Some(("thing.read", Some(one), vec![five]))),
    ] {
        let uri = format!("/api/v1/{path}/{one}");
        let request = with("doctor", actix_web::test::TestRequest::patch().uri(&uri));
        assert_eq!(client.send(request.insert_header(("If-Match", "*"))).await.status, 204, "{path}");
        let left = client.disclosures();
        let left: Vec<_> = left
            .iter()
            .map(|row| (row.action.as_str(), row.entity_id, row.patients.clone().unwrap()))
            .collect();
        assert_eq!(left, expected.into_iter().collect::<Vec<_>>(), "{path}");
    }
}

#[actix_web::test]
async fn whatever_an_operator_with_a_grant_looks_at_leaves_a_row() {
    let client = Client::new();
    for path in ["/api/v1/weight?grams=1", "/api/v1/me"] {
        assert_eq!(client.send(get_as("guest", path)).await.status, 200, "{path}");
        let left = client.disclosures();
        let [one] = left.as_slice() else { panic!("{path}: {left:?}") };
        assert_eq!((one.action.as_str(), one.entity), ("operation.read", "operation"), "{path}");
        assert_eq!(one.grant_id.map(|id| id.uuid()), Some(Uuid::from_u128(11)), "{path}");
    }
    assert_eq!(client.send(get_as("guest", ONE)).await.status, 200);
    assert_eq!(client.disclosures().len(), 1, "one row for one answer");
}

#[actix_web::test]
async fn without_its_row_there_is_no_answer() {
    let client = Client::new();
    client.break_audit();
    for path in [ONE, "/api/v1/things", "/api/v1/things/special"] {
        let answer = client.send(get_as("doctor", path)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "unavailable"), "{path}");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(client.send(get_as("doctor", "/api/v1/weight?grams=1")).await.status, 200);
}

#[actix_web::test]
async fn an_answer_that_does_not_say_whom_it_shows_is_a_defect() {
    let forgetful = Operation::get("/forgetful", "forgetful")
        .access(Access::Tenant(THING_READ))
        .shows_patients("thing")
        .answers_empty(204)
        .handler(async |_: TenantCx| Ok::<_, ApiError>(Reply::no_content()));
    let extra = HttpModule::new("extra", "Extra").operations([forgetful]);
    let client = Client::of(Api::new(&INFO, [module(), extra], RULES.iter()).unwrap());
    let answer = client.send(get_as("doctor", "/api/v1/forgetful")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "internal"));
}
