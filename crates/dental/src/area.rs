//! Where in the mouth something is done: the whole of it, a part, teeth, surfaces. Pure: no clock, no database.

use clinicx_types::error::FieldError;
use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    notation::Notation,
    reference,
    surface::SurfaceSet,
    tooth::{Arch, Side, Tooth},
};

/// What kind of part of the mouth it is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// All of it.
    #[default]
    #[sea_orm(string_value = "mouth")]
    Mouth,
    /// The upper or the lower teeth.
    #[sea_orm(string_value = "arch")]
    Arch,
    /// A quarter.
    #[sea_orm(string_value = "quadrant")]
    Quadrant,
    /// A sixth.
    #[sea_orm(string_value = "sextant")]
    Sextant,
    /// One tooth.
    #[sea_orm(string_value = "tooth")]
    Tooth,
    /// Surfaces of one tooth.
    #[sea_orm(string_value = "surface")]
    Surface,
    /// Several teeth.
    #[sea_orm(string_value = "tooth_range")]
    ToothRange,
}

/// A part of the mouth that is no tooth, by its code of ISO 3950.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize, JsonSchema,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Region {
    /// The upper teeth.
    #[sea_orm(string_value = "01")]
    #[serde(rename = "01")]
    UpperArch,
    /// The lower teeth.
    #[sea_orm(string_value = "02")]
    #[serde(rename = "02")]
    LowerArch,
    /// The upper right premolars and molars.
    #[sea_orm(string_value = "03")]
    #[serde(rename = "03")]
    UpperRightSextant,
    /// The upper incisors and canines.
    #[sea_orm(string_value = "04")]
    #[serde(rename = "04")]
    UpperAnteriorSextant,
    /// The upper left premolars and molars.
    #[sea_orm(string_value = "05")]
    #[serde(rename = "05")]
    UpperLeftSextant,
    /// The lower left premolars and molars.
    #[sea_orm(string_value = "06")]
    #[serde(rename = "06")]
    LowerLeftSextant,
    /// The lower incisors and canines.
    #[sea_orm(string_value = "07")]
    #[serde(rename = "07")]
    LowerAnteriorSextant,
    /// The lower right premolars and molars.
    #[sea_orm(string_value = "08")]
    #[serde(rename = "08")]
    LowerRightSextant,
    /// The upper right quadrant.
    #[sea_orm(string_value = "10")]
    #[serde(rename = "10")]
    UpperRight,
    /// The upper left quadrant.
    #[sea_orm(string_value = "20")]
    #[serde(rename = "20")]
    UpperLeft,
    /// The lower left quadrant.
    #[sea_orm(string_value = "30")]
    #[serde(rename = "30")]
    LowerLeft,
    /// The lower right quadrant.
    #[sea_orm(string_value = "40")]
    #[serde(rename = "40")]
    LowerRight,
}

impl Region {
    /// Returns what kind of part it is.
    pub const fn area(self) -> Area {
        match self {
            Self::UpperArch | Self::LowerArch => Area::Arch,
            Self::UpperRight | Self::UpperLeft | Self::LowerLeft | Self::LowerRight => Area::Quadrant,
            _ => Area::Sextant,
        }
    }

    /// Tells whether a tooth is in it.
    pub const fn holds(self, tooth: Tooth) -> bool {
        let (upper, right) = (matches!(tooth.arch(), Arch::Upper), matches!(tooth.side(), Side::Right));
        let posterior = tooth.is_posterior();
        match self {
            Self::UpperArch => upper,
            Self::LowerArch => !upper,
            Self::UpperRightSextant => upper && right && posterior,
            Self::UpperAnteriorSextant => upper && !posterior,
            Self::UpperLeftSextant => upper && !right && posterior,
            Self::LowerLeftSextant => !upper && !right && posterior,
            Self::LowerAnteriorSextant => !upper && !posterior,
            Self::LowerRightSextant => !upper && right && posterior,
            Self::UpperRight => upper && right,
            Self::UpperLeft => upper && !right,
            Self::LowerLeft => !upper && !right,
            Self::LowerRight => !upper && right,
        }
    }
}

/// Where something is done, as a caller says it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlaceInput<'a> {
    /// One tooth.
    pub tooth: Option<&'a str>,
    /// Several teeth.
    pub teeth: Option<&'a [String]>,
    /// Surfaces of the one tooth.
    pub surfaces: &'a [String],
    /// A part of the mouth.
    pub region: Option<Region>,
    /// How the teeth are written.
    pub notation: Option<Notation>,
}

/// Where something is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What kind of part of the mouth it is.
    pub area: Area,
    /// The part, of an arch, a quadrant or a sextant.
    pub region: Option<Region>,
    /// The teeth, in the order of their codes, each once.
    pub teeth: Vec<Tooth>,
    /// The surfaces of the one tooth.
    pub surfaces: SurfaceSet,
}

