//! The ledger under random operations: what accounts owe is what their rows say, always.
//!
//! `CLINICX_LEDGER_OPERATIONS` says how many operations are tried, 400 unless it does. A run that fails tells its seed;
//! `CLINICX_LEDGER_SEED` tries the same steps again. How they race is not repeated, and nothing is shrunk.

use clinicx_billing::{
    BillingError, InvoiceId,
    invoice::InvoiceStatus,
    payment::{self, Payment, PaymentStatus},
};
use clinicx_core::PatientId;
use clinicx_types::error::{DomainError, ErrorKind};
use futures_util::future::join_all;
use proptest::{
    prelude::*,
    sample::Index,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;
use sqlx::{Executor, PgConnection, Row};

use crate::practice::{Practice, line};

/// How many operations run at the same time.
const AT_ONCE: usize = 6;
/// How many such rounds go between two looks at the sums.
const ROUNDS: usize = 8;
const CURRENCIES: [&str; 3] = ["EUR", "JPY", "KWD"];

/// One thing that somebody does, to things that are picked among those that are there.
#[derive(Clone, Debug)]
enum Step {
    Draft { patient: Index, currency: Index, amounts: Vec<u32>, rate: u8, percent: u8 },
    Issue(Index),
    Cancel(Index),
    Credit { invoice: Index, line: Index },
    CreditRest(Index),
    Pay { patient: Index, currency: Index, amount: u32, invoice: Option<(Index, u8)> },
    Promise { patient: Index, currency: Index, amount: u32 },
    Arrive(Index),
    Fail(Index),
    Allocate { payment: Index, invoice: Index, amount: u32 },
    Release { payment: Index, invoice: Index },
    Refund { payment: Index, amount: u32 },
    Void(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    let amounts = prop::collection::vec(1_u32..100_000, 1..4);
    prop_oneof![
        4 => (index(), index(), amounts, prop::sample::select(vec![0_u8, 7, 19, 20]), 0_u8..30).prop_map(
            |(patient, currency, amounts, rate, percent)| Step::Draft { patient, currency, amounts, rate, percent }
        ),
        5 => index().prop_map(Step::Issue),
        1 => index().prop_map(Step::Cancel),
        2 => (index(), index()).prop_map(|(invoice, line)| Step::Credit { invoice, line }),
        1 => index().prop_map(Step::CreditRest),
        4 => (index(), index(), 1_u32..150_000, prop::option::of((index(), 1_u8..=100))).prop_map(
            |(patient, currency, amount, invoice)| Step::Pay { patient, currency, amount, invoice }
        ),
        2 => (index(), index(), 1_u32..150_000).prop_map(
            |(patient, currency, amount)| Step::Promise { patient, currency, amount }
        ),
        2 => index().prop_map(Step::Arrive),
        1 => index().prop_map(Step::Fail),
        4 => (index(), index(), 1_u32..100_000).prop_map(
            |(payment, invoice, amount)| Step::Allocate { payment, invoice, amount }
        ),
        2 => (index(), index()).prop_map(|(payment, invoice)| Step::Release { payment, invoice }),
        2 => (index(), 1_u32..80_000).prop_map(|(payment, amount)| Step::Refund { payment, amount }),
        1 => index().prop_map(Step::Void),
    ]
}

/// Writes minor units as an amount of the currency.
fn amount(units: u32, currency: &str) -> String {
    match currency {
        "JPY" => units.to_string(),
        "KWD" => format!("{}.{:03}", units / 1000, units % 1000),
        _ => format!("{}.{:02}", units / 100, units % 100),
    }
}

fn units(amount: &str) -> u32 {
    amount.replace('.', "").parse().unwrap()
}

/// What has been made so far.
struct World {
    practice: Practice,
    patients: Vec<PatientId>,
    invoices: Vec<(InvoiceId, &'static str)>,
    payments: Vec<Payment>,
    /// Those of them that were under way when they were made.
    promised: Vec<Payment>,
    superuser: PgConnection,
}

/// What a step has made.
enum Made {
    Invoice(InvoiceId, &'static str),
    Payment(Box<Payment>),
    Nothing,
}

impl World {
    async fn open() -> Self {
        let practice = Practice::open().await;
        let mut patients = Vec::new();
        for _ in 0..5 {
            patients.push(practice.patient().await);
        }
        let child = json!({ "family_name": "Doe", "given_name": "Child", "guarantor_id": patients[0] });
        patients.push(practice.patient_with(child).await);
        let superuser = practice.superuser().await;
        Self {
            practice,
            patients,
            invoices: Vec::new(),
            payments: Vec::new(),
            promised: Vec::new(),
            superuser,
        }
    }

    async fn run(&self, step: &Step) -> Result<Made, BillingError> {
        let practice = &self.practice;
        let invoice = |index: &Index| (!self.invoices.is_empty()).then(|| *index.get(&self.invoices));
        let payment = |index: &Index| (!self.payments.is_empty()).then(|| index.get(&self.payments));
        match step {
            Step::Draft { patient, currency, amounts, rate, percent } => {
                let currency = currency.get(&CURRENCIES);
                let lines: Vec<_> = amounts
                    .iter()
                    .map(|units| {
                        let mut one = line(&amount(*units, currency), &rate.to_string());
                        one["quantity"] = json!("3");
                        one
                    })
                    .collect();
                let body = json!({ "patient_id": patient.get(&self.patients), "currency": currency,
                    "lines": lines, "discount_percent": percent.to_string() });
                let made = practice.draft(body).await?;
                return Ok(Made::Invoice(made.id, currency));
            }
            Step::Issue(index) => {
                if let Some((id, _)) = invoice(index) {
                    practice.issue(id, None).await?;
                }
            }
            Step::Cancel(index) => {
                if let Some((id, _)) = invoice(index) {
                    practice.cancel(id).await?;
                }
            }
            Step::Credit { invoice: index, line } => {
                if let Some((id, _)) = invoice(index) {
                    let lines = practice.invoice(id).await.lines;
                    let wish = json!([{ "invoice_line_id": line.get(&lines).id, "quantity": "1" }]);
                    practice.credit(id, json!({ "lines": wish, "reason": "Not done" })).await?;
                }
            }
            Step::CreditRest(index) => {
                if let Some((id, _)) = invoice(index) {
                    practice.credit(id, json!({ "reason": "All of it" })).await?;
                }
            }
            Step::Pay { patient, currency, amount: paid, invoice: to } => {
                let mut patient = *patient.get(&self.patients);
                let mut currency = *currency.get(&CURRENCIES);
                let mut shares = Vec::new();
                if let Some((index, percent)) = to
                    && let Some((id, of)) = invoice(index)
                {
                    let there = practice.invoice(id).await;
                    (patient, currency) = (there.patient_id, of);
                    let share = units(&there.due).min(*paid) / 100 * u32::from(*percent);
                    shares.push(json!({ "invoice_id": id, "amount": amount(share.max(1), currency) }));
                }
                let body = json!({ "patient_id": patient, "amount": amount(*paid, currency),
                    "currency": currency, "method": "cash", "allocations": shares });
                return Ok(Made::Payment(Box::new(practice.pay(body).await?)));
            }
            Step::Promise { patient, currency, amount: promised } => {
                let currency = *currency.get(&CURRENCIES);
                let body = json!({ "patient_id": patient.get(&self.patients), "amount": amount(*promised, currency),
                    "currency": currency, "method": "cheque", "status": "pending" });
                return Ok(Made::Payment(Box::new(practice.pay(body).await?)));
            }
            Step::Arrive(index) | Step::Fail(index) => {
                if let Some(promised) = (!self.promised.is_empty()).then(|| index.get(&self.promised)) {
                    let (scope, cipher) = (&practice.scope, &practice.tenant.cipher);
                    let revision = (promised.id, None);
                    practice
                        .write(async |tx| match step {
                            Step::Arrive(_) => payment::complete(tx, scope, cipher, revision).await,
                            _ => payment::fail(tx, scope, cipher, revision).await,
                        })
                        .await?;
                }
            }
            Step::Allocate { payment: index, invoice: to, amount: share } => {
                let fitting: Vec<InvoiceId> = match payment(index) {
                    Some(paid) => {
                        let fits = |(_, of): &&(InvoiceId, &str)| *of == paid.currency;
                        self.invoices.iter().filter(fits).map(|(id, _)| *id).collect()
                    }
                    None => Vec::new(),
                };
                if let (Some(paid), false) = (payment(index), fitting.is_empty()) {
                    let share = amount(*share, &paid.currency);
                    practice
                        .allocate(paid, json!({ "invoice_id": to.get(&fitting), "amount": share }))
                        .await?;
                }
            }
            Step::Release { payment: index, invoice: from } => {
                if let Some(paid) = payment(index) {
                    let shares = practice.payment(paid).await.allocations;
                    if !shares.is_empty() {
                        practice.release(paid, json!({ "invoice_id": from.get(&shares).invoice_id })).await?;
                    }
                }
            }
            Step::Refund { payment: index, amount: back } => {
                if let Some(paid) = payment(index) {
                    practice.refund(paid, &amount(*back, &paid.currency)).await?;
                }
            }
            Step::Void(index) => {
                if let Some(paid) = payment(index) {
                    practice.void(paid).await?;
                }
            }
        }
        Ok(Made::Nothing)
    }

    /// Runs steps at the same time; whatever is refused is refused for a reason. Returns how many were done.
    async fn run_at_once(&mut self, steps: &[Step]) -> usize {
        let outcomes = join_all(steps.iter().map(|step| self.run(step))).await;
        let mut done = 0;
        for (outcome, step) in outcomes.into_iter().zip(steps) {
            match outcome {
                Ok(Made::Invoice(id, currency)) => self.invoices.push((id, currency)),
                Ok(Made::Payment(payment)) => {
                    if payment.status == PaymentStatus::Pending {
                        self.promised.push((*payment).clone());
                    }
                    self.payments.push(*payment);
                }
                Ok(Made::Nothing) => {}
                Err(refused) => {
                    let of_the_database = refused.code() == "invalid_value" || refused.code() == "conflict";
                    let reason = [ErrorKind::Conflict, ErrorKind::Invalid].contains(&refused.kind());
                    assert!(reason && !of_the_database, "{step:?}: {refused:?}");
                    continue;
                }
            }
            done += 1;
        }
        done
    }

    /// Asserts that sums, rows and balances agree, by reckoning everything from the rows.
    async fn look(&mut self) {
        let wrong = self.superuser.fetch_all(include_str!("contradictions.sql")).await.unwrap();
        let wrong: Vec<String> = wrong.iter().map(|row| row.get("what")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// The seed of the steps: the one that is asked for, or a new one.
#[expect(clippy::disallowed_methods, reason = "each run is another one")]
fn seed() -> [u8; 32] {
    match std::env::var("CLINICX_LEDGER_SEED") {
        Ok(text) => std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()),
        Err(_) => {
            let (one, two) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
            std::array::from_fn(|at| if at < 16 { one.as_bytes()[at] } else { two.as_bytes()[at - 16] })
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_are_what_the_rows_say_under_random_operations() {
    let wanted: usize = match std::env::var("CLINICX_LEDGER_OPERATIONS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 400,
    };
    let seed = seed();
    // Seen when the test fails.
    println!("CLINICX_LEDGER_SEED={}", seed.map(|byte| format!("{byte:02x}")).concat());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut world = World::open().await;
    let (mut tried, mut done, mut rounds) = (0, 0, 0);
    while tried < wanted {
        let size = AT_ONCE.min(wanted - tried);
        let steps = prop::collection::vec(step(), size).new_tree(&mut runner).unwrap().current();
        // Every other round goes one after the other.
        if rounds % 2 == 0 {
            done += world.run_at_once(&steps).await;
        } else {
            for one in &steps {
                done += world.run_at_once(std::slice::from_ref(one)).await;
            }
        }
        tried += size;
        rounds += 1;
        if rounds % ROUNDS == 0 {
            world.look().await;
        }
    }
    world.look().await;
    assert!(done * 3 > tried, "only {done} of {tried} operations did something");
    let balanced = world.practice.invoice(world.invoices[0].0).await.status;
    println!("{done} of {tried} operations, the first invoice is {}", InvoiceStatus::as_str(balanced));
}

#[tokio::test]
async fn the_database_refuses_to_change_the_ledger() {
    use sea_orm::{ConnectionTrait, DbBackend, Statement};
    let practice = Practice::open().await;
    let patient = practice.patient().await;
    practice.issued(patient, &["10.00"], "0").await;
    for statement in ["UPDATE ledger_entries SET amount = 1", "DELETE FROM ledger_entries"] {
        let refused = practice
            .tenant
            .connection
            .execute_raw(Statement::from_string(DbBackend::Postgres, statement))
            .await
            .unwrap_err();
        let failure = clinicx_persistence::Failure::of(&refused);
        assert_eq!(failure.sqlstate.as_deref(), Some("42501"), "{statement}");
    }
    for table in ["credit_notes", "credit_note_lines", "payment_allocations", "refunds", "installments"] {
        let statement = format!("DELETE FROM {table}");
        let statement = Statement::from_string(DbBackend::Postgres, statement);
        assert!(practice.tenant.connection.execute_raw(statement).await.is_err(), "{table}");
    }
}

#[tokio::test]
async fn a_look_finds_what_is_wrong() {
    let mut world = World::open().await;
    let patient = world.patients[0];
    let invoice = world.practice.issued(patient, &["10.00"], "0").await;
    let body = json!({ "patient_id": patient, "amount": "4.00", "method": "cash",
        "allocations": [{ "invoice_id": invoice.id, "amount": "4.00" }] });
    world.practice.pay(body).await.unwrap();
    world.look().await;
    for statement in [
        "UPDATE ledger_entries SET amount = 9 WHERE kind = 'invoice'",
        "UPDATE invoices SET allocated = 3",
        "UPDATE payments SET allocated = 3",
        "DELETE FROM payment_allocations",
        "DELETE FROM ledger_entries WHERE kind = 'payment'",
    ] {
        world.superuser.execute("BEGIN").await.unwrap();
        world.superuser.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        let wrong = world.superuser.fetch_all(include_str!("contradictions.sql")).await.unwrap();
        assert!(!wrong.is_empty(), "{statement}");
        world.superuser.execute("ROLLBACK").await.unwrap();
    }
}
