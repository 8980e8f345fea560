//! The six places around a tooth at which its gum is measured. Pure: no clock, no database.

use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// One of the six sites of a tooth.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum PerioSite {
    /// Outside, towards the midline.
    #[sea_orm(string_value = "mesio_buccal")]
    MesioBuccal,
    /// Outside, in the middle.
    #[sea_orm(string_value = "buccal")]
    Buccal,
    /// Outside, away from the midline.
    #[sea_orm(string_value = "disto_buccal")]
    DistoBuccal,
    /// Inside, towards the midline.
    #[sea_orm(string_value = "mesio_lingual")]
    MesioLingual,
    /// Inside, in the middle.
    #[sea_orm(string_value = "lingual")]
    Lingual,
    /// Inside, away from the midline.
    #[sea_orm(string_value = "disto_lingual")]
    DistoLingual,
}

/// Computes the clinical attachment loss in millimetres: the probing depth plus the recession, which is negative
/// where the gum stands above the edge of the enamel. Below zero there is no loss.
pub fn attachment_loss_mm(probing_mm: Option<i16>, recession_mm: Option<i16>) -> Option<i16> {
    Some(probing_mm?.saturating_add(recession_mm?).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachment_loss_is_depth_and_recession_together() {
        assert_eq!(attachment_loss_mm(Some(4), Some(2)), Some(6));
        assert_eq!(attachment_loss_mm(Some(3), Some(-2)), Some(1));
        assert_eq!(attachment_loss_mm(Some(2), Some(-3)), Some(0));
        assert_eq!(attachment_loss_mm(Some(2), None), None);
        assert_eq!(attachment_loss_mm(None, Some(2)), None);
    }
}
