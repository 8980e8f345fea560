//! What of a tooth is to be painted, and with what. Nothing hides anything: a part has every ink that is due on it.

use super::paint::{Ink, Paint};
use crate::{
    chart::{ChartFinding, ChartTooth, ChartTreatment},
    finding::{FindingCode, FindingStatus},
    procedure_code::{Category, Effect},
    surface::Surface,
    tooth::Tooth,
};

/// The part of a tooth that is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Surface(Surface),
    Root,
    /// Around the crown.
    Ring,
    /// At the tip of the root.
    Tip,
    /// Beside the crown: something about the tooth as a whole, or of which nobody said the surface.
    Badge(Shape),
    /// Across the crown: it is to be taken out.
    Cross,
}

/// The shape of a mark beside the crown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Something was found.
    Triangle,
    /// Work.
    Square,
}

/// A part and everything that is to be seen on it, what is gravest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) part: Part,
    pub(super) inks: Vec<Ink>,
}

/// Lists what is to be painted of what was found and done, and then of what is planned.
pub(super) fn of(tooth: &ChartTooth) -> (Vec<Mark>, Vec<Part>) {
    let mut solid = Marks::default();
    for finding in &tooth.findings {
        found(tooth.fdi, finding, &mut solid);
    }
    for one in &tooth.treatments {
        for part in work(one, false) {
            solid.add(part, Ink::of(Paint::Done));
        }
    }
    let mut planned: Vec<Part> = Vec::new();
    for part in tooth.planned.iter().flat_map(|one| work(one, true)) {
        if !planned.contains(&part) {
            planned.push(part);
        }
    }
    (solid.0, planned)
}

#[derive(Default)]
struct Marks(Vec<Mark>);

impl Marks {
    fn add(&mut self, part: Part, ink: Ink) {
        match self.0.iter_mut().find(|mark| mark.part == part) {
            Some(mark) if mark.inks.contains(&ink) => {}
            Some(mark) => {
                mark.inks.push(ink);
                mark.inks.sort_unstable();
            }
            None => self.0.push(Mark { part, inks: vec![ink] }),
        }
    }
}

fn found(tooth: Tooth, finding: &ChartFinding, marks: &mut Marks) {
    use FindingCode as C;
    let (paint, whole) = match finding.code {
        C::Caries | C::SecondaryCaries => (Paint::Caries, Part::Badge(Shape::Triangle)),
        C::Fracture | C::Wear | C::Erosion | C::Hypomineralisation | C::Discolouration => {
            (Paint::Defect, Part::Badge(Shape::Triangle))
        }
        C::Pulpitis | C::Necrosis => (Paint::Pulp, Part::Root),
        C::PeriapicalLesion => (Paint::Pulp, Part::Tip),
        C::DefectiveRestoration => (Paint::Defective, Part::Badge(Shape::Triangle)),
        C::Restoration | C::Sealant => (Paint::Existing, Part::Badge(Shape::Square)),
        C::Veneer if Surface::V.is_of(tooth) => (Paint::Existing, Part::Surface(Surface::V)),
        C::Veneer => (Paint::Existing, Part::Surface(Surface::B)),
        C::Crown => (Paint::Existing, Part::Ring),
        C::RootFilling => (Paint::Existing, Part::Root),
        C::Mobility | C::Furcation | C::Malposition | C::Sensitivity | C::Other => {
            (Paint::Defect, Part::Badge(Shape::Triangle))
        }
    };
    let ink = Ink { paint, is_watched: finding.status == FindingStatus::Watch };
    if finding.surfaces.is_empty() || matches!(whole, Part::Root | Part::Tip | Part::Ring) {
        marks.add(whole, ink);
    }
    if !matches!(whole, Part::Root | Part::Tip | Part::Ring) {
        for surface in finding.surfaces.iter() {
            marks.add(Part::Surface(surface), ink);
        }
    }
}

fn work(one: &ChartTreatment, is_planned: bool) -> Vec<Part> {
    if one.effect == Some(Effect::Extraction) {
        // Once it is done the tooth is gone, which is drawn.
        return if is_planned { vec![Part::Cross] } else { Vec::new() };
    }
    if !one.surfaces.is_empty() {
        return one.surfaces.iter().map(Part::Surface).collect();
    }
    match one.category {
        Category::Endodontic => vec![Part::Root],
        Category::Prosthetic => vec![Part::Ring],
        // An implant that is done is drawn as such.
        Category::Implant if one.effect == Some(Effect::Implant) => {
            if is_planned {
                vec![Part::Root]
            } else {
                Vec::new()
            }
        }
        Category::Implant => vec![Part::Ring],
        _ => vec![Part::Badge(Shape::Square)],
    }
}
