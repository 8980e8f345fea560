//! Draws one tooth: its label, its root, its five surfaces, and what is known of each.

use super::{
    layout::{ROOT, Spot},
    paint::Paint,
    said,
};
use crate::{
    chart::{ChartFinding, ChartTooth, ChartTreatment},
    finding::{FindingCode, FindingStatus},
    presence::PresenceState,
    procedure_code::{Category, Effect},
    surface::Surface,
    tooth::{Arch, Tooth},
};

/// The part of a tooth that is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Surface(Surface),
    Root,
    /// Around the crown.
    Ring,
    /// At the tip of the root.
    Tip,
    /// Beside the crown: something about the tooth as a whole.
    Badge,
    /// Across the crown: it is to be taken out.
    Cross,
}

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
    let mut painted = parts(tooth);
    // What is planned is drawn over the rest.
    painted.sort_by_key(|(_, paint)| *paint == Paint::Planned);
    for (part, paint) in painted.iter().filter(|(_, paint)| *paint != Paint::Planned) {
        svg.push_str(&colour(tooth.fdi, spot, *part, *paint));
    }
    for surface in Surface::of(tooth.fdi) {
        svg.push_str(&format!("<path class=\"surface\" d=\"{}\"/>", shape(tooth.fdi, spot, surface, 0.0)));
    }
    let (x, y, side) = (spot.x - spot.half, spot.y - spot.half, 2.0 * spot.half);
    svg.push_str(&format!(
        "<rect class=\"outline\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" rx=\"{}\"/>",
        if tooth.fdi.quadrant() > 4 { 7 } else { 3 },
    ));
    for (part, paint) in painted.iter().filter(|(_, paint)| *paint == Paint::Planned) {
        svg.push_str(&colour(tooth.fdi, spot, *part, *paint));
    }
    svg.push_str(&sign(tooth.presence, spot));
    svg.push_str("</g>\n");
    svg
}

/// Lists what is to be painted, what is older first.
fn parts(tooth: &ChartTooth) -> Vec<(Part, Paint)> {
    let mut list = Vec::new();
    let (existing, found): (Vec<&ChartFinding>, Vec<&ChartFinding>) =
        tooth.findings.iter().partition(|finding| finding.code.is_existing_work());
    for finding in existing {
        found_parts(tooth.fdi, finding, &mut list);
    }
    for one in &tooth.treatments {
        work_parts(tooth.fdi, one, Paint::Done, &mut list);
    }
    for finding in found {
        found_parts(tooth.fdi, finding, &mut list);
    }
    for one in &tooth.planned {
        work_parts(tooth.fdi, one, Paint::Planned, &mut list);
    }
    list
}

fn found_parts(tooth: Tooth, finding: &ChartFinding, list: &mut Vec<(Part, Paint)>) {
    use FindingCode as C;
    let (paint, whole) = match finding.code {
        C::Caries | C::SecondaryCaries => (Paint::Caries, centre(tooth)),
        C::Fracture | C::Wear | C::Erosion | C::Hypomineralisation | C::Discolouration => {
            (Paint::Defect, centre(tooth))
        }
        C::Pulpitis | C::Necrosis => (Paint::Pulp, Part::Root),
        C::PeriapicalLesion => (Paint::Pulp, Part::Tip),
        C::DefectiveRestoration => (Paint::Defective, centre(tooth)),
        C::Restoration | C::Sealant => (Paint::Existing, centre(tooth)),
        C::Veneer => (Paint::Existing, Part::Surface(Surface::V)),
        C::Crown => (Paint::Existing, Part::Ring),
        C::RootFilling => (Paint::Existing, Part::Root),
        C::Mobility | C::Furcation | C::Malposition | C::Sensitivity | C::Other => {
            (Paint::Defect, Part::Badge)
        }
    };
    let paint = if finding.status == FindingStatus::Watch { Paint::Watch } else { paint };
    if finding.surfaces.is_empty() || matches!(whole, Part::Root | Part::Tip | Part::Ring) {
        let whole = match whole {
            Part::Surface(surface) if !surface.is_of(tooth) => Part::Surface(Surface::B),
            whole => whole,
        };
        list.push((whole, paint));
    } else {
        list.extend(finding.surfaces.iter().map(|surface| (Part::Surface(surface), paint)));
    }
}

