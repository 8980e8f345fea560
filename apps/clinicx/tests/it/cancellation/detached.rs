//! Each write as it is served, broken off where a drop of its handler does not reach: in its task, whose runtime ends.

use std::{sync::Arc, time::Duration};

use actix_web::http::Method;
use clinicx::{
    gatekeeper::Gate,
    modules,
    wiring::{Platform, Slot},
};
use clinicx_persistence::ApplyMode;
use clinicx_web::{Api, Kit, KitOptions, api::OperationFacts};
use tokio::runtime;

use super::{
    billing,
    cut::{Dice, Patience, pause},
    handlers::{Bench, bearing, open_platform, request, serve},
    paths::{PATHS, Path},
};

const DROPS: usize = 150;
const SEED: u64 = 0x0de7_ac4e_d000;

/// Lets a request be answered whose write runs on a runtime that ends after a while.
async fn ask(
    (api, platform): (&Arc<Api>, &Platform),
    request: actix_web::test::TestRequest,
    patience: Duration,
) -> (u16, String) {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = KitOptions::new(platform.token_key, runtime.handle().clone());
    let kit = Kit::new(Arc::clone(api), Arc::new(Gate::new(platform.clone())), options);
    let answer = serve(&kit).await(request);
    let end = async move {
        pause(patience).await;
        runtime.shutdown_background();
    };
    let both = async { tokio::join!(answer, end).0 };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("an answer after the runtime's end")
}

async fn attempt(
    bench: &mut Bench,
    served: (&Arc<Api>, &Platform),
    (facts, path): (&OperationFacts, &Path),
    (dice, patience): (&mut Dice, &mut Patience),
) {
    let subject = bench.clinics[0].prepare(path.subject).await;
    let call = bench.clinics[0].call(path, subject);
    let request_id = call.scope.request_id.uuid();
    let mut wanted = request(facts, path, &call);
    let keyed = billing::NEED_A_KEY.contains(&facts.id) || dice.below(2) == 0;
    if facts.method == Method::POST && keyed {
        wanted = wanted.insert_header(("Idempotency-Key", request_id.to_string()));
        bench.keyed.push(request_id);
    }
    let wait = patience.random(dice);
    let (status, text) = ask(served, bearing(wanted, &bench.administrator), wait).await;
    patience.learn(status != 503);
    bench.look(facts.id, 0).await;
    match status {
        200..300 => {
            bench.figures.ended += 1;
            bench.figures.acknowledged += 1;
            bench.figures.lost += 1 - bench.ledger.recorded_of(&[request_id]).await;
            bench.acknowledged.push(request_id);
        }
        503 => bench.figures.drops += 1,
        _ => panic!("{}: {status} {text}", facts.id),
    }
}

async fn sweep(mode: ApplyMode) {
    let platform = open_platform(mode).await;
    let api = Arc::new(modules::api(&Slot::holding(platform.clone()), &Default::default()).unwrap());
    let kit = modules::kit(&platform).unwrap();
    let mut bench = Bench::open(serve(&kit).await, platform.clone()).await;
    let facts: Vec<OperationFacts> = api.operations().collect();
    let writes: Vec<_> = PATHS
        .iter()
        .copied()
        .filter(|path| path.writes())
        .map(|path| (facts.iter().find(|facts| facts.id == path.id).unwrap(), path))
        .collect();
    let (mut dice, mut patience) = (Dice::new(SEED), Patience::default());
    while bench.figures.drops < DROPS {
        let write = writes[dice.below(writes.len())];
        attempt(&mut bench, (&api, &platform), write, (&mut dice, &mut patience)).await;
    }
    platform.close().await;
    bench.figures.paths = writes.len();
    bench.settle().await.report(&format!("random moments of each write's task, {mode:?} mode"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_leaves_anything_when_its_runtime_ends_in_session_mode() {
    sweep(ApplyMode::Session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_leaves_anything_when_its_runtime_ends_in_transaction_mode() {
    sweep(ApplyMode::Transaction).await;
}
