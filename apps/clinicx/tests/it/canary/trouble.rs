//! What goes wrong in the database while patients' data is on its way.

use std::time::Duration;

use clinicx_embedded_postgres::TestServer;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{
    Stage,
    values::{COMMENT, GIVEN, NAME, NOTES, REASON},
};

/// How long the service is given to arrive at a lock.
const A_MOMENT: Duration = Duration::from_millis(400);

fn patient_change(patient: &Value) -> (String, Value) {
    (format!("/patients/{}", patient["id"].as_str().unwrap()), json!({"notes": NOTES, "family_name": NAME}))
}

/// Constraints of the database refuse a patient's change, with the row in the error's detail.
pub(super) async fn constraints(stage: &mut Stage, superuser: &mut PgConnection) {
    let Stage { witness, admin, .. } = stage;
    let person = json!({"family_name": NAME, "given_name": GIVEN, "usual_name": COMMENT});
    let second = witness.call(admin, Method::POST, "/patients", &person).await.expect(201);
    let path = format!("/patients/{}", second["id"].as_str().unwrap());
    let put_up = format!(
        "CREATE UNIQUE INDEX canary ON tenant_clinic_json.patients (usual_name);
         ALTER TABLE tenant_clinic_json.patients ADD CONSTRAINT canary_check CHECK (usual_name <> '{NAME}')"
    );
    superuser.execute(AssertSqlSafe(put_up)).await.unwrap();
    for taken_or_forbidden in [GIVEN, NAME] {
        let body = json!({"usual_name": taken_or_forbidden});
        let answer = witness.call(admin, Method::PATCH, &path, &body).await;
        assert!(!answer.status.is_success(), "{}", answer.text);
    }
    superuser
        .execute(
            "DROP INDEX tenant_clinic_json.canary; ALTER TABLE tenant_clinic_json.patients DROP CONSTRAINT canary_check",
        )
        .await
        .unwrap();
}

/// The rows of a patient are locked: one statement is cancelled, another runs into its time limit.
pub(super) async fn cancelled_and_locked(stage: &mut Stage, superuser: &mut PgConnection, patient: &Value) {
    let (path, body) = patient_change(patient);
    superuser
        .execute("BEGIN; LOCK TABLE tenant_clinic_json.patients IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    for cancels in [true, false] {
        let request = stage.admin.request(Method::PATCH, &path).header("If-Match", "\"2\"").json(&body);
        let (answer, ()) = tokio::join!(stage.witness.send(request), async {
            if cancels {
                tokio::time::sleep(A_MOMENT).await;
                superuser
                    .execute(
                        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'clinicx:tenant%' \
                         AND wait_event_type = 'Lock'",
                    )
                    .await
                    .unwrap();
            }
        });
        assert!(answer.status.is_server_error(), "{}", answer.text);
        let search = stage.admin.request(Method::GET, &format!("/patients?q={NAME}"));
        assert!(stage.witness.send(search).await.status.is_server_error());
    }
    superuser.execute("ROLLBACK").await.unwrap();
}

/// The service waits for a row of a session that then waits for the service, and is the one that finds it out.
pub(super) async fn deadlock(stage: &mut Stage, server: &TestServer, patient: &Value) {
    let mut other = reconnect(server).await;
    let Stage { witness, admin, .. } = stage;
    let person = json!({"family_name": NAME, "given_name": "D", "roles": ["doctor"]});
    let staff = witness.call(admin, Method::POST, "/staff", &person).await.expect(201);
    let booking = json!({"patient_id": patient["id"], "staff_id": staff["id"], "start": "2031-02-03T10:00:00Z",
        "duration_minutes": 20, "comment": COMMENT});
    let made = witness.call(admin, Method::POST, "/appointments", &booking).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let hold = format!(
        "SET deadlock_timeout TO '30s'; BEGIN; SELECT 1 FROM tenant_clinic_json.appointments WHERE id = '{id}' FOR UPDATE"
    );
    other.execute(AssertSqlSafe(hold)).await.unwrap();
    let request = admin
        .request(Method::POST, &format!("/appointments/{id}/cancel"))
        .header("If-Match", "\"1\"")
        .header("Idempotency-Key", "deadlock")
        .json(&json!({"reason": REASON}));
    let (_, ()) = tokio::join!(witness.send(request), async {
        tokio::time::sleep(A_MOMENT).await;
        // It has read this table in its transaction.
        let _ended =
            other.execute("LOCK TABLE tenant_clinic_json.idempotency_keys IN ACCESS EXCLUSIVE MODE").await;
        other.execute("ROLLBACK").await.unwrap();
    });
}