fn work_parts(tooth: Tooth, one: &ChartTreatment, paint: Paint, list: &mut Vec<(Part, Paint)>) {
    if one.effect == Some(Effect::Extraction) {
        // Once it is done the tooth is gone, which is drawn.
        if paint == Paint::Planned {
            list.push((Part::Cross, paint));
        }
        return;
    }
    if !one.surfaces.is_empty() {
        list.extend(one.surfaces.iter().map(|surface| (Part::Surface(surface), paint)));
        return;
    }
    let whole = match one.category {
        Category::Restorative => centre(tooth),
        Category::Endodontic => Part::Root,
        Category::Prosthetic => Part::Ring,
        // An implant that is done is drawn as such.
        Category::Implant if one.effect == Some(Effect::Implant) => match paint {
            Paint::Planned => Part::Root,
            _ => return,
        },
        Category::Implant => Part::Ring,
        _ => Part::Badge,
    };
    list.push((whole, paint));
}

fn centre(tooth: Tooth) -> Part {
    Part::Surface(if tooth.is_posterior() { Surface::O } else { Surface::I })
}

/// Paints a part: planned work as a dashed line, everything else with its pattern.
fn colour(tooth: Tooth, spot: Spot, part: Part, paint: Paint) -> String {
    let name = paint.name();
    let planned = paint == Paint::Planned;
    let class = if planned { format!("line-{name}") } else { format!("fill-{name}") };
    match part {
        Part::Surface(surface) => {
            let inset = if planned { 1.6 } else { 0.0 };
            format!("<path class=\"{class}\" d=\"{}\"/>", shape(tooth, spot, surface, inset))
        }
        Part::Root => format!("<path class=\"{class}\" d=\"{}\"/>", root_shape(tooth, spot)),
        Part::Ring => {
            let half = spot.half + 2.2;
            format!(
                "<rect class=\"ring line-{name}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>",
                spot.x - half,
                spot.y - half,
                2.0 * half,
                2.0 * half,
            )
        }
        Part::Tip => {
            let y = spot.y + spot.down * (spot.half + ROOT - 6.0);
            format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"/>\
                 <circle class=\"line-{name}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" stroke-width=\"1.4\"/>",
                x = spot.x,
            )
        }
        Part::Badge => badge(spot, paint),
        Part::Cross => {
            let half = spot.half - 3.0;
            format!("<path class=\"line-{name}\" d=\"{}\"/>", cross(spot, half))
        }
    }
}

/// A mark in the outer corner of the root's room: a triangle for findings, a square for work.
fn badge(spot: Spot, paint: Paint) -> String {
    let (x, y) = (spot.x - spot.mesial * (spot.half - 4.0), spot.y + spot.down * (spot.half + 9.0));
    let name = paint.name();
    match paint {
        Paint::Planned => format!(
            "<rect class=\"line-{name}\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
            x - 4.0,
            y - 4.0
        ),
        Paint::Done => format!(
            "<rect class=\"badge tile-{name}\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\"/>",
            x - 4.0,
            y - 4.0
        ),
        _ => format!(
            "<path class=\"badge tile-{name}\" d=\"M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}Z\"/>",
            x,
            y - 5.0,
            x + 5.0,
            y + 4.0,
            x - 5.0,
            y + 4.0
        ),
    }
}

/// The outline of a surface, moved inwards by `inset`. Buccal and vestibular surfaces face outwards: up above, down
/// below; mesial ones face the midline.
fn shape(tooth: Tooth, spot: Spot, surface: Surface, inset: f64) -> String {
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
    let [a, b, c, d] = corners.map(|(x, y)| point(x, y));
    format!("M{a}L{b}L{c}L{d}Z")
}

/// The outline of the roots: one, or two for molars.
fn root_shape(tooth: Tooth, spot: Spot) -> String {
    let base = spot.y + spot.down * (spot.half + 2.5);
    let tip = spot.y + spot.down * (spot.half + ROOT - 6.0);
    let one = |x: f64, half: f64| {
        format!("M{:.1} {base:.1}L{:.1} {tip:.1}L{:.1} {base:.1}Z", x - half, x, x + half)
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
        _ => format!("<path class=\"outline\" d=\"{}\"/>", root_shape(tooth.fdi, spot)),
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
