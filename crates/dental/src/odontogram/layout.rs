//! Where everything stands on the sheet. Lengths are in units of the drawing, 800 to its width.

use crate::{
    notation::Notation,
    tooth::{Arch, Dentition, Side, Tooth},
};

/// The width of the sheet.
pub(super) const WIDTH: f64 = 800.0;
/// The width of a tooth's column.
const COLUMN: f64 = 46.0;
/// The room for a root.
pub(super) const ROOT: f64 = 24.0;
/// The height of a label.
const LABEL: f64 = 18.0;
/// The space between rows.
const GAP: f64 = 10.0;
/// Where the first row begins.
const TOP: f64 = 44.0;
/// The space at the midline.
const MIDLINE: f64 = 16.0;

/// One row of teeth: an arch of a dentition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    arch: Arch,
    dentition: Dentition,
    top: f64,
}

/// Where one tooth stands: the middle of its crown, and how large that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// From the left.
    pub(super) x: f64,
    /// From the top.
    pub(super) y: f64,
    /// Half the side of the crown.
    pub(super) half: f64,
    /// Where the label's line of writing is.
    pub(super) label_y: f64,
    /// −1 when the root is above the crown, 1 when it is below.
    pub(super) down: f64,
    /// −1 when the midline is to the left of the tooth, 1 when it is to its right.
    pub(super) mesial: f64,
}

impl Row {
    const fn half(dentition: Dentition) -> f64 {
        match dentition {
            Dentition::Permanent => 18.0,
            Dentition::Deciduous => 15.0,
        }
    }

    fn height(self) -> f64 {
        LABEL + ROOT + 2.0 * Self::half(self.dentition)
    }

    /// Returns the name of the row for people.
    pub(super) fn name(self) -> &'static str {
        match (self.arch, self.dentition) {
            (Arch::Upper, Dentition::Permanent) => "Upper permanent teeth",
            (Arch::Upper, Dentition::Deciduous) => "Upper deciduous teeth",
            (Arch::Lower, Dentition::Permanent) => "Lower permanent teeth",
            (Arch::Lower, Dentition::Deciduous) => "Lower deciduous teeth",
        }
    }

    /// Tells whether a tooth stands in the row.
    pub(super) fn holds(self, tooth: Tooth) -> bool {
        tooth.arch() == self.arch && tooth.dentition() == self.dentition
    }

    /// Returns where a tooth of the row stands; a deciduous tooth stands at the place of the one that follows it.
    pub(super) fn spot(self, tooth: Tooth) -> Spot {
        let mesial = if tooth.side() == Side::Right { 1.0 } else { -1.0 };
        let from_midline = MIDLINE / 2.0 + COLUMN * (f64::from(tooth.place()) - 0.5);
        let half = Self::half(self.dentition);
        let (y, label_y, down) = match self.arch {
            Arch::Upper => (self.top + LABEL + ROOT + half, self.top + 13.0, -1.0),
            Arch::Lower => (self.top + half, self.top + 2.0 * half + ROOT + 14.0, 1.0),
        };
        Spot { x: WIDTH / 2.0 - mesial * from_midline, y, half, label_y, down, mesial }
    }
}

/// The sheet with its rows.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    rows: Vec<Row>,
    middle: f64,
    bottom: f64,
}

impl Sheet {
    /// Lays out the rows from the upper permanent teeth down.
    pub(super) fn new(with_deciduous: bool) -> Self {
        let (mut rows, mut top) = (Vec::new(), TOP);
        let mut add = |arch, dentition| {
            let row = Row { arch, dentition, top };
            top += row.height() + GAP;
            rows.push(row);
            top
        };
        add(Arch::Upper, Dentition::Permanent);
        if with_deciduous {
            add(Arch::Upper, Dentition::Deciduous);
        }
        let middle = rows.iter().map(|row| row.top + row.height()).fold(TOP, f64::max) + GAP / 2.0;
        let mut top = middle + GAP / 2.0;
        for dentition in [Dentition::Deciduous, Dentition::Permanent] {
            if dentition == Dentition::Permanent || with_deciduous {
                let row = Row { arch: Arch::Lower, dentition, top };
                top += row.height() + GAP;
                rows.push(row);
            }
        }
        Self { rows, middle, bottom: top }
    }

    /// Lists the rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.rows.iter().copied()
    }

    /// Returns where the legend begins.
    pub(super) fn legend_top(&self) -> f64 {
        self.bottom + 4.0
    }

    /// Draws what stands around the teeth: the heading, the sides, the lines between the quadrants.
    pub(super) fn frame(&self, heading: &str, notation: Notation) -> String {
        let notation = match notation {
            Notation::Fdi => "FDI notation (ISO 3950)",
            Notation::Universal => "Universal notation",
            Notation::Palmer => "Palmer notation",
        };
        let (middle, bottom) = (self.middle, self.bottom - GAP);
        let x = WIDTH / 2.0;
        format!(
            "<g aria-hidden=\"true\">\n\
             <text class=\"heading\" x=\"16\" y=\"24\">{heading}</text>\n\
             <text class=\"small\" x=\"784\" y=\"24\" text-anchor=\"end\">{notation}</text>\n\
             <path class=\"axis\" d=\"M{x} {TOP}V{bottom}M16 {middle}H784\"/>\n\
             <text class=\"side\" x=\"10\" y=\"{}\" text-anchor=\"middle\">R</text>\n\
             <text class=\"side\" x=\"790\" y=\"{}\" text-anchor=\"middle\">L</text>\n</g>\n",
            middle - 6.0,
            middle - 6.0,
        )
    }
}
