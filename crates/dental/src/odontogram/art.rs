//! Draws one tooth: its label, its root, its five surfaces, and what is known of each.

use super::{
    layout::{ROOT, Spot},
    marks::{self, Mark, Part, Shape},
    paint::{Ink, Paint},
    said,
};
use crate::{
    chart::ChartTooth,
    presence::PresenceState,
    surface::Surface,
    tooth::{Arch, Tooth},
};

/// Of how many inks a surface or a root has strips; of more the gravest are to be seen.
const MOST_INKS: usize = 3;

/// Draws a tooth at its spot, as an image with a name of its own.
pub(super) fn tooth(tooth: &ChartTooth, spot: Spot) -> String {
    let name = said::escaped(&said::tooth(tooth));
    let state = match tooth.presence {
        None => "unknown",
        Some(state) if state.is_gone() => "gone",
        Some(PresenceState::Unerupted | PresenceState::Impacted) => "hidden",
        Some(_) => "there",
    };
    let label = said::escaped(&tooth.tooth);
    let mut svg = format!(
        "<g id=\"tooth-{}\" class=\"tooth {state}\" role=\"img\" aria-label=\"{name}\"><title>{name}</title>\
         <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
        tooth.fdi, spot.x, spot.label_y,
    );
    svg.push_str(&root(tooth, spot));
    let (solid, planned) = marks::of(tooth);
    for mark in &solid {
        svg.push_str(&paint(tooth.fdi, spot, mark));
    }
    for surface in Surface::of(tooth.fdi) {
        svg.push_str(&format!(
            "<path class=\"surface\" d=\"{}\"/>",
            shape(tooth.fdi, spot, surface, (0.0, Slice::WHOLE))
        ));
    }
    let (x, y, side) = (spot.x - spot.half, spot.y - spot.half, 2.0 * spot.half);
    svg.push_str(&format!(
        "<rect class=\"outline\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" rx=\"{}\"/>",
        if tooth.fdi.quadrant() > 4 { 7 } else { 3 },
    ));
    // What is planned is drawn over the rest.
    for part in &planned {
        svg.push_str(&plan(tooth.fdi, spot, *part));
    }
    svg.push_str(&badges(spot, &solid, &planned));
    svg.push_str(&sign(tooth.presence, spot));
    svg.push_str("</g>\n");
    svg
}

/// Paints a part with all its inks: a surface and a root are shared out, elsewhere the gravest is to be seen.
fn paint(tooth: Tooth, spot: Spot, Mark { part, inks }: &Mark) -> String {
    let parts = inks.len().min(MOST_INKS);
    let each = |draw: &dyn Fn(Slice) -> String| -> String {
        let slices = inks.iter().take(parts).enumerate().map(|(at, ink)| {
            format!("<path class=\"fill-{}\" d=\"{}\"/>", ink.name(), draw(Slice { at, parts }))
        });
        slices.collect()
    };
    let Some(gravest) = inks.first() else { return String::new() };
    match part {
        Part::Surface(surface) => each(&|slice| shape(tooth, spot, *surface, (0.0, slice))),
        Part::Root => each(&|slice| root_shape(tooth, spot, slice)),
        Part::Ring => ring(spot, &format!("line-{}{}", gravest.paint.name(), gravest.dots())),
        Part::Tip => tip(spot, *gravest),
        Part::Badge(_) | Part::Cross => String::new(),
    }
}

/// Draws what is planned for a part as a dashed line.
fn plan(tooth: Tooth, spot: Spot, part: Part) -> String {
    let class = format!("line-{}", Paint::Planned.name());
    let line = |path: String| format!("<path class=\"{class}\" d=\"{path}\"/>");
    match part {
        Part::Surface(surface) => line(shape(tooth, spot, surface, (1.6, Slice::WHOLE))),
        Part::Root => line(root_shape(tooth, spot, Slice::WHOLE)),
        Part::Ring => ring(spot, &class),
        Part::Cross => line(cross(spot, spot.half - 3.0)),
        Part::Tip | Part::Badge(_) => String::new(),
    }
}

fn ring(spot: Spot, class: &str) -> String {
    let half = spot.half + 2.2;
    format!(
        "<rect class=\"ring {class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>",
        spot.x - half,
        spot.y - half,
        2.0 * half,
        2.0 * half,
    )
}

fn tip(spot: Spot, ink: Ink) -> String {
    let y = spot.y + spot.down * (spot.half + ROOT - 6.0);
    format!(
        "<circle class=\"fill-{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>\
         <circle class=\"line-{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" stroke-width=\"1.4\"/>",
        ink.name(),
        ink.paint.name(),
        x = spot.x,
    )
}