/// PostgreSQL is killed while a patient's change waits in it.
pub(super) async fn killed(
    stage: &mut Stage,
    server: &TestServer,
    superuser: &mut PgConnection,
    patient: &Value,
) {
    let (path, body) = patient_change(patient);
    superuser
        .execute("BEGIN; LOCK TABLE tenant_clinic_json.patients IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let request = stage.admin.request(Method::PATCH, &path).header("If-Match", "\"2\"").json(&body);
    let (answer, ()) = tokio::join!(stage.witness.send(request), async {
        tokio::time::sleep(A_MOMENT).await;
        let waiting = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'clinicx:tenant%' \
                       AND wait_event_type = 'Lock' LIMIT 1";
        let pid: i32 = sqlx::query_scalar(waiting).fetch_one(&mut *superuser).await.unwrap();
        let killed =
            std::process::Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status().unwrap();
        assert!(killed.success());
    });
    assert!(answer.status.is_server_error(), "{}", answer.text);
    let mut superuser = reconnect(server).await;
    superuser.execute("SELECT 1").await.unwrap();
    for _ in 0..5 {
        let request = stage.admin.request(Method::POST, "/patients").json(&super::values::patient());
        stage.witness.send(request).await;
    }
}

/// Connects when the server has recovered.
pub(super) async fn reconnect(server: &TestServer) -> PgConnection {
    for _ in 0..300 {
        if let Ok(connection) = PgConnection::connect(&server.superuser_url("postgres")).await {
            return connection;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the server does not come back")
}

/// PostgreSQL answers a write with every kind of error there is, each with the whole row in all its texts.
pub(super) async fn every_sqlstate(stage: &mut Stage, superuser: &mut PgConnection, patient: &Value) {
    let (path, body) = patient_change(patient);
    superuser
        .execute(
            "CREATE FUNCTION public.raise() RETURNS trigger LANGUAGE plpgsql AS $fn$ BEGIN
                 RAISE EXCEPTION USING MESSAGE = 'value ' || NEW::text, DETAIL = NEW::text, HINT = NEW::text,
                     ERRCODE = TG_ARGV[0], CONSTRAINT = NEW.family_name, COLUMN = NEW.given_name, TABLE = NEW.notes::text;
             END $fn$",
        )
        .await
        .unwrap();
    for code in [
        "22001", "22007", "22023", "22P02", "23502", "23503", "23505", "23514", "23P01", "25006", "25P02",
        "40001", "40P01", "42501", "42703", "42P01", "53100", "53300", "54000", "55P03", "57014", "57P01",
        "57P03", "58030", "08006", "0A000", "P0001", "XX000", "XX001", "ZZ999",
    ] {
        let arm = format!(
            "DROP TRIGGER IF EXISTS raise ON tenant_clinic_human.patients;
             CREATE TRIGGER raise BEFORE INSERT OR UPDATE ON tenant_clinic_human.patients FOR EACH ROW
                 EXECUTE FUNCTION public.raise('{code}')"
        );
        superuser.execute(AssertSqlSafe(arm)).await.unwrap();
        let Stage { witness, admin, .. } = &mut *stage;
        let changed =
            witness.send(admin.request(Method::PATCH, &path).header("If-Match", "\"2\"").json(&body)).await;
        assert!(!changed.status.is_success(), "{code}: {}", changed.text);
        let made = witness.call(admin, Method::POST, "/patients", &super::values::patient()).await;
        assert!(!made.status.is_success(), "{code}: {}", made.text);
    }
    superuser
        .execute("DROP TRIGGER raise ON tenant_clinic_human.patients; DROP FUNCTION public.raise()")
        .await
        .unwrap();
}