impl Place {
    /// Reads a place: surfaces need one tooth; a tooth, teeth and a region exclude each other; nothing is the mouth.
    ///
    /// # Errors
    /// An entry for each part that does not fit.
    pub fn read(input: PlaceInput<'_>) -> Result<Self, Vec<FieldError>> {
        let mut wrong = Vec::new();
        let mut refuse =
            |pointer: &str, code, detail: &str| wrong.push(FieldError::new(pointer, code, detail));
        if input.tooth.is_some() && input.teeth.is_some() {
            refuse("/teeth", "tooth_or_teeth", "must not stand beside tooth");
        }
        if input.region.is_some() && (input.tooth.is_some() || input.teeth.is_some()) {
            refuse("/region", "region_or_teeth", "must not stand beside teeth");
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let teeth = read_teeth(input)?;
        let area = match (teeth.as_slice(), input.region) {
            ([], Some(region)) => region.area(),
            ([], None) => Area::Mouth,
            ([_], _) if !input.surfaces.is_empty() => Area::Surface,
            ([_], _) => Area::Tooth,
            _ => Area::ToothRange,
        };
        let surfaces = match (teeth.as_slice(), input.surfaces) {
            (_, []) => SurfaceSet::default(),
            ([tooth], texts) => read_surfaces(texts, *tooth)?,
            _ => {
                let detail = "must stand beside one tooth";
                return Err(vec![FieldError::new("/surfaces", "needs_one_tooth", detail)]);
            }
        };
        Ok(Self { area, region: input.region, teeth, surfaces })
    }

    /// Refuses a place that is wider than what is usual for a procedure: a filling needs a tooth.
    ///
    /// # Errors
    /// What is missing.
    pub fn require(&self, usual: Area) -> Result<(), FieldError> {
        match usual {
            Area::Tooth | Area::Surface if self.teeth.len() != 1 => {
                Err(FieldError::new("/tooth", "required", "is needed for this procedure"))
            }
            Area::ToothRange if self.teeth.is_empty() => {
                Err(FieldError::new("/teeth", "required", "is needed for this procedure"))
            }
            Area::Arch | Area::Quadrant | Area::Sextant if self.area == Area::Mouth => {
                Err(FieldError::new("/region", "required", "is needed for this procedure"))
            }
            _ => Ok(()),
        }
    }

    /// Writes the place for people, such as `36 MOD`; nothing for the whole mouth.
    pub fn words(&self) -> String {
        let teeth = self.teeth.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (self.region, self.surfaces.is_empty()) {
            (Some(region), _) => region.to_value(),
            (None, true) => teeth,
            (None, false) => format!("{teeth} {}", self.surfaces.joined()),
        }
    }
}

fn read_teeth(input: PlaceInput<'_>) -> Result<Vec<Tooth>, Vec<FieldError>> {
    let (mut teeth, mut wrong) = (Vec::new(), Vec::new());
    let mut take = |text: &str, pointer: &str| match reference::tooth(text, input.notation, pointer) {
        Ok(tooth) => teeth.push(tooth),
        Err(error) => wrong.push(error),
    };
    if let Some(text) = input.tooth {
        take(text, "/tooth");
    }
    for (index, text) in input.teeth.unwrap_or_default().iter().enumerate() {
        take(text, &format!("/teeth/{index}"));
    }
    teeth.sort_unstable();
    teeth.dedup();
    if wrong.is_empty() { Ok(teeth) } else { Err(wrong) }
}

/// Reads surfaces of a tooth, with the errors where they stand.
pub(crate) fn read_surfaces(texts: &[String], tooth: Tooth) -> Result<SurfaceSet, Vec<FieldError>> {
    SurfaceSet::read(texts, tooth).map_err(|wrong| {
        wrong
            .into_iter()
            .map(|(index, error)| {
                FieldError::new(format!("/surfaces/{index}"), error.code(), error.to_string())
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use sea_orm::Iterable;

    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_place_is_read_from_what_is_said() {
        let check = |tooth, teeth: Option<&[&str]>, surfaces: &[&str], region, expected: (Area, &str)| {
            let (teeth, surfaces) = (teeth.map(texts), texts(surfaces));
            let input =
                PlaceInput { tooth, teeth: teeth.as_deref(), surfaces: &surfaces, region, notation: None };
            let place = Place::read(input).unwrap();
            assert_eq!((place.area, place.words().as_str()), expected);
        };
        check(None, None, &[], None, (Area::Mouth, ""));
        check(Some("36"), None, &[], None, (Area::Tooth, "36"));
        check(Some("36"), None, &["O", "M"], None, (Area::Surface, "36 MO"));
        check(None, Some(&["14", "12", "13", "13"]), &[], None, (Area::ToothRange, "12, 13, 14"));
        check(None, Some(&["14"]), &["O"], None, (Area::Surface, "14 O"));
        check(None, None, &[], Some(Region::UpperArch), (Area::Arch, "01"));
        check(None, None, &[], Some(Region::LowerLeft), (Area::Quadrant, "30"));
        check(None, None, &[], Some(Region::LowerAnteriorSextant), (Area::Sextant, "07"));
    }

    #[test]
    fn a_place_that_contradicts_itself_is_refused() {
        let check = |tooth, teeth: Option<&[&str]>, surfaces: &[&str], region, expected: &[&str]| {
            let (teeth, surfaces) = (teeth.map(texts), texts(surfaces));
            let input =
                PlaceInput { tooth, teeth: teeth.as_deref(), surfaces: &surfaces, region, notation: None };
            let wrong = Place::read(input).unwrap_err();
            assert_eq!(wrong.iter().map(|one| one.pointer.as_str()).collect::<Vec<_>>(), expected);
        };
        check(Some("36"), Some(&["36"]), &[], None, &["/teeth"]);
        check(Some("36"), None, &[], Some(Region::UpperArch), &["/region"]);
        check(None, None, &["O"], None, &["/surfaces"]);
        check(None, Some(&["14", "15"]), &["O"], None, &["/surfaces"]);
        check(Some("36"), None, &["O", "X"], None, &["/surfaces/1"]);
        check(None, Some(&["14", "19"]), &[], None, &["/teeth/1"]);
    }

    #[test]
    fn every_tooth_is_in_one_arch_one_quadrant_and_one_sextant() {
        for tooth in Tooth::ALL {
            for area in [Area::Arch, Area::Quadrant, Area::Sextant] {
                let holding = Region::iter().filter(|region| region.area() == area && region.holds(tooth));
                assert_eq!(holding.count(), 1, "{tooth} {area:?}");
            }
        }
    }
}