/// Draws the marks beside the crown, each in a place of its own.
fn badges(spot: Spot, solid: &[Mark], planned: &[Part]) -> String {
    let (mut marks, mut last) = (Vec::new(), None);
    for Mark { part, inks } in solid {
        if let Part::Badge(shape) = part {
            marks.extend(inks.iter().map(|ink| (*ink, *shape)));
        }
    }
    marks.sort_by_key(|(ink, _)| *ink);
    for part in planned {
        if let Part::Badge(shape) = part {
            last = Some((Ink::of(Paint::Planned), *shape));
        }
    }
    marks.truncate(BADGES.len() - usize::from(last.is_some()));
    let places = BADGES.into_iter().zip(marks.into_iter().chain(last));
    places.map(|((side, height), (ink, shape))| badge(spot, (side, height), ink, shape)).collect()
}

/// The places beside the root for the marks: on which side of it, distal first, and how far from the crown.
const BADGES: [(f64, f64); 4] = [(-1.0, 8.5), (1.0, 8.5), (-1.0, 19.0), (1.0, 19.0)];

/// A mark beside the root: a triangle for findings, a square for work.
fn badge(spot: Spot, (side, height): (f64, f64), ink: Ink, shape: Shape) -> String {
    let (x, y) = (spot.x + side * spot.mesial * (spot.half - 4.0), spot.y + spot.down * (spot.half + height));
    let class = match ink.paint {
        Paint::Planned => format!("line-{}", ink.name()),
        paint => format!("badge fill-{} edge-{}", ink.name(), paint.name()),
    };
    match shape {
        Shape::Square => format!(
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
            x - 4.0,
            y - 4.0
        ),
        Shape::Triangle => format!(
            "<path class=\"{class}\" d=\"M{x:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\"/>",
            y - 5.0,
            x + 5.0,
            y + 4.0,
            x - 5.0,
            y + 4.0
        ),
    }
}

/// A share of a part: the whole of it, or one of some strips beside each other.
#[derive(Clone, Copy, Debug)]
struct Slice {
    at: usize,
    parts: usize,
}

impl Slice {
    const WHOLE: Self = Self { at: 0, parts: 1 };

