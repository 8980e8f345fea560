//! What an operator can switch on and off for clinics.

use clinicx_types::setting::FeatureFlag;

/// Whether a search that finds nothing goes on to names that resemble what was typed. It reads every patient of the
/// clinic, so that a very large one may be better off without.
pub const SIMILAR_SEARCH: FeatureFlag = FeatureFlag {
    key: "patient.similar_search",
    description: "A search for patients that finds nothing goes on to names that resemble what was typed",
    enabled: true,
};

/// All of them.
pub(crate) const FLAGS: &[FeatureFlag] = &[SIMILAR_SEARCH];
