//! The three notations in which teeth are written. Pure: no clock, no database.
//!
//! - FDI (ISO 3950): two digits, the quadrant and the place from the midline.
//! - Universal (American Dental Association): 1 to 32 from the upper right third molar over the upper left one to the
//!   lower right one; deciduous teeth A to T in the same round. 51 to 82 and AS to TS name supernumerary teeth.
//! - Palmer (Zsigmondy): a corner and the place from the midline, in letters `UR6`, `ULA`, or with the corner drawn:
//!   `6┘`, `└6`, `┌6`, `6┐`.

use std::str::FromStr;

use schemars::JsonSchema;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::tooth::{Arch, Dentition, Side, Tooth};

/// A way to write teeth.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
pub enum Notation {
    /// Two digits: ISO 3950.
    #[default]
    #[sea_orm(string_value = "fdi")]
    Fdi,
    /// 1 to 32 and A to T.
    #[sea_orm(string_value = "universal")]
    Universal,
    /// A corner and a place, such as `UR6`.
    #[sea_orm(string_value = "palmer")]
    Palmer,
}

/// Why a text names no tooth in a notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    /// No tooth is written like this in FDI notation.
    #[error("must be a tooth of ISO 3950 such as \"36\" or \"75\"")]
    NotFdi,
    /// No tooth is written like this in Universal notation.
    #[error("must be a tooth of the Universal notation: \"1\" to \"32\" or \"A\" to \"T\"")]
    NotUniversal,
    /// A supernumerary tooth: it stands beside another, and no code of ISO 3950 is its own.
    #[error(
        "is a supernumerary tooth of the Universal notation, which is ambiguous here; name the tooth beside it"
    )]
    Supernumerary,
    /// No tooth is written like this in Palmer notation.
    #[error("must be a tooth of the Palmer notation: UR, UL, LL or LR and \"1\" to \"8\" or \"A\" to \"E\"")]
    NotPalmer,
}

impl NotationError {
    /// Returns the stable code of this reason.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Supernumerary => "ambiguous_tooth",
            Self::NotFdi | Self::NotUniversal | Self::NotPalmer => "unknown_tooth",
        }
    }
}

impl Notation {
    /// Every notation.
    pub const ALL: [Self; 3] = [Self::Fdi, Self::Universal, Self::Palmer];

    /// Returns the word for it in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fdi => "fdi",
            Self::Universal => "universal",
            Self::Palmer => "palmer",
        }
    }

    /// Reads a tooth. Letters may be small.
    ///
    /// # Errors
    /// [`NotationError`].
    pub fn read(self, text: &str) -> Result<Tooth, NotationError> {
        match self {
            Self::Fdi => text.parse().map_err(|_| NotationError::NotFdi),
            Self::Universal => universal(text),
            Self::Palmer => palmer(text).ok_or(NotationError::NotPalmer),
        }
    }

    /// Writes a tooth.
    pub fn write(self, tooth: Tooth) -> String {
        match self {
            Self::Fdi => tooth.to_string(),
            Self::Universal => {
                let number = round(tooth);
                match tooth.dentition() {
                    Dentition::Permanent => number.to_string(),
                    Dentition::Deciduous => char::from(b'A' + number - 1).to_string(),
                }
            }
            Self::Palmer => format!("{}{}", corner(tooth), place(tooth)),
        }
    }
}

/// The place of a tooth in the round of its set: from the upper right backmost to the upper left one, and back below.
fn round(tooth: Tooth) -> u8 {
    let last = last_place(tooth.dentition());
    match (tooth.arch(), tooth.side()) {
        (Arch::Upper, Side::Right) => last + 1 - tooth.place(),
        (Arch::Upper, Side::Left) => last + tooth.place(),
        (Arch::Lower, Side::Left) => 3 * last + 1 - tooth.place(),
        (Arch::Lower, Side::Right) => 3 * last + tooth.place(),
    }
}

const fn last_place(dentition: Dentition) -> u8 {
    match dentition {
        Dentition::Permanent => 8,
        Dentition::Deciduous => 5,
    }
}

fn universal(text: &str) -> Result<Tooth, NotationError> {
    let (dentition, number) = match text.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => {
            (Dentition::Deciduous, letter.to_ascii_uppercase() - b'A' + 1)
        }
        [letter @ (b'A'..=b'T' | b'a'..=b't'), b'S' | b's'] if letter.is_ascii_alphabetic() => {
            return Err(NotationError::Supernumerary);
        }
        [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'] => {
            let number = u8::from_str(text).map_err(|_| NotationError::NotUniversal)?;
            if (51..=82).contains(&number) {
                return Err(NotationError::Supernumerary);
            }
            (Dentition::Permanent, number)
        }
        _ => return Err(NotationError::NotUniversal),
    };
    let found =
        Tooth::ALL.into_iter().find(|tooth| tooth.dentition() == dentition && round(*tooth) == number);
    found.ok_or(NotationError::NotUniversal)
}