    /// Where it begins and ends on the way from one corner to the next.
    fn between(self, from: (f64, f64), to: (f64, f64)) -> [(f64, f64); 2] {
        let count = |number: usize| f64::from(u16::try_from(number).unwrap_or_default());
        [self.at, self.at + 1].map(|step| {
            let share = count(step) / count(self.parts.max(1));
            (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
        })
    }
}

/// The outline of a surface, moved inwards by `inset`. Buccal and vestibular surfaces face outwards: up above, down
/// below; mesial ones face the midline.
fn shape(tooth: Tooth, spot: Spot, surface: Surface, (inset, slice): (f64, Slice)) -> String {
    let (outer, inner) = (spot.half - inset, spot.half * 0.42);
    // An incisal edge is flat, an occlusal surface is square.
    let (wide, high) = if tooth.is_posterior() { (inner, inner) } else { (inner * 1.15, inner * 0.45) };
    let outwards = if tooth.arch() == Arch::Upper { -1.0 } else { 1.0 };
    let point = |x: f64, y: f64| format!("{:.1} {:.1}", spot.x + x, spot.y + y);
    let corners = match surface {
        Surface::O | Surface::I => {
            let (wide, high) = (wide - inset, (high - inset).max(1.0));
            [(-wide, -high), (wide, -high), (wide, high), (-wide, high)]
        }
        Surface::B | Surface::V | Surface::L => {
            let side = if surface == Surface::L { -outwards } else { outwards };
            let (from, to) = (side * outer, side * (high + inset));
            [(-outer + inset, from), (outer - inset, from), (wide - inset, to), (-wide + inset, to)]
        }
        Surface::M | Surface::D => {
            let side = if surface == Surface::M { spot.mesial } else { -spot.mesial };
            let (from, to) = (side * outer, side * (wide + inset));
            [(from, -outer + inset), (from, outer - inset), (to, high - inset), (to, -high + inset)]
        }
    };
    let [a, b, c, d] = corners;
    let ([a, b], [d, c]) = (slice.between(a, b), slice.between(d, c));
    let [a, b, c, d] = [a, b, c, d].map(|(x, y)| point(x, y));
    format!("M{a}L{b}L{c}L{d}Z")
}

/// The outline of the roots: one, or two for molars.
fn root_shape(tooth: Tooth, spot: Spot, slice: Slice) -> String {
    let base = spot.y + spot.down * (spot.half + 2.5);
    let tip = spot.y + spot.down * (spot.half + ROOT - 6.0);
    let one = |x: f64, half: f64| {
        let [(from, _), (to, _)] = slice.between((x - half, base), (x + half, base));
        format!("M{from:.1} {base:.1}L{x:.1} {tip:.1}L{to:.1} {base:.1}Z")
    };
    if tooth.form() == crate::tooth::Form::Molar {
        format!("{}{}", one(spot.x - 6.0, 5.0), one(spot.x + 6.0, 5.0))
    } else {
        one(spot.x, 6.0)
    }
}

/// Draws the root, or what is in its place.
fn root(tooth: &ChartTooth, spot: Spot) -> String {
    match tooth.presence {
        Some(PresenceState::Implant) => {
            let (base, step) = (spot.y + spot.down * (spot.half + 3.0), spot.down * 4.0);
            let mut threads = String::new();
            for (index, half) in [7.0, 6.0, 5.0, 4.0].into_iter().enumerate() {
                let y = base + step * f64::from(u8::try_from(index).unwrap_or_default());
                threads.push_str(&format!("M{:.1} {y:.1}H{:.1}", spot.x - half, spot.x + half));
            }
            let tip = base + step * 4.0;
            format!("<path class=\"mark\" d=\"{threads}M{x:.1} {base:.1}V{tip:.1}\"/>", x = spot.x)
        }
        // A pontic hangs between its neighbours.
        Some(PresenceState::Pontic) => {
            let y = spot.y + spot.down * (spot.half + 6.0);
            let (from, to) = (spot.x - spot.half, spot.x + spot.half);
            format!(
                "<path class=\"mark\" d=\"M{from:.1} {y:.1}H{to:.1}M{from:.1} {a:.1}V{b:.1}M{to:.1} {a:.1}V{b:.1}\"/>",
                a = y - 3.5,
                b = y + 3.5,
            )
        }
        Some(state) if state.is_gone() => String::new(),
        _ => format!("<path class=\"outline\" d=\"{}\"/>", root_shape(tooth.fdi, spot, Slice::WHOLE)),
    }
}

fn cross(spot: Spot, half: f64) -> String {
    let (left, right, top, bottom) = (spot.x - half, spot.x + half, spot.y - half, spot.y + half);
    format!("M{left:.1} {top:.1}L{right:.1} {bottom:.1}M{right:.1} {top:.1}L{left:.1} {bottom:.1}")
}

/// Draws the sign of what became of the tooth.
pub(super) fn sign(state: Option<PresenceState>, spot: Spot) -> String {
    let half = spot.half - 3.0;
    let (x, y) = (spot.x, spot.y);
    let path = match state {
        Some(PresenceState::Extracted) => cross(spot, half),
        Some(PresenceState::Missing) => format!("M{:.1} {y:.1}H{:.1}", x - half, x + half),
        Some(PresenceState::Exfoliated) => {
            format!("M{:.1} {:.1}L{:.1} {:.1}", x - half, y + half, x + half, y - half)
        }
        Some(PresenceState::Unerupted) => {
            let r = half * 0.8;
            return format!(
                "<circle class=\"mark\" stroke-dasharray=\"1 4\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\"/>"
            );
        }
        Some(PresenceState::Erupting) => {
            // Towards the other arch.
            let (from, to) = (y + spot.down * half * 0.8, y - spot.down * half * 0.8);
            let back = to + spot.down * 5.0;
            format!(
                "M{x:.1} {from:.1}V{to:.1}M{:.1} {back:.1}L{x:.1} {to:.1}L{:.1} {back:.1}",
                x - 5.0,
                x + 5.0
            )
        }
        Some(PresenceState::Impacted) => {
            let (from, to) = (x - spot.mesial * half * 0.8, x + spot.mesial * half * 0.5);
            let (back, wall) = (to - spot.mesial * 5.0, x + spot.mesial * half * 0.8);
            format!(
                "M{from:.1} {y:.1}H{to:.1}M{back:.1} {:.1}L{to:.1} {y:.1}L{back:.1} {:.1}M{wall:.1} {:.1}V{:.1}",
                y - 5.0,
                y + 5.0,
                y - half * 0.7,
                y + half * 0.7
            )
        }
        None | Some(PresenceState::Present | PresenceState::Implant | PresenceState::Pontic) => {
            return String::new();
        }
    };
    format!("<path class=\"mark\" d=\"{path}\"/>")
}

/// Draws an example of a tooth for the legend.
pub(super) fn example(state: Option<PresenceState>, spot: Spot) -> String {
    let class = match state {
        None => "unknown",
        Some(state) if state.is_gone() => "gone",
        Some(PresenceState::Unerupted | PresenceState::Impacted) => "hidden",
        Some(_) => "there",
    };
    let (x, y, side) = (spot.x - spot.half, spot.y - spot.half, 2.0 * spot.half);
    format!(
        "<g class=\"{class}\"><rect class=\"outline\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" \
         height=\"{side:.1}\" rx=\"3\"/>{}</g>",
        sign(state, spot),
    )
}
