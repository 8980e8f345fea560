//! Thousands of drops at random moments, with several tenants at work on one small pool.

use std::collections::HashMap;

use clinicx_core::CoreError;
use clinicx_persistence::ApplyMode;
use uuid::Uuid;

use super::{
    Figures, World,
    clinic::{Clinic, Manner, Thing},
    cut::{Dice, Moment, Patience},
    ledger::Ledger,
    paths::{PATHS, Subject},
};

const DROPS: usize = 3_000;
const TENANTS: usize = 4;
/// After each round nobody is at work, so that no connection can be in a transaction.
const ROUNDS: usize = 10;
const SEED: u64 = 0x00c1_1111_1c00;

/// One tenant at work.
struct Worker {
    clinic: Clinic,
    others: Vec<Clinic>,
    ledger: Ledger,
    dice: Dice,
    patience: Patience,
    subjects: HashMap<(&'static str, Subject), Thing>,
    acknowledged: Vec<Uuid>,
    undone: Vec<Uuid>,
    keyed: Vec<Uuid>,
    figures: Figures,
}

impl Worker {
    async fn work(&mut self, drops: usize) {
        let until = self.figures.drops + drops;
        while self.figures.drops < until {
            self.attempt().await;
        }
    }

    async fn attempt(&mut self) {
        let path = PATHS[self.dice.below(PATHS.len())];
        let manners = Manner::of(path);
        let manner = manners[self.dice.below(manners.len())];
        let key = (path.id, path.subject);
        let subject = match self.subjects.remove(&key) {
            Some(subject) => subject,
            None => self.clinic.prepare(path.subject).await,
        };
        let call = self.clinic.call(path, subject);
        let request = call.scope.request_id.uuid();
        match manner {
            Manner::Keyed => self.keyed.push(request),
            Manner::Undone | Manner::KeyedUndone => self.undone.push(request),
            Manner::Plain => {}
        }
        let moment = Moment::random(&mut self.dice, &self.patience);
        let outcome = moment.cut(async move { call.run(path, manner).await }).await;
        if matches!(moment, Moment::After(_)) {
            self.patience.learn(outcome.is_some());
        }
        match outcome {
            None => {
                self.figures.drops += 1;
                self.subjects.insert(key, subject);
            }
            Some(Ok(answer)) => {
                self.figures.ended += 1;
                let text = answer.to_string();
                let foreign = self.others.iter().any(|other| text.contains(&*other.canary));
                self.figures.wrong_tenant += usize::from(foreign);
                if path.writes() && manner.commits() {
                    self.acknowledged.push(request);
                    self.figures.lost += 1 - self.ledger.recorded_of(&[request]).await;
                } else {
                    self.subjects.insert(key, subject);
                }
            }
            // A drop before may have come after the COMMIT was sent; the subject has changed then.
            Some(Err(CoreError::Stale { .. } | CoreError::NotFound { .. })) => self.figures.ended += 1,
            Some(Err(error)) => panic!("{} {manner:?}: {error:?}", path.id),
        }
        let other = &self.others[self.dice.below(self.others.len())];
        self.figures.wrong_tenant += usize::from(!other.is_itself().await);
    }

    /// Looks at what is there now that no connection is left.
    async fn settle(mut self) -> Figures {
        let acknowledged = self.acknowledged.len();
        self.figures.acknowledged = acknowledged;
        self.figures.lost += acknowledged - self.ledger.recorded_of(&self.acknowledged).await;
        self.figures.torn += self.ledger.recorded_of(&self.undone).await;
        let torn = self.ledger.contradictions().await + self.ledger.half_kept_of(&self.keyed).await;
        self.figures.torn += usize::try_from(torn).unwrap();
        self.ledger.close().await;
        self.figures
    }
}

async fn random(mode: ApplyMode) {
    let world = World::open(mode, 4, TENANTS).await;
    let mut ledger = world.ledger(&world.clinics[0]).await;
    let mut workers = Vec::new();
    for (number, clinic) in world.clinics.iter().enumerate() {
        let others = world.clinics.iter().filter(|other| other.canary != clinic.canary).cloned().collect();
        workers.push(Worker {
            clinic: clinic.clone(),
            others,
            ledger: world.ledger(clinic).await,
            dice: Dice::new(SEED + u64::try_from(number).unwrap()),
            patience: Patience::default(),
            subjects: HashMap::new(),
            acknowledged: Vec::new(),
            undone: Vec::new(),
            keyed: Vec::new(),
            figures: Figures::default(),
        });
    }
    let mut figures = Figures { paths: PATHS.len(), ..Figures::default() };
    for _ in 0..ROUNDS {
        let tasks: Vec<_> = workers
            .into_iter()
            .map(|mut worker| {
                tokio::spawn(async move {
                    worker.work(DROPS / TENANTS / ROUNDS).await;
                    worker
                })
            })
            .collect();
        workers = Vec::new();
        for task in tasks {
            workers.push(task.await.unwrap());
        }
        figures.left_in_transaction += ledger.left_in_transaction().await;
    }
    world.cluster.close().await;
    for worker in workers {
        figures.add(worker.settle().await);
    }
    ledger.close().await;
    figures.report(&format!("random moments, {mode:?} mode"));
    assert_eq!(figures.drops, DROPS);
    assert!(figures.acknowledged > DROPS / 20, "only {} writes were acknowledged", figures.acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drops_at_random_moments_harm_nobody_in_session_mode() {
    random(ApplyMode::Session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drops_at_random_moments_harm_nobody_in_transaction_mode() {
    random(ApplyMode::Transaction).await;
}
