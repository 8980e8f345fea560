//! What one clinic sees of another: nothing.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Answer, Clinic};

/// An answer without the parts that differ for every request.
fn shape(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let mut body = answer.json();
    for part in ["request_id", "instance"] {
        body.as_object_mut().unwrap().remove(part);
    }
    let headers = answer.headers.iter();
    let kept =
        headers.filter(|(name, _)| !["date", "x-request-id", "content-length"].contains(&name.as_str()));
    let kept = kept.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let mut headers: Vec<_> = kept.collect();
    headers.sort();
    (answer.status.as_u16(), body.to_string(), headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_id_answers_as_a_random_id() {
    let (mine, theirs) = (Clinic::create().await, Clinic::create().await);
    let (patient, staff) = (theirs.patient("Secret").await, theirs.staff().await);
    let room = theirs.admin.post("/rooms", json!({"name": "1", "kind": "room"})).await.expect(201);
    let service = json!({"code": "x", "name": "X", "duration_minutes": 20});
    let service = theirs.admin.post("/services", service).await.expect(201);
    let booking = json!({"patient_id": patient["id"], "staff_id": staff["id"],
        "start": "2031-01-06T10:00:00Z", "duration_minutes": 20});
    let appointment = theirs.admin.post("/appointments", booking).await.expect(201);
    let things = [
        ("patients", &patient),
        ("staff", &staff),
        ("rooms", &room),
        ("services", &service),
        ("appointments", &appointment),
    ];
    for (path, thing) in things {
        let foreign = format!("/{path}/{}", thing["id"].as_str().unwrap());
        let random = format!("/{path}/{}", Uuid::now_v7());
        theirs.admin.get(&foreign).await.expect(200);
        assert_eq!(shape(&mine.admin.get(&foreign).await), shape(&mine.admin.get(&random).await));
        assert_eq!(mine.admin.get(&foreign).await.status, 404);
        let change = async |path: &str| shape(&mine.admin.patch(path, &json!(1), json!({})).await);
        if path != "appointments" {
            assert_eq!(change(&foreign).await, change(&random).await, "{path}");
        } else {
            for action in ["confirm", "arrive", "check-in", "fulfil", "cancel", "no-show"] {
                let act = async |path: &str| {
                    let path = format!("{path}/{action}");
                    shape(&mine.admin.change(Method::POST, &path, &json!(1), json!({})).await)
                };
                assert_eq!(act(&foreign).await, act(&random).await, "{action}");
            }
        }
    }
    let stolen = json!({"patient_id": patient["id"], "staff_id": mine.staff().await["id"],
        "start": "2031-01-06T10:00:00Z", "duration_minutes": 20});
    let mut random = stolen.clone();
    random["patient_id"] = json!(Uuid::now_v7());
    let (foreign, random) =
        (mine.admin.post("/appointments", stolen).await, mine.admin.post("/appointments", random).await);
    assert_eq!(shape(&foreign), shape(&random));
    assert_eq!(foreign.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn header_and_host_must_agree_with_the_token() {
    let (mine, theirs) = (Clinic::create().await, Clinic::create().await);
    let ask = async |name: &str, value: String| {
        mine.admin.send(mine.admin.request(Method::GET, "/patients").header(name, value)).await
    };
    ask("X-Tenant-ID", mine.slug.clone()).await.expect(200);
    ask("X-Tenant-ID", theirs.slug.clone()).await.expect_problem(403, "tenant_mismatch");
    ask("X-Tenant-ID", "nobody-knows".to_owned()).await.expect_problem(403, "tenant_mismatch");
    ask("Host", format!("{}.clinics.example", mine.slug)).await.expect(200);
    ask("Host", format!("{}.clinics.example", theirs.slug)).await.expect_problem(403, "tenant_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_searches_show_only_ones_own() {
    let (mine, theirs) = (Clinic::create().await, Clinic::create().await);
    mine.patient("Commonname").await;
    theirs.patient("Commonname").await;
    for clinic in [&mine, &theirs] {
        for path in ["/patients", "/patients?q=commonname"] {
            let list = clinic.admin.get(path).await.expect(200);
            assert_eq!(list["items"].as_array().unwrap().len(), 1, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_are_tied_to_accounts_of_their_own_clinic_only() {
    let (mine, theirs) = (Clinic::create().await, Clinic::create().await);
    let me = mine.admin.get("/auth/me").await.expect(200)["id"].clone();
    let them = theirs.admin.get("/auth/me").await.expect(200)["id"].clone();
    let body = |user: &serde_json::Value| json!({"family_name": "Doc", "given_name": "Tor", "roles": ["doctor"], "user_id": user});
    let foreign = mine.admin.post("/staff", body(&them)).await;
    let random = mine.admin.post("/staff", body(&json!(Uuid::now_v7()))).await;
    assert_eq!(shape(&foreign), shape(&random));
    let problem = foreign.expect_problem(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/user_id");
    assert_eq!(problem["errors"][0]["code"], "not_a_member");
    let made = mine.admin.post("/staff", body(&me)).await.expect(201);
    assert_eq!(made["user_id"], me);
    let path = format!("/staff/{}", made["id"].as_str().unwrap());
    mine.admin.patch(&path, &made["version"], json!({"user_id": them})).await.expect_problem(422, "invalid");
    let kept = mine.admin.patch(&path, &made["version"], json!({"user_id": me, "given_name": "T"})).await;
    assert_eq!(kept.expect(200)["version"], 2);
}
