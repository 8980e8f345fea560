//! Where work is broken off.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::task::coop::poll_proceed;

/// How much a poll may do with sockets: one round trip at most, for writing and reading count one each.
///
/// Without it an answer that is there already would be read in the same poll, and its await passed over.
const BUDGET: usize = 2;

/// Drops a future at the poll of this number, unless it ends before.
pub(crate) struct CancelAfter<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> CancelAfter<F> {
    pub(crate) fn polls(number: usize, future: F) -> Self {
        Self { future: Box::pin(future), left: number }
    }
}

impl<F: Future> Future for CancelAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !leave_budget() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => {
                self.left -= 1;
                if self.left == 0 { Poll::Ready(None) } else { Poll::Pending }
            }
        }
    }
}

/// Uses up what this poll of the task may do but for [`BUDGET`]; `false` when that much is not left.
fn leave_budget() -> bool {
    let mut nobody = Context::from_waker(Waker::noop());
    // Dropped, it gives back all that is taken after it.
    let Poll::Ready(all) = poll_proceed(&mut nobody) else { return false };
    let mut left = 1;
    while take_one(&mut nobody) {
        left += 1;
        assert!(left < 1_000_000, "only a task of the runtime has a budget");
    }
    drop(all);
    (BUDGET..left).for_each(|_| assert!(take_one(&mut nobody)));
    left >= BUDGET
}

fn take_one(context: &mut Context<'_>) -> bool {
    match poll_proceed(context) {
        Poll::Ready(one) => {
            one.made_progress();
            true
        }
        Poll::Pending => false,
    }
}

/// A moment that chance has chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    Poll(usize),
    After(Duration),
}

/// How long to wait before work is broken off, so that about a third of it has ended by then however fast the machine.
pub(crate) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_millis(10))
    }
}

impl Patience {
    pub(crate) fn random(&self, dice: &mut Dice) -> Duration {
        self.0.mul_f64(f64::from(u32::try_from(dice.below(1_000)).unwrap()) / 500.0)
    }

    /// Tells whether work had ended by then.
    pub(crate) fn learn(&mut self, ended: bool) {
        self.0 = self.0.mul_f64(if ended { 0.9 } else { 1.05 }).max(Duration::from_micros(100));
    }
}

impl Moment {
    pub(crate) fn random(dice: &mut Dice, patience: &Patience) -> Self {
        match dice.below(2) {
            0 => Self::Poll(1 + dice.below(20)),
            _ => Self::After(patience.random(dice)),
        }
    }

    /// Runs work until that moment; `None` when it was broken off.
    pub(crate) async fn cut<F>(self, work: F) -> Option<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let patience = match self {
            Self::Poll(number) => return CancelAfter::polls(number, work).await,
            Self::After(patience) => patience,
        };
        let mut task = tokio::spawn(work);
        tokio::select! {
            value = &mut task => return Some(value.unwrap()),
            () = pause(patience) => task.abort(),
        }
        match task.await {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(error.is_cancelled(), "{error}");
                None
            }
        }
    }
}

/// Waits more exactly than a timer of the runtime, which counts in milliseconds.
pub(crate) async fn pause(duration: Duration) {
    tokio::task::spawn_blocking(move || std::thread::sleep(duration)).await.unwrap();
}

/// The same numbers at each run (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let wide = u64::try_from(limit).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % wide).unwrap()
    }
}
