//! How often something may happen, for each of many keys.

use std::{hash::Hash, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, direct::NotKeyed},
};
use moka::{policy::EvictionPolicy, sync::Cache};

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many each second in the long run; 0 is without limit.
    pub per_second: u32,
    /// How many at once after a pause; not less than those of one second.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { per_second: 0, burst: 0 };

    fn quota(self) -> Option<(Quota, u32)> {
        let per_second = NonZeroU32::new(self.per_second)?;
        let burst = NonZeroU32::new(self.burst).map_or(per_second, |burst| burst.max(per_second));
        Some((Quota::per_second(per_second).allow_burst(burst), burst.get()))
    }

    /// Returns in how many seconds so many that were used up are there again.
    fn seconds_for(self, used: u32) -> u64 {
        u64::from(used).div_ceil(u64::from(self.per_second.max(1)))
    }
}

/// How much a key has left, for the header fields of the IETF's draft "RateLimit header fields for HTTP".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) burst: u32,
    pub(crate) window_s: u64,
    pub(crate) remaining: u32,
    pub(crate) reset_s: u64,
}

/// The key has used up what it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsedUp {
    pub(crate) standing: Standing,
    pub(crate) retry_after_s: u32,
}

/// Counts for each key. It remembers a bounded number of them: the one that was not seen for longest is forgotten,
/// and begins anew when it comes back.
pub(crate) struct Rates<K, C: Clock = DefaultClock> {
    buckets: Cache<K, Arc<Bucket<C>>>,
    clock: C,
}

struct Bucket<C: Clock> {
    rate: Rate,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>,
}

/// After so long a key that was not seen is forgotten, whatever it had left.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10 * 60);

impl<K: Hash + Eq + Send + Sync + 'static> Rates<K> {
    /// Makes one that remembers so many keys.
    pub(crate) fn new(keys: u64) -> Self {
        Self::with_clock(keys, DefaultClock::default())
    }
}

impl<K, C> Rates<K, C>
where
    K: Hash + Eq + Send + Sync + 'static,
    C: Clock + Clone + Send + Sync + 'static,
    C::Instant: Send + Sync,
{
    fn with_clock(keys: u64, clock: C) -> Self {
        // The usual policy admits no new key while the old ones are asked for more often, and then a newcomer would
        // never be counted.
        let buckets = Cache::builder()
            .max_capacity(keys)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(FORGOTTEN_AFTER)
            .build();
        Self { buckets, clock }
    }

    /// Counts one, and tells what is left; without a limit there is nothing to tell.
    pub(crate) fn count(&self, key: K, rate: Rate) -> Result<Option<Standing>, UsedUp> {
        let Some((quota, burst)) = rate.quota() else { return Ok(None) };
        let bucket = match self.buckets.get(&key).filter(|bucket| bucket.rate == rate) {
            Some(bucket) => bucket,
            None => {
                let make = || {
                    let limiter = RateLimiter::direct_with_clock(quota, self.clock.clone())
                        .with_middleware::<StateInformationMiddleware>();
                    Arc::new(Bucket { rate, limiter })
                };
                self.buckets.entry(key).or_insert_with_if(make, |other| other.rate != rate).into_value()
            }
        };
        let standing = |remaining: u32| Standing {
            burst,
            window_s: rate.seconds_for(burst),
            remaining,
            reset_s: rate.seconds_for(burst.saturating_sub(remaining)),
        };
        match bucket.limiter.check() {
            Ok(state) => Ok(Some(standing(state.remaining_burst_capacity()))),
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                let whole = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
                let retry_after_s = u32::try_from(whole).unwrap_or(u32::MAX);
                Err(UsedUp { standing: standing(0), retry_after_s })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rates(keys: u64) -> (Rates<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rates::with_clock(keys, clock.clone()), clock)
    }

    fn passed(rates: &Rates<u32, FakeRelativeClock>, key: u32, rate: Rate, tries: usize) -> usize {
        (0..tries).filter(|_| rates.count(key, rate).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (rates, clock) = rates(10);
        let rate = Rate { per_second: 10, burst: 30 };
        assert_eq!(passed(&rates, 1, rate, 100), 30);
        assert_eq!(passed(&rates, 2, rate, 100), 30, "another key has its own");
        clock.advance(Duration::from_millis(500));
        assert_eq!(passed(&rates, 1, rate, 100), 5);
    }

    #[test]
    fn what_is_left_and_when_to_come_again_is_told() {
        let (rates, _clock) = rates(10);
        let rate = Rate { per_second: 2, burst: 4 };
        let standing = rates.count(1, rate).unwrap().unwrap();
        assert_eq!(standing, Standing { burst: 4, window_s: 2, remaining: 3, reset_s: 1 });
        assert_eq!(passed(&rates, 1, rate, 3), 3);
        let used_up = rates.count(1, rate).unwrap_err();
        assert_eq!((used_up.retry_after_s, used_up.standing.remaining, used_up.standing.reset_s), (1, 0, 2));
    }

    #[test]
    fn a_changed_rate_counts_at_once() {
        let (rates, _clock) = rates(10);
        assert_eq!(passed(&rates, 1, Rate { per_second: 1, burst: 1 }, 9), 1);
        assert_eq!(passed(&rates, 1, Rate { per_second: 5, burst: 5 }, 9), 5);
        assert_eq!(passed(&rates, 1, Rate::UNLIMITED, 9), 9);
    }

    #[test]
    fn a_burst_is_never_less_than_a_second() {
        let (rates, _clock) = rates(10);
        assert_eq!(passed(&rates, 1, Rate { per_second: 7, burst: 0 }, 50), 7);
    }

    #[test]
    fn no_more_keys_are_remembered_than_allowed_and_newcomers_are_counted() {
        let (rates, _clock) = rates(100);
        let rate = Rate { per_second: 1, burst: 1 };
        for key in 0..10_000 {
            let _ = rates.count(key, rate);
        }
        rates.buckets.run_pending_tasks();
        assert!(rates.buckets.entry_count() <= 100, "{}", rates.buckets.entry_count());
        assert_eq!(passed(&rates, 20_000, rate, 5), 1, "a full memory lets no newcomer through uncounted");
    }
}
