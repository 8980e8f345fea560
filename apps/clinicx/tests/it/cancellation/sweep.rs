//! Each way, dropped at each of its awaits.

use clinicx_persistence::ApplyMode;

use super::{
    Figures, World,
    clinic::{Clinic, Manner, Thing},
    cut::CancelAfter,
    ledger::Ledger,
    paths::{PATHS, Path, path},
};

/// Sweeps one operation in one manner.
struct Sweep<'a> {
    path: &'a Path,
    manner: Manner,
    clinic: &'a Clinic,
    other: &'a Clinic,
    ledger: &'a mut Ledger,
    /// What a run to its end changes.
    whole: Vec<i64>,
    subject: Thing,
    /// What there is.
    counts: Vec<i64>,
    figures: Figures,
}

impl<'a> Sweep<'a> {
    async fn begin(
        (path, manner): (&'a Path, Manner),
        (clinic, other): (&'a Clinic, &'a Clinic),
        ledger: &'a mut Ledger,
    ) -> Self {
        let subject = clinic.prepare(path.subject).await;
        let before = ledger.counts().await;
        clinic.call(path, subject).run(path, manner).await.unwrap();
        let whole = difference(&before, &ledger.counts().await);
        let said = ledger.describe(&whole);
        if path.writes() && manner.commits() {
            // A change of one thing may change others: each leaves its audit row and its event.
            let rows = said.strip_prefix("audit +").and_then(|said| said.split(',').next());
            let events = rows.map(|rows| format!("outbox +{rows}"));
            assert!(events.is_some_and(|events| said.contains(&events)), "{}: {said}", path.id);
        } else if manner == Manner::KeyedUndone {
            assert_eq!(said, "idempotency_keys +1, idempotency_keys +1", "{}", path.id);
        } else {
            assert_eq!(said, "", "{}", path.id);
        }
        let (subject, counts) = (Thing::default(), Vec::new());
        Self { path, manner, clinic, other, ledger, whole, subject, counts, figures: Figures::default() }
    }

    /// Sweeps from a poll on; returns the poll at which it ended.
    async fn run(mut self, first: usize) -> (Figures, usize) {
        self.renew().await;
        let mut poll = first;
        while !self.attempt(poll).await {
            poll += 1;
        }
        (self.figures, poll)
    }

    /// Sweeps it with no connection in the pool: the awaits of opening one are its own.
    async fn run_without_connection(mut self) -> Figures {
        self.renew().await;
        for poll in 1.. {
            while CancelAfter::polls(1, self.other.is_itself()).await.is_some() {}
            if self.attempt(poll).await {
                break;
            }
        }
        self.figures
    }

    /// Makes something new to work on. The other tenant is served last, so that the way begins by applying its own.
    async fn renew(&mut self) {
        self.subject = self.clinic.prepare(self.path.subject).await;
        self.look_at_the_other(0).await;
        self.counts = self.ledger.counts().await;
    }

    /// Runs it until a poll; tells whether it has ended before.
    async fn attempt(&mut self, poll: usize) -> bool {
        let call = self.clinic.call(self.path, self.subject);
        let outcome = CancelAfter::polls(poll, call.run(self.path, self.manner)).await;
        // The pool has one connection for work: only when that of the drop has gone is there one for the other.
        self.look_at_the_other(poll).await;
        let counts = self.ledger.counts().await;
        let change = difference(&self.counts, &counts);
        self.counts = counts;
        let (whole, nothing) = (change == self.whole, change.iter().all(|change| *change == 0));
        let ended = outcome.is_some();
        match outcome {
            Some(answer) => {
                self.figures.ended += 1;
                self.look_at_the_answer(&answer.unwrap().to_string());
                self.figures.acknowledged += usize::from(self.path.writes() && self.manner.commits());
                self.figures.lost += usize::from(!whole);
            }
            None => {
                self.figures.drops += 1;
                self.figures.torn += usize::from(!whole && !nothing);
            }
        }
        if !whole && (ended || !nothing) {
            println!("{} {:?} poll {poll}: {}", self.path.id, self.manner, self.ledger.describe(&change));
        }
        if !nothing && !ended {
            self.renew().await;
        }
        ended
    }

    async fn look_at_the_other(&mut self, poll: usize) {
        let right = self.other.is_itself().await;
        let left = self.ledger.left_in_transaction().await;
        self.figures.wrong_tenant += usize::from(!right);
        self.figures.left_in_transaction += left;
        if !right || left != 0 {
            println!("{} {:?} poll {poll}: right {right}, in transaction {left}", self.path.id, self.manner);
        }
    }

    fn look_at_the_answer(&mut self, answer: &str) {
        self.figures.wrong_tenant += usize::from(answer.contains(&*self.other.canary));
    }
}

fn difference(before: &[i64], after: &[i64]) -> Vec<i64> {
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}

async fn sweep(mode: ApplyMode) {
    let world = World::open(mode, 2, 2).await;
    let (clinic, other) = (&world.clinics[0], &world.clinics[1]);
    let mut ledger = world.ledger(clinic).await;
    let mut figures = Figures { paths: PATHS.len(), ..Figures::default() };
    for path in PATHS.iter() {
        let mut first = 1;
        for manner in Manner::of(path) {
            let sweep = Sweep::begin((path, *manner), (clinic, other), &mut ledger).await;
            let (found, end) = sweep.run(first).await;
            figures.add(found);
            first = manner.next_differs_from(end);
        }
    }
    for id in ["book_appointment", "list_rooms", "get_room"] {
        let sweep = Sweep::begin((path(id), Manner::Plain), (clinic, other), &mut ledger).await;
        figures.add(sweep.run_without_connection().await);
    }
    world.cluster.close().await;
    figures.torn += usize::try_from(ledger.contradictions().await).unwrap();
    ledger.close().await;
    figures.report(&format!("each await, {mode:?} mode"));
    assert!(figures.drops > 500, "{} drops are not every await", figures.drops);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_way_leaves_anything_wherever_it_is_dropped_in_session_mode() {
    sweep(ApplyMode::Session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_way_leaves_anything_wherever_it_is_dropped_in_transaction_mode() {
    sweep(ApplyMode::Transaction).await;
}
