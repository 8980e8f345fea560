//! Says what the signs, the colours and the patterns mean.

use super::{
    art,
    layout::{Spot, WIDTH},
    paint::{Ink, Paint},
    said::state_words,
};
use crate::presence::PresenceState;

/// The height of the legend.
pub(super) const HEIGHT: f64 = 126.0;
const COLUMNS: usize = 5;
const LINE: f64 = 25.0;

/// Draws the legend. Its words stand in the names of the teeth too, so readers of the screen pass over it.
pub(super) fn draw(top: f64) -> String {
    let mut svg = format!(
        "<g class=\"legend\" aria-hidden=\"true\"><path class=\"axis\" d=\"M16 {top:.1}H{:.1}\"/>\n",
        WIDTH - 16.0
    );
    let states = [
        None,
        Some(PresenceState::Present),
        Some(PresenceState::Unerupted),
        Some(PresenceState::Erupting),
        Some(PresenceState::Impacted),
        Some(PresenceState::Missing),
        Some(PresenceState::Extracted),
        Some(PresenceState::Exfoliated),
    ];
    let mut entries: Vec<(Sample, String)> = states
        .into_iter()
        .map(|state| (Sample::State(state), state.map_or("nothing known", state_words).to_owned()))
        .collect();
    entries.push((Sample::Implant, "implant".to_owned()));
    entries.push((Sample::Pontic, "pontic".to_owned()));
    let watched = Ink { paint: Paint::Caries, is_watched: true };
    let inks = [
        (Ink::of(Paint::Caries), "caries"),
        (Ink::of(Paint::Defect), "defect, other"),
        (Ink::of(Paint::Pulp), "pulp, root tip"),
        (Ink::of(Paint::Defective), "work to replace"),
        (watched, "watched"),
        (Ink::of(Paint::Existing), "work found"),
        (Ink::of(Paint::Done), "work done here"),
        (Ink::of(Paint::Planned), "work planned"),
    ];
    entries.extend(inks.into_iter().map(|(ink, words)| (Sample::Ink(ink), words.to_owned())));
    entries.push((Sample::Ring, "crown, bridge".to_owned()));
    entries.push((Sample::Badges, "whole tooth".to_owned()));
    for (index, (sample, words)) in entries.iter().enumerate() {
        let count = |number: usize| f64::from(u16::try_from(number).unwrap_or_default());
        let (column, line) = (count(index % COLUMNS), count(index / COLUMNS));
        let (x, y) = (16.0 + column * 155.0, top + 22.0 + line * LINE);
        svg.push_str(&sample.draw(x + 10.0, y));
        svg.push_str(&format!(
            "<text class=\"legend\" x=\"{:.1}\" y=\"{:.1}\">{words}</text>\n",
            x + 30.0,
            y + 4.0
        ));
    }
    svg.push_str("</g>\n");
    svg
}

/// What stands before the words.
enum Sample {
    State(Option<PresenceState>),
    Implant,
    Pontic,
    Ink(Ink),
    Ring,
    Badges,
}

impl Sample {
    fn draw(&self, x: f64, y: f64) -> String {
        let spot = Spot { x, y, half: 9.0, label_y: y, down: -1.0, mesial: 1.0 };
        let square = |class: &str, half: f64| {
            format!(
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\"/>",
                x - half,
                y - half,
                2.0 * half,
                2.0 * half
            )
        };
        match self {
            Self::State(state) => art::example(*state, spot),
            Self::Implant => format!(
                "<path class=\"mark\" d=\"M{a:.1} {t:.1}H{b:.1}M{c:.1} {u:.1}H{d:.1}M{e:.1} {v:.1}H{f:.1}M{x:.1} \
                 {t:.1}V{w:.1}\"/>",
                a = x - 8.0,
                b = x + 8.0,
                c = x - 6.0,
                d = x + 6.0,
                e = x - 4.0,
                f = x + 4.0,
                t = y - 7.0,
                u = y - 2.0,
                v = y + 3.0,
                w = y + 8.0
            ),
            Self::Pontic => format!(
                "<path class=\"mark\" d=\"M{a:.1} {y:.1}H{b:.1}M{a:.1} {c:.1}V{d:.1}M{b:.1} {c:.1}V{d:.1}\"/>",
                a = x - 9.0,
                b = x + 9.0,
                c = y - 5.0,
                d = y + 5.0
            ),
            Self::Ink(ink) if ink.paint == Paint::Planned => square("line-planned", 8.0),
            Self::Ink(ink) => {
                format!("{}{}", square(&format!("fill-{}", ink.name()), 9.0), square("surface", 9.0))
            }
            Self::Ring => format!("{}{}", square("outline", 6.0), square("ring line-done", 8.5)),
            Self::Badges => format!(
                "<path class=\"badge fill-defect edge-defect\" d=\"M{a:.1} {t:.1}L{b:.1} {u:.1}L{c:.1} {u:.1}Z\"/>\
                 <rect class=\"badge fill-done edge-done\" x=\"{d:.1}\" y=\"{v:.1}\" width=\"8\" height=\"8\"/>",
                a = x - 5.0,
                b = x,
                c = x - 10.0,
                d = x + 2.0,
                t = y - 5.0,
                u = y + 4.0,
                v = y - 4.0
            ),
        }
    }
}
