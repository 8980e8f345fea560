//! Teeth by their two-digit codes (ISO 3950, the notation of the FDI). Pure: no clock, no database.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use sea_orm::{
    ColIdx, DbErr, QueryResult, TryFromU64, TryGetError, TryGetable, Value,
    sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr},
};
use serde::{Deserialize, Serialize};

/// One of the 52 teeth: 32 permanent, 20 deciduous.
///
/// The first digit is the quadrant, 1 to 4 of permanent and 5 to 8 of deciduous teeth, clockwise as one looks at the
/// patient from the upper right; the second counts from the midline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^([1-4][1-8]|[5-8][1-5])$"))]
pub struct Tooth(u8);

/// The text is no code of ISO 3950.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a tooth of ISO 3950: 11 to 18, 21 to 28, 31 to 38, 41 to 48, 51 to 55, 61 to 65, 71 to 75, 81 to 85"
)]
pub struct ToothError;

/// The upper or the lower teeth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// The teeth of the maxilla.
    Upper,
    /// The teeth of the mandible.
    Lower,
}

/// The right or the left of the patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The patient's right, on the left of a drawing.
    Right,
    /// The patient's left, on the right of a drawing.
    Left,
}

/// The first or the second set of teeth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dentition {
    /// The teeth that stay.
    Permanent,
    /// The teeth of children.
    Deciduous,
}

/// What a tooth is by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// One that cuts.
    Incisor,
    /// A corner tooth.
    Canine,
    /// A small grinder; there are no deciduous ones.
    Premolar,
    /// A grinder.
    Molar,
}

impl Tooth {
    /// Every tooth, in the order of the codes.
    pub const ALL: [Self; 52] = all();

    /// Makes a tooth of its quadrant and its place in it.
    ///
    /// # Errors
    /// [`ToothError`] when there is no such tooth.
    pub const fn at(quadrant: u8, place: u8) -> Result<Self, ToothError> {
        let last = match quadrant {
            1..=4 => 8,
            5..=8 => 5,
            _ => return Err(ToothError),
        };
        if place >= 1 && place <= last { Ok(Self(quadrant * 10 + place)) } else { Err(ToothError) }
    }

    /// Returns the code as a number, such as 36.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Returns the quadrant, 1 to 8.
    pub const fn quadrant(self) -> u8 {
        self.0 / 10
    }

    /// Returns the place in the quadrant, counted from the midline.
    pub const fn place(self) -> u8 {
        self.0 % 10
    }

    /// Returns the set of teeth to which it belongs.
    pub const fn dentition(self) -> Dentition {
        if self.quadrant() <= 4 { Dentition::Permanent } else { Dentition::Deciduous }
    }

    /// Tells where it is, up or down.
    pub const fn arch(self) -> Arch {
        match self.quadrant() {
            1 | 2 | 5 | 6 => Arch::Upper,
            _ => Arch::Lower,
        }
    }

    /// Tells on which side of the patient it is.
    pub const fn side(self) -> Side {
        match self.quadrant() {
            1 | 4 | 5 | 8 => Side::Right,
            _ => Side::Left,
        }
    }

    /// Returns its form.
    pub const fn form(self) -> Form {
        match (self.dentition(), self.place()) {
            (_, 1 | 2) => Form::Incisor,
            (_, 3) => Form::Canine,
            (Dentition::Permanent, 4 | 5) => Form::Premolar,
            _ => Form::Molar,
        }
    }

    /// Tells whether it is a premolar or a molar, which have an occlusal surface.
    pub const fn is_posterior(self) -> bool {
        matches!(self.form(), Form::Premolar | Form::Molar)
    }

    /// Returns its name for people, such as `lower left first molar`.
    pub fn name(self) -> String {
        let arch = if self.arch() == Arch::Upper { "upper" } else { "lower" };
        let side = if self.side() == Side::Right { "right" } else { "left" };
        let ordinal = |number| match number {
            1 => "first",
            2 => "second",
            _ => "third",
        };
        let what = match (self.form(), self.place()) {
            (Form::Incisor, 1) => "central incisor".to_owned(),
            (Form::Incisor, _) => "lateral incisor".to_owned(),
            (Form::Canine, _) => "canine".to_owned(),
            (Form::Premolar, place) => format!("{} premolar", ordinal(place - 3)),
            (Form::Molar, place) if self.dentition() == Dentition::Permanent => {
                format!("{} molar", ordinal(place - 5))
            }
            (Form::Molar, place) => format!("{} molar", ordinal(place - 3)),
        };
        match self.dentition() {
            Dentition::Permanent => format!("{arch} {side} {what}"),
            Dentition::Deciduous => format!("deciduous {arch} {side} {what}"),
        }
    }

