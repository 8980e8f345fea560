//! What a drawing says in words.

use crate::{
    area::Place,
    chart::{Chart, ChartFinding, ChartTooth, ChartTreatment},
    finding::FindingStatus,
    presence::PresenceState,
    surface::SurfaceSet,
    tooth::{Dentition, Tooth},
};

/// Tells whether something is known of a deciduous tooth that is not gone.
pub(super) fn is_known_deciduous(tooth: &ChartTooth) -> bool {
    let there = tooth.presence.is_some_and(|state| !state.is_gone());
    tooth.dentition == Dentition::Deciduous
        && (there || !tooth.findings.is_empty() || !tooth.planned.is_empty())
}

/// Says all that is known of a tooth, such as `36, lower left first molar: present; caries on mesial, occlusal`.
pub(super) fn tooth(tooth: &ChartTooth) -> String {
    let state = tooth.presence.map_or("nothing known", state_words);
    let mut parts = vec![format!("{}, {}: {state}", tooth.tooth, tooth.fdi.name())];
    parts.extend(tooth.findings.iter().map(|finding| found(tooth.fdi, finding)));
    parts.extend(tooth.treatments.iter().map(|one| format!("done: {}", work(tooth.fdi, one))));
    parts.extend(tooth.planned.iter().map(|one| format!("planned: {}", work(tooth.fdi, one))));
    parts.join("; ")
}

/// Says what was done or planned for the mouth as a whole and for parts of it that are no teeth.
pub(super) fn elsewhere(chart: &Chart) -> String {
    let line = |one: &ChartTreatment| match one.region {
        Some(region) => {
            let place = Place { area: one.area, region: Some(region), ..Place::default() };
            format!("{} ({} {})", one.procedure_name, area_words(one), place.words())
        }
        None => one.procedure_name.clone(),
    };
    let listed = |what: &str, list: &[ChartTreatment]| {
        let lines: Vec<String> = list.iter().map(line).collect();
        (!lines.is_empty()).then(|| format!("{what} elsewhere than on teeth: {}.", lines.join(", ")))
    };
    let begin = "The patient's right is on the left.".to_owned();
    let parts = [Some(begin), listed("Done", &chart.treatments), listed("Planned", &chart.planned)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn area_words(one: &ChartTreatment) -> &'static str {
    use crate::area::Area;
    match one.area {
        Area::Arch => "arch",
        Area::Quadrant => "quadrant",
        Area::Sextant => "sextant",
        _ => "region",
    }
}

/// The words for what became of a tooth.
pub(super) const fn state_words(state: PresenceState) -> &'static str {
    match state {
        PresenceState::Present => "present",
        PresenceState::Unerupted => "not erupted",
        PresenceState::Erupting => "erupting",
        PresenceState::Impacted => "impacted",
        PresenceState::Missing => "missing",
        PresenceState::Extracted => "extracted",
        PresenceState::Exfoliated => "fallen out",
        PresenceState::Implant => "implant",
        PresenceState::Pontic => "pontic",
    }
}

fn found(tooth: Tooth, finding: &ChartFinding) -> String {
    let watched = if finding.status == FindingStatus::Watch { ", watched" } else { "" };
    format!("{}{}{watched}", finding.code.name(), on(tooth, &finding.surfaces))
}

fn work(tooth: Tooth, one: &ChartTreatment) -> String {
    format!("{}{}", one.procedure_name, on(tooth, &one.surfaces))
}

fn on(tooth: Tooth, surfaces: &SurfaceSet) -> String {
    if surfaces.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = surfaces.iter().map(|surface| surface.name(tooth)).collect();
    format!(" on {}", names.join(", "))
}

/// Writes text so that it stays text in XML; what XML can't hold is left out.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("a<b>&\"c\"\u{1}\n"), "a&lt;b&gt;&amp;&quot;c&quot;  ");
    }
}
