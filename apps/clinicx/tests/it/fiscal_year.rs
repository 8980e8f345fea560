//! Invoices over HTTP around the midnight at which a clinic's fiscal year changes: a service whose clock the test sets.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpServer, rt::System};
use chrono::{DateTime, Utc};
use clinicx::{cli, gatekeeper::Gate, modules, wiring::Platform};
use clinicx_types::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Clinic, OPERATOR, configuration};

/// A clock that shows what it was set to.
#[derive(Clone, Debug)]
struct SetClock(Arc<Mutex<DateTime<Utc>>>);

impl SetClock {
    fn at(instant: &str) -> Self {
        Self(Arc::new(Mutex::new(instant.parse().unwrap())))
    }

    fn set(&self, instant: &str) {
        *self.0.lock().unwrap() = instant.parse().unwrap();
    }
}

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// Serves with a clock, on a thread and a runtime of its own, and returns the operator's client.
async fn serve(clock: SetClock) -> Api {
    let config = configuration("fiscal").await;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        System::new().block_on(async move {
            cli::migrate::system(&config).await.unwrap();
            let platform = Platform::open(&config).await.unwrap();
            platform.ready_to_serve().await.unwrap();
            let gate = Arc::new(Gate::new(platform.clone()));
            let kit = modules::kit_behind(&platform, gate, Arc::new(clock)).unwrap();
            let server = HttpServer::new(move || App::new().configure(kit.configure()))
                .workers(1)
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .unwrap();
            sender.send(format!("http://{}", server.addrs()[0])).unwrap();
            server.run().await.unwrap();
        });
    });
    let base = receiver.await.expect("the service starts");
    let anonymous = Api { base, token: None, client: reqwest::Client::new() };
    anonymous.login(json!({"email": OPERATOR.0, "password": OPERATOR.1})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fiscal_year_changes_at_the_clinics_own_midnight() {
    let clock = SetClock::at("2026-12-31T12:00:00Z");
    let operator = serve(clock.clone()).await;
    let berlin = Clinic::made_by(&operator, json!({"modules": ["billing"]})).await;
    let honolulu =
        Clinic::made_by(&operator, json!({"modules": ["billing"], "time_zone": "Pacific/Honolulu"})).await;
    let (of_berlin, of_honolulu) = (berlin.patient("Eins").await, honolulu.patient("Zwei").await);
    let number = async |clinic: &Clinic, patient: &Value, now: &str| {
        clock.set(now);
        let lines = json!([{"description": "Work", "quantity": "1", "unit_price": "1.00", "tax_rate": "0"}]);
        let body = json!({"patient_id": patient["id"], "lines": lines});
        let draft = clinic.admin.post("/invoices", body).await.expect(201);
        let path = format!("/invoices/{}/issue", draft["id"].as_str().unwrap());
        let issued = clinic.admin.change(Method::POST, &path, &draft["version"], json!({})).await.expect(200);
        issued["number"].as_str().unwrap().to_owned()
    };
    // Berlin is an hour ahead of UTC in winter and two in summer; Honolulu ten behind all year.
    let new_year = "2026-12-31T23:00:00Z";
    assert_eq!(number(&berlin, &of_berlin, "2026-12-31T22:59:59.999999Z").await, "INV-2026-00001");
    assert_eq!(number(&berlin, &of_berlin, new_year).await, "INV-2027-00001");
    assert_eq!(number(&honolulu, &of_honolulu, new_year).await, "INV-2026-00001");
    assert_eq!(number(&honolulu, &of_honolulu, "2027-01-01T09:59:59Z").await, "INV-2026-00002");
    assert_eq!(number(&honolulu, &of_honolulu, "2027-01-01T10:00:00Z").await, "INV-2027-00001");
    let settings = berlin.admin.get("/billing-settings").await.expect(200);
    let july = json!({"fiscal_year_start_month": 7});
    berlin.admin.patch("/billing-settings", &settings["version"], july).await.expect(200);
    assert_eq!(number(&berlin, &of_berlin, "2027-06-30T21:59:59Z").await, "INV-2026-00002");
    assert_eq!(number(&berlin, &of_berlin, "2027-06-30T22:00:00Z").await, "INV-2027-00002");
}
