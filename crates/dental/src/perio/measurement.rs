//! The table `perio_measurements`: rows that are never changed.

use sea_orm::entity::prelude::*;

use super::site::PerioSite;
use crate::{PerioExamId, tooth::Tooth};

/// What was measured at one site.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "perio_measurements")]
pub struct Model {
    /// Which one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When the row was made.
    pub created_at: DateTimeUtc,
    /// The examination.
    pub exam_id: PerioExamId,
    /// The tooth.
    pub tooth: Tooth,
    /// The site.
    pub site: PerioSite,
    /// The depth of the pocket in millimetres.
    pub probing_mm: Option<i16>,
    /// How far the gum has gone back in millimetres.
    pub recession_mm: Option<i16>,
    /// Whether it bled.
    pub bleeding: Option<bool>,
    /// Whether there was pus.
    pub suppuration: Option<bool>,
    /// Whether there was plaque.
    pub plaque: Option<bool>,
    /// Whether there was calculus.
    pub calculus: Option<bool>,
}

impl ActiveModelBehavior for ActiveModel {}
