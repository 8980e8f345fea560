//! How long a job waits before another try: longer each time, and not the same for all that failed together.

use std::time::Duration;

/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Returns the pause after a try: `first` after the first one, twice as long after each further one, of which
/// between half and the whole is waited. `random` is any number.
pub fn pause(first: Duration, attempt: i32, random: u32) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or_default().min(20);
    let whole = first.saturating_mul(1 << doublings).min(LONGEST);
    let half = whole / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let check = |attempt: i32, least_s: u64, most_s: u64| {
            let first = Duration::from_secs(4);
            assert_eq!(pause(first, attempt, 0), Duration::from_secs(least_s), "{attempt}");
            assert_eq!(pause(first, attempt, u32::MAX), Duration::from_secs(most_s), "{attempt}");
        };
        check(0, 2, 4);
        check(1, 2, 4);
        check(2, 4, 8);
        check(5, 32, 64);
        check(30, 1800, 3600);
        check(i32::MAX, 1800, 3600);
    }
}