fn corner(tooth: Tooth) -> &'static str {
    match (tooth.arch(), tooth.side()) {
        (Arch::Upper, Side::Right) => "UR",
        (Arch::Upper, Side::Left) => "UL",
        (Arch::Lower, Side::Left) => "LL",
        (Arch::Lower, Side::Right) => "LR",
    }
}

fn place(tooth: Tooth) -> char {
    match tooth.dentition() {
        Dentition::Permanent => char::from(b'0' + tooth.place()),
        Dentition::Deciduous => char::from(b'A' + tooth.place() - 1),
    }
}

fn palmer(text: &str) -> Option<Tooth> {
    let drawn = |text: &str| {
        let mut chars = text.chars();
        let (one, other) = (chars.next()?, chars.next()?);
        let (corner, place) = match (one, other) {
            (place, '┘' | '⏌') => ("UR", place),
            ('└' | '⎿', place) => ("UL", place),
            ('┌' | '⎾', place) => ("LL", place),
            (place, '┐' | '⏋') => ("LR", place),
            _ => return None,
        };
        chars.next().is_none().then_some((corner.to_owned(), place))
    };
    let lettered = |text: &str| {
        let corner = text.get(..2)?.to_ascii_uppercase();
        let mut rest = text.get(2..)?.chars();
        let place = rest.next()?;
        rest.next().is_none().then_some((corner, place))
    };
    let (wanted, symbol) = drawn(text).or_else(|| lettered(text))?;
    let symbol = symbol.to_ascii_uppercase();
    Tooth::ALL.into_iter().find(|tooth| corner(*tooth) == wanted && place(*tooth) == symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_teeth_in_each_notation() {
        let check = |fdi: &str, universal: &str, palmer: &str| {
            let tooth: Tooth = fdi.parse().unwrap();
            for (notation, text) in
                [(Notation::Fdi, fdi), (Notation::Universal, universal), (Notation::Palmer, palmer)]
            {
                assert_eq!(notation.write(tooth), text);
                assert_eq!(notation.read(text), Ok(tooth), "{text}");
                assert_eq!(notation.read(&text.to_lowercase()), Ok(tooth), "{text} in small letters");
            }
        };
        check("18", "1", "UR8");
        check("28", "16", "UL8");
        check("38", "17", "LL8");
        check("36", "19", "LL6");
        check("48", "32", "LR8");
        check("55", "A", "URE");
        check("51", "E", "URA");
        check("65", "J", "ULE");
        check("75", "K", "LLE");
        check("85", "T", "LRE");
    }

    #[test]
    fn every_tooth_comes_back_from_every_notation() {
        for notation in Notation::ALL {
            let mut texts: Vec<_> = Tooth::ALL.map(|tooth| notation.write(tooth)).to_vec();
            for (tooth, text) in Tooth::ALL.into_iter().zip(&texts) {
                assert_eq!(notation.read(text), Ok(tooth), "{notation:?} {text}");
            }
            texts.sort_unstable();
            texts.dedup();
            assert_eq!(texts.len(), 52);
        }
    }

    #[test]
    fn every_other_number_is_refused() {
        for number in -20..=120 {
            let text = number.to_string();
            let fdi = Tooth::ALL.iter().any(|tooth| i32::from(tooth.code()) == number);
            assert_eq!(Notation::Fdi.read(&text).is_ok(), fdi, "FDI {text}");
            let universal = Notation::Universal.read(&text);
            match number {
                1..=32 => assert!(universal.is_ok(), "Universal {text}"),
                51..=82 => assert_eq!(universal, Err(NotationError::Supernumerary), "{text}"),
                _ => assert_eq!(universal, Err(NotationError::NotUniversal), "{text}"),
            }
            assert_eq!(Notation::Palmer.read(&text), Err(NotationError::NotPalmer), "Palmer {text}");
        }
        for bad in ["", "0", "01", "U", "Z", "+1", "1.0", "١", "AA", "UR"] {
            assert_eq!(Notation::Universal.read(bad), Err(NotationError::NotUniversal), "{bad:?}");
        }
        assert_eq!(Notation::Universal.read("AS"), Err(NotationError::Supernumerary));
        for bad in ["", "UR", "UR0", "UR9", "URF", "UR11", "XX1", "UR 1", "6", "ÜR1", "6┘1"] {
            assert_eq!(Notation::Palmer.read(bad), Err(NotationError::NotPalmer), "{bad:?}");
        }
    }

    #[test]
    fn corners_may_be_drawn() {
        for (text, code) in [("6┘", "16"), ("└6", "26"), ("┌e", "75"), ("A┐", "81")] {
            assert_eq!(Notation::Palmer.read(text), Ok(code.parse().unwrap()), "{text}");
        }
    }
}
