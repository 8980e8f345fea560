//! What the service does by itself.

use clinicx::{sweeper, wiring::Platform};
use reqwest::{Client, Method};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::support::{Api, OPERATOR, PASSWORD, configuration, start};

#[tokio::test(flavor = "multi_thread")]
async fn expired_holds_and_answers_go_in_active_clinics_only() {
    let config = configuration("holds").await;
    let mut database = PgConnection::connect(config.database.url.as_ref().unwrap().expose()).await.unwrap();
    let api = Api { base: start(config.clone()).await, token: None, client: Client::new() };
    let operator = api.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await;
    let mut clinics = Vec::new();
    for slug in ["holds-one", "holds-two", "holds-asleep"] {
        let email = format!("a@{slug}.example");
        let body = json!({"slug": slug, "name": "N", "modules": [], "time_zone": "UTC", "currency": "EUR",
            "locale": "en", "admin": {"email": email, "full_name": "A", "password": PASSWORD}});
        operator.post("/platform/tenants", body).await.expect(201);
        let admin = api.login(json!({"email": email, "password": PASSWORD})).await;
        let person = json!({"family_name": "A", "given_name": "B", "phones": [], "emails": []});
        let patient = admin.post("/patients", person).await.expect(201);
        let doctor = json!({"family_name": "D", "given_name": "D", "roles": ["doctor"]});
        let staff = admin.post("/staff", doctor).await.expect(201);
        let hold = json!({"patient_id": patient["id"], "staff_id": staff["id"], "start": "2031-01-06T10:00:00Z",
            "duration_minutes": 20, "status": "pending"});
        let held = admin.request(Method::POST, "/appointments").header("Idempotency-Key", "hold").json(&hold);
        let held = admin.send(held).await.expect(201);
        let schema = slug.replace('-', "_");
        let expire =
            format!("UPDATE tenant_{schema}.appointments SET hold_expires_at = now() - interval '1 minute'");
        database.execute(sqlx::AssertSqlSafe(expire)).await.unwrap();
        clinics.push((schema, admin, format!("/appointments/{}", held["id"].as_str().unwrap())));
    }
    operator.post("/platform/tenants/holds-asleep/suspend", json!({})).await.expect(200);
    let platform = Platform::open(&config).await.unwrap();
    assert_eq!(sweeper::expire_holds(&platform).await.unwrap(), 2);
    assert_eq!(sweeper::expire_holds(&platform).await.unwrap(), 0);
    assert_eq!(sweeper::remove_kept_answers(&platform).await.unwrap(), 0, "they have not expired");
    for (schema, _, _) in &clinics {
        let expire =
            format!("UPDATE tenant_{schema}.idempotency_keys SET expires_at = now() - interval '1 minute'");
        database.execute(sqlx::AssertSqlSafe(expire)).await.unwrap();
    }
    assert_eq!(sweeper::remove_kept_answers(&platform).await.unwrap(), 2);
    assert_eq!(sweeper::remove_kept_answers(&platform).await.unwrap(), 0);
    platform.close().await;
    for (schema, admin, path) in &clinics[..2] {
        let expired = admin.get(path).await.expect(200);
        assert_eq!(
            (&expired["status"], &expired["cancellation_reason"], &expired["version"]),
            (&json!("cancelled"), &json!("hold_expired"), &json!(2))
        );
        let left = format!(
            "SELECT (SELECT count(*) FROM tenant_{schema}.outbox WHERE event_type = 'appointment.status_changed'),
                    (SELECT count(*) FROM public.audit_logs a JOIN public.tenants t ON t.id = a.tenant_id
                     WHERE t.database_schema = 'tenant_{schema}' AND a.action = 'appointment.status_changed'
                       AND a.actor_kind = 'system' AND a.actor_job = 'expire holds')"
        );
        let left: (i64, i64) =
            sqlx::query_as(sqlx::AssertSqlSafe(left)).fetch_one(&mut database).await.unwrap();
        assert_eq!(left, (1, 1), "{schema}");
    }
    let asleep: String = sqlx::query_scalar("SELECT status FROM tenant_holds_asleep.appointments")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(asleep, "pending");
}
