//! What users see when tables are altered under a running service.

use clinicx_embedded_postgres::TestServer;
use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, postgres::PgConnectOptions};

use crate::support::Clinic;

/// Connects to the service's database as its administrator.
async fn administrator(clinic: &Clinic) -> PgConnection {
    let server = TestServer::shared().unwrap();
    let connect = async |database: &str| {
        let options: PgConnectOptions = server.superuser_url(database).parse().unwrap();
        options.connect().await.unwrap()
    };
    let question = "SELECT datname FROM pg_database WHERE datname LIKE 'http\\_%'";
    let databases: Vec<String> =
        sqlx::query_scalar(question).fetch_all(&mut connect("postgres").await).await.unwrap();
    for database in databases {
        let mut connection = connect(&database).await;
        let known: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
            .bind(schema(clinic))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        if known {
            return connection;
        }
    }
    panic!("no database has the clinic");
}

fn schema(clinic: &Clinic) -> String {
    clinic.tenant["database_schema"].as_str().unwrap().to_owned()
}

async fn run(administrator: &mut PgConnection, text: String) {
    administrator.execute(AssertSqlSafe(text)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_after_a_column_has_got_another_type() {
    let clinic = Clinic::create().await;
    let (mut administrator, schema) = (administrator(&clinic).await, schema(&clinic));
    let mut room = clinic.admin.post("/rooms", json!({"name": "First", "kind": "chair"})).await.expect(201);
    let path = format!("/rooms/{}", room["id"].as_str().unwrap());
    for kind in ["varchar", "text"] {
        // Everything is prepared before the change, on several connections at a time.
        let reads = (0..4).map(|_| {
            let (api, path) = (clinic.admin.clone(), path.clone());
            tokio::spawn(async move { (api.get("/rooms").await, api.get(&path).await) })
        });
        for read in reads.collect::<Vec<_>>() {
            let (list, one) = read.await.unwrap();
            list.expect(200);
            one.expect(200);
        }
        let change = json!({"name": format!("Before {kind}")});
        room = clinic.admin.patch(&path, &room["version"], change).await.expect(200);
        run(&mut administrator, format!("ALTER TABLE {schema}.rooms ALTER COLUMN name TYPE {kind}")).await;
        clinic.admin.get("/rooms").await.expect(200);
        let change = json!({"name": format!("After {kind}")});
        room = clinic.admin.patch(&path, &room["version"], change).await.expect(200);
        assert_eq!(clinic.admin.get(&path).await.expect(200)["name"], room["name"]);
        let create = clinic.admin.request(Method::POST, "/rooms").header("Idempotency-Key", kind.repeat(4));
        let body = json!({"name": format!("{kind} {}", room["version"]), "kind": "chair"});
        clinic.admin.send(create.json(&body)).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_of_an_active_tenants_schema_is_one_of_the_service() {
    let clinic = Clinic::create().await;
    let (mut administrator, schema) = (administrator(&clinic).await, schema(&clinic));
    clinic.admin.get("/rooms").await.expect(200);
    run(&mut administrator, format!("REVOKE SELECT ON {schema}.rooms FROM {schema}")).await;
    clinic.admin.get("/rooms").await.expect_problem(500, "internal");
    run(&mut administrator, format!("GRANT SELECT ON {schema}.rooms TO {schema}")).await;
    clinic.admin.get("/rooms").await.expect(200);
    run(&mut administrator, format!("ALTER TABLE {schema}.rooms RENAME TO rooms_away")).await;
    clinic.admin.get("/rooms").await.expect_problem(500, "internal");
    clinic
        .admin
        .post("/rooms", json!({"name": "Lost", "kind": "chair"}))
        .await
        .expect_problem(500, "internal");
    clinic.admin.get("/patients").await.expect(200);
    run(&mut administrator, format!("ALTER TABLE {schema}.rooms_away RENAME TO rooms")).await;
    clinic.admin.get("/rooms").await.expect(200);
}
