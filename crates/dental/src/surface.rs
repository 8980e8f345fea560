//! Surfaces of teeth and sets of them. Pure: no clock, no database.
//!
//! Every tooth has a mesial, a distal and a lingual surface; premolars and molars have an occlusal and a buccal one,
//! incisors and canines an incisal edge and a vestibular (labial) surface. `P`, palatal, is another word for the
//! lingual surface of an upper tooth.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tooth::{Arch, Tooth};

/// One surface of a tooth, as it is stored. The order is that in which surfaces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Surface {
    /// Mesial: towards the midline.
    M,
    /// Occlusal: the grinding surface of a premolar or molar.
    O,
    /// Incisal: the edge of an incisor or canine.
    I,
    /// Distal: away from the midline.
    D,
    /// Buccal: towards the cheek, of a premolar or molar.
    B,
    /// Vestibular: towards the lip, of an incisor or canine.
    V,
    /// Lingual: towards the tongue; palatal on an upper tooth.
    L,
}

/// Why surfaces are none of a tooth's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SurfaceError {
    /// No surface is written like this.
    #[error("must be one of M, O, I, D, B, V, L, P")]
    Unknown,
    /// The tooth has no such surface.
    #[error("is no surface of this tooth")]
    NotOfTooth,
}

impl SurfaceError {
    /// Returns the stable code of this reason.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_surface",
            Self::NotOfTooth => "not_of_tooth",
        }
    }
}

impl Surface {
    /// Every surface, in the order in which they are written.
    pub const ALL: [Self; 7] = [Self::M, Self::O, Self::I, Self::D, Self::B, Self::V, Self::L];

    /// Reads a surface of a tooth; a small letter will do.
    ///
    /// # Errors
    /// [`SurfaceError::Unknown`] for what is no surface, [`SurfaceError::NotOfTooth`] for one that the tooth has not.
    pub fn read(text: &str, tooth: Tooth) -> Result<Self, SurfaceError> {
        let surface = match text.to_ascii_uppercase().as_str() {
            "M" => Self::M,
            "O" => Self::O,
            "I" => Self::I,
            "D" => Self::D,
            "B" => Self::B,
            "V" => Self::V,
            "L" => Self::L,
            "P" if tooth.arch() == Arch::Upper => Self::L,
            "P" => return Err(SurfaceError::NotOfTooth),
            _ => return Err(SurfaceError::Unknown),
        };
        if surface.is_of(tooth) { Ok(surface) } else { Err(SurfaceError::NotOfTooth) }
    }

    /// Tells whether a tooth has this surface.
    pub const fn is_of(self, tooth: Tooth) -> bool {
        match self {
            Self::M | Self::D | Self::L => true,
            Self::O | Self::B => tooth.is_posterior(),
            Self::I | Self::V => !tooth.is_posterior(),
        }
    }

    /// Returns the letter for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M => "M",
            Self::O => "O",
            Self::I => "I",
            Self::D => "D",
            Self::B => "B",
            Self::V => "V",
            Self::L => "L",
        }
    }

    /// Reads the letter of a stored surface.
    pub fn stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|surface| surface.as_str() == text)
    }

    /// Returns its name for people, as it is said of this tooth.
    pub const fn name(self, tooth: Tooth) -> &'static str {
        match self {
            Self::M => "mesial",
            Self::O => "occlusal",
            Self::I => "incisal",
            Self::D => "distal",
            Self::B => "buccal",
            Self::V => "vestibular",
            Self::L => match tooth.arch() {
                Arch::Upper => "palatal",
                Arch::Lower => "lingual",
            },
        }
    }

    /// Returns the five surfaces of a tooth, in the order in which they are written.
    pub const fn of(tooth: Tooth) -> [Self; 5] {
        if tooth.is_posterior() {
            [Self::M, Self::O, Self::D, Self::B, Self::L]
        } else {
            [Self::M, Self::I, Self::D, Self::V, Self::L]
        }
    }
}

