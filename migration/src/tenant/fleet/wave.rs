//! Who goes when, and when enough has gone wrong.

use std::{collections::BTreeSet, fmt, str::FromStr};

use clinicx_types::id::TenantId;
use sha2::{Digest, Sha256};

/// Which share of the fleet goes before the rest, of a hundred.
const EARLY_PERCENT: usize = 5;

/// When a tenant goes, by what an operator has said of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ring {
    /// First of all.
    Canary,
    /// With the first share.
    Early,
    /// With the rest, or with the first share when that has places.
    #[default]
    General,
}

impl Ring {
    /// Every ring, the first first.
    pub const ALL: [Self; 3] = [Self::Canary, Self::Early, Self::General];

    /// Returns the word for it in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Early => "early",
            Self::General => "general",
        }
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be canary, early or general")]
pub struct RingError;

impl FromStr for Ring {
    type Err = RingError;
    fn from_str(text: &str) -> Result<Self, RingError> {
        Self::ALL.into_iter().find(|ring| ring.as_str() == text).ok_or(RingError)
    }
}

/// A part of a run; the next begins when all of it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wave {
    /// The canaries; the failure of one halts the run.
    Canary,
    /// A first share.
    Early,
    /// All others.
    Rest,
    /// Those that have come meanwhile.
    Late,
}

impl Wave {
    /// Every wave, in their order.
    pub const ALL: [Self; 4] = [Self::Canary, Self::Early, Self::Rest, Self::Late];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Early => "early",
            Self::Rest => "rest",
            Self::Late => "late",
        }
    }

    /// Returns its number as it is stored.
    pub(super) fn number(self) -> i16 {
        match self {
            Self::Canary => 0,
            Self::Early => 1,
            Self::Rest => 2,
            Self::Late => 3,
        }
    }

    /// Reads the number.
    pub(super) fn of_number(number: i16) -> Self {
        Self::ALL.into_iter().find(|wave| wave.number() == number).unwrap_or(Self::Late)
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells the wave of each tenant: the canaries, then a share of all that is filled up from the general ring in an order
/// of its own, then the rest.
pub fn assign(tenants: &[(TenantId, Ring)], canaries: &BTreeSet<TenantId>) -> Vec<Wave> {
    let is_canary = |id: &TenantId, ring: Ring| ring == Ring::Canary || canaries.contains(id);
    let share = (tenants.len() * EARLY_PERCENT).div_ceil(100);
    let named = tenants.iter().filter(|(id, ring)| *ring == Ring::Early && !is_canary(id, *ring)).count();
    let mut general: Vec<TenantId> = tenants
        .iter()
        .filter(|(id, ring)| *ring == Ring::General && !is_canary(id, *ring))
        .map(|(id, _)| *id)
        .collect();
    // The same order in every run, and no order of the registry's: who is new is not always last.
    general.sort_by_cached_key(|id| Sha256::digest(id.uuid().as_bytes()).to_vec());
    let filled: BTreeSet<TenantId> = general.into_iter().take(share.saturating_sub(named)).collect();
    let wave = |(id, ring): &(TenantId, Ring)| match ring {
        _ if is_canary(id, *ring) => Wave::Canary,
        Ring::Early => Wave::Early,
        _ if filled.contains(id) => Wave::Early,
        _ => Wave::Rest,
    };
    tenants.iter().map(wave).collect()
}

/// The share of a wave that may fail, in tenths of a hundredth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u16);

impl Share {
    /// 5 of 100.
    pub const DEFAULT: Self = Self(50);
    /// All of it: nothing but a canary halts.
    pub const EVERYTHING: Self = Self(1000);

    /// Tells whether more have failed than may.
    pub fn is_passed(self, failed: usize, of: usize) -> bool {
        failed.saturating_mul(1000) > usize::from(self.0).saturating_mul(of)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, tenth) => write!(f, "{whole}.{tenth}%"),
        }
    }
}

/// The text is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a share from 0% to 100%, such as 5% or 2.5%")]
pub struct ShareError;

impl FromStr for Share {
    type Err = ShareError;
    fn from_str(text: &str) -> Result<Self, ShareError> {
        let text = text.strip_suffix('%').unwrap_or(text);
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(tenth) || tenth.len() != 1 {
            return Err(ShareError);
        }
        let number = |part: &str| part.parse::<u16>().map_err(|_| ShareError);
        let share = number(whole)?.checked_mul(10).and_then(|whole| whole.checked_add(number(tenth).ok()?));
        share.filter(|share| *share <= 1000).map(Self).ok_or(ShareError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clinicx_types::uuid::Uuid;

    fn tenants(number: u128, ring: Ring) -> Vec<(TenantId, Ring)> {
        (1..=number).map(|n| (TenantId::new(Uuid::from_u128(n)), ring)).collect()
    }

    fn count(waves: &[Wave], wanted: Wave) -> usize {
        waves.iter().filter(|wave| **wave == wanted).count()
    }

    #[test]
    fn canaries_go_first_and_then_a_share_of_all() {
        let mut all = tenants(200, Ring::General);
        all[7].1 = Ring::Canary;
        all[8].1 = Ring::Early;
        let named = BTreeSet::from([all[9].0]);
        let waves = assign(&all, &named);
        assert_eq!((waves[7], waves[8], waves[9]), (Wave::Canary, Wave::Early, Wave::Canary));
        let counts = [Wave::Canary, Wave::Early, Wave::Rest].map(|wave| count(&waves, wave));
        assert_eq!(counts, [2, 10, 188]);
        assert_eq!(waves, assign(&all, &named), "the same every time");
    }

    #[test]
    fn few_tenants_have_waves_too() {
        for number in 0..=20 {
            let waves = assign(&tenants(number, Ring::General), &BTreeSet::new());
            assert_eq!(count(&waves, Wave::Early), usize::from(number > 0), "{number}");
        }
        assert_eq!(count(&assign(&tenants(30, Ring::Early), &BTreeSet::new()), Wave::Early), 30);
    }

    #[test]
    fn a_share_is_passed_when_more_have_failed() {
        let share: Share = "5%".parse().unwrap();
        assert_eq!(share, Share::DEFAULT);
        assert!(!share.is_passed(10, 200) && share.is_passed(11, 200) && share.is_passed(1, 10));
        assert!("0".parse::<Share>().unwrap().is_passed(1, 1000));
        assert!(!"100%".parse::<Share>().unwrap().is_passed(10, 10));
        assert_eq!("2.5%".parse::<Share>().unwrap().to_string(), "2.5%");
        for bad in ["", "%", "101%", "-1", "5%%", "1.25%", "x", "100.1%", "99999999%"] {
            assert_eq!(bad.parse::<Share>(), Err(ShareError), "{bad:?}");
        }
    }
}