    /// Returns the tooth of the other set at the same place: the one that follows a deciduous tooth, or the one that
    /// stood before a permanent one. Permanent molars have none.
    pub fn counterpart(self) -> Option<Self> {
        let quadrant = if self.quadrant() <= 4 { self.quadrant() + 4 } else { self.quadrant() - 4 };
        Self::at(quadrant, self.place()).ok()
    }
}

const fn all() -> [Tooth; 52] {
    let mut teeth = [Tooth(11); 52];
    let (mut index, mut code) = (0, 11);
    while code <= 85 {
        if let Ok(tooth) = Tooth::at(code / 10, code % 10) {
            #[expect(
                clippy::indexing_slicing,
                reason = "evaluated by the compiler, which refuses a wrong index"
            )]
            {
                teeth[index] = tooth;
            }
            index += 1;
        }
        code += 1;
    }
    teeth
}

impl fmt::Display for Tooth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Tooth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tooth({})", self.0)
    }
}

impl FromStr for Tooth {
    type Err = ToothError;

    /// Reads exactly two digits.
    fn from_str(text: &str) -> Result<Self, ToothError> {
        match text.as_bytes() {
            [quadrant @ b'1'..=b'8', place @ b'1'..=b'8'] => Self::at(quadrant - b'0', place - b'0'),
            _ => Err(ToothError),
        }
    }
}

impl TryFrom<String> for Tooth {
    type Error = ToothError;
    fn try_from(text: String) -> Result<Self, ToothError> {
        text.parse()
    }
}

impl From<Tooth> for String {
    fn from(tooth: Tooth) -> Self {
        tooth.to_string()
    }
}

impl From<Tooth> for Value {
    fn from(tooth: Tooth) -> Self {
        tooth.to_string().into()
    }
}

impl TryGetable for Tooth {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        let text = String::try_get_by(row, index)?;
        text.parse().map_err(|error: ToothError| TryGetError::DbErr(DbErr::Type(error.to_string())))
    }
}

impl ValueType for Tooth {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <String as ValueType>::try_from(value)?.parse().map_err(|_| ValueTypeErr)
    }
    fn type_name() -> String {
        "Tooth".to_owned()
    }
    fn array_type() -> ArrayType {
        ArrayType::String
    }
    fn column_type() -> ColumnType {
        ColumnType::Text
    }
}

impl Nullable for Tooth {
    fn null() -> Value {
        <String as Nullable>::null()
    }
}

impl TryFromU64 for Tooth {
    fn try_from_u64(_: u64) -> Result<Self, DbErr> {
        Err(DbErr::ConvertFromU64("Tooth"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_52_teeth_and_no_other() {
        assert_eq!(Tooth::ALL.iter().filter(|tooth| tooth.dentition() == Dentition::Permanent).count(), 32);
        let mut found = Vec::new();
        for number in -20..=120 {
            if let Ok(tooth) = number.to_string().parse::<Tooth>() {
                assert_eq!(i32::from(tooth.code()), number);
                found.push(tooth);
            }
        }
        assert_eq!(found, Tooth::ALL);
        for bad in ["", "1", "011", " 11", "11 ", "+11", "1１", "١١", "19", "56", "90", "UR6", "A"] {
            assert_eq!(bad.parse::<Tooth>(), Err(ToothError), "{bad:?}");
        }
    }

    #[test]
    fn forms_follow_the_place_and_the_set() {
        let check = |code: &str, form: Form, name: &str| {
            let tooth: Tooth = code.parse().unwrap();
            assert_eq!((tooth.form(), tooth.name().as_str()), (form, name));
        };
        check("11", Form::Incisor, "upper right central incisor");
        check("23", Form::Canine, "upper left canine");
        check("35", Form::Premolar, "lower left second premolar");
        check("48", Form::Molar, "lower right third molar");
        check("55", Form::Molar, "deciduous upper right second molar");
        check("64", Form::Molar, "deciduous upper left first molar");
        check("73", Form::Canine, "deciduous lower left canine");
    }

    #[test]
    fn deciduous_teeth_are_followed_by_permanent_ones() {
        for tooth in Tooth::ALL {
            match tooth.counterpart() {
                Some(other) => assert_eq!(other.counterpart(), Some(tooth)),
                None => assert!(tooth.dentition() == Dentition::Permanent && tooth.place() > 5, "{tooth}"),
            }
        }
    }
}