/// Surfaces of one tooth: in their order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct SurfaceSet(Vec<Surface>);

impl SurfaceSet {
    /// Reads surfaces of a tooth: sorts them, folds duplicates, and stores palatal as lingual.
    ///
    /// # Errors
    /// Each text that is no surface of the tooth, with its place in the list.
    pub fn read<T: AsRef<str>>(texts: &[T], tooth: Tooth) -> Result<Self, Vec<(usize, SurfaceError)>> {
        let (mut surfaces, mut wrong) = (Vec::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            match Surface::read(text.as_ref(), tooth) {
                Ok(surface) => surfaces.push(surface),
                Err(error) => wrong.push((index, error)),
            }
        }
        if wrong.is_empty() { Ok(surfaces.into_iter().collect()) } else { Err(wrong) }
    }

    /// Reads stored letters; what is none is left out.
    pub fn stored(texts: &[String]) -> Self {
        texts.iter().filter_map(|text| Surface::stored(text)).collect()
    }

    /// Lists them in their order.
    pub fn iter(&self) -> impl Iterator<Item = Surface> + '_ {
        self.0.iter().copied()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether a surface is among them.
    pub fn contains(&self, surface: Surface) -> bool {
        self.0.contains(&surface)
    }

    /// Returns the letters, for the database.
    pub fn letters(&self) -> Vec<String> {
        self.iter().map(|surface| surface.as_str().to_owned()).collect()
    }

    /// Writes them in a row, such as `MOD`.
    pub fn joined(&self) -> String {
        self.iter().map(Surface::as_str).collect()
    }
}

impl FromIterator<Surface> for SurfaceSet {
    fn from_iter<I: IntoIterator<Item = Surface>>(surfaces: I) -> Self {
        let mut list: Vec<Surface> = surfaces.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        Self(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surfaces_are_normalised_or_refused() {
        let check = |tooth: &str, texts: &[&str], expected: Result<&str, &[(usize, SurfaceError)]>| {
            let found = SurfaceSet::read(texts, tooth.parse().unwrap()).map(|set| set.joined());
            assert_eq!(found.as_deref().map_err(Vec::as_slice), expected, "{tooth} {texts:?}");
        };
        check("36", &["L", "D", "B", "O", "M"], Ok("MODBL"));
        check("36", &["o", "O", "m", "M"], Ok("MO"));
        check("36", &["P"], Err(&[(0, SurfaceError::NotOfTooth)]));
        check("36", &["I"], Err(&[(0, SurfaceError::NotOfTooth)]));
        check("36", &["M", "V"], Err(&[(1, SurfaceError::NotOfTooth)]));
        check("16", &["P", "L"], Ok("L"));
        check("16", &["P", "O"], Ok("OL"));
        check("11", &["L", "V", "D", "I", "M"], Ok("MIDVL"));
        check("11", &["P"], Ok("L"));
        check("11", &["O", "B"], Err(&[(0, SurfaceError::NotOfTooth), (1, SurfaceError::NotOfTooth)]));
        check("14", &["O", "B"], Ok("OB"));
        check("54", &["O", "B", "P"], Ok("OBL"));
        check("53", &["I", "V"], Ok("IV"));
        check("53", &["O"], Err(&[(0, SurfaceError::NotOfTooth)]));
        check(
            "36",
            &["X", "", "MO"],
            Err(&[(0, SurfaceError::Unknown), (1, SurfaceError::Unknown), (2, SurfaceError::Unknown)]),
        );
        check("36", &[], Ok(""));
    }

    #[test]
    fn every_tooth_has_five_surfaces() {
        for tooth in Tooth::ALL {
            let of: Vec<_> = Surface::ALL.into_iter().filter(|surface| surface.is_of(tooth)).collect();
            assert_eq!(of, Surface::of(tooth), "{tooth}");
        }
    }
}
