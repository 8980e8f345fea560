//! Colours and patterns: what is found and done differs by both.

use super::Theme;

/// What a surface, a root or a crown is painted with; what is gravest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Paint {
    /// Decay.
    Caries,
    /// Something inside or below the root.
    Pulp,
    /// Substance that is broken, worn or badly formed.
    Defect,
    /// Work that must be replaced.
    Defective,
    /// Work that was done here.
    Done,
    /// Work that was there already.
    Existing,
    /// Work that is planned.
    Planned,
}

/// A paint, and whether what it stands for is watched only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ink {
    pub(super) paint: Paint,
    pub(super) is_watched: bool,
}

impl Ink {
    /// The ink of what is not watched.
    pub(super) const fn of(paint: Paint) -> Self {
        Self { paint, is_watched: false }
    }

    /// Returns the name of its pattern.
    pub(super) fn name(self) -> String {
        format!("{}{}", self.paint.name(), if self.is_watched { "-watch" } else { "" })
    }

    /// The class that makes a line of what is watched dotted.
    pub(super) const fn dots(self) -> &'static str {
        if self.is_watched { " dotted" } else { "" }
    }

    /// The lines of its pattern, in a tile of 6 by 6: those of its paint, or circles.
    const fn lines(self) -> &'static str {
        if self.is_watched {
            "<circle cx=\"3\" cy=\"3\" r=\"1.8\" style=\"fill:none\" stroke-width=\"1\"/>"
        } else {
            self.paint.lines()
        }
    }
}

impl Paint {
    /// Every paint.
    pub(super) const ALL: [Self; 7] =
        [Self::Caries, Self::Pulp, Self::Defect, Self::Defective, Self::Done, Self::Existing, Self::Planned];

    /// Returns the name of its classes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Caries => "caries",
            Self::Pulp => "pulp",
            Self::Defect => "defect",
            Self::Defective => "defective",
            Self::Done => "done",
            Self::Existing => "existing",
            Self::Planned => "planned",
        }
    }

    /// Returns its colours on a light and on a dark ground; each has a contrast of 4.5 and more to it.
    const fn colours(self) -> (&'static str, &'static str) {
        match self {
            Self::Caries => ("#c1121f", "#ff7b7b"),
            Self::Defect => ("#9a4a00", "#ffb454"),
            Self::Pulp => ("#a1127c", "#ff8ad8"),
            Self::Defective => ("#7a1f1f", "#ff9e80"),
            Self::Existing => ("#1d4ed8", "#82b1ff"),
            Self::Done => ("#146c2e", "#5fe08a"),
            Self::Planned => ("#0b6478", "#4fd6ea"),
        }
    }

    /// The lines of its pattern, in a tile of 6 by 6.
    const fn lines(self) -> &'static str {
        match self {
            Self::Caries => "<path d=\"M-1 7L7 -1M-1 1L1 -1M5 7L7 5\" stroke-width=\"2\"/>",
            Self::Defect => {
                "<circle cx=\"1.5\" cy=\"1.5\" r=\"1.1\"/><circle cx=\"4.5\" cy=\"4.5\" r=\"1.1\"/>"
            }
            Self::Pulp => "<path d=\"M0 0L6 6M6 0L0 6\" stroke-width=\"1.4\"/>",
            Self::Defective => {
                "<path d=\"M0 1.5H6M0 4.5H6M1.5 1.5V4.5M4.5 4.5V7.5M4.5 -1.5V1.5\" stroke-width=\"1.2\"/>"
            }
            Self::Existing => "<path d=\"M0 1.5H6M0 4.5H6\" stroke-width=\"1.5\"/>",
            Self::Done => "<path d=\"M1.5 0V6M4.5 0V6\" stroke-width=\"1.8\"/>",
            Self::Planned => "",
        }
    }
}

/// The style sheet of a theme.
pub(super) fn style(theme: Theme) -> String {
    let light = variables(|paint| paint.colours().0, ("#ffffff", "#1f2937", "#6b7280"));
    let dark = variables(|paint| paint.colours().1, ("#12161d", "#e8ecf2", "#9aa5b4"));
    let scheme = match theme {
        Theme::Light => format!(".odontogram{{{light}}}"),
        Theme::Dark => format!(".odontogram{{{dark}}}"),
        Theme::Auto => format!(
            ".odontogram{{{light}}}@media screen and (prefers-color-scheme:dark){{.odontogram{{{dark}}}}}"
        ),
    };
    let mut classes = String::new();
    for paint in Paint::ALL {
        let name = paint.name();
        classes.push_str(&format!(
            ".line-{name}{{stroke:var(--{name});fill:none}}.edge-{name}{{stroke:var(--{name})}}\
             .tile-{name}{{stroke:var(--{name});fill:var(--{name})}}"
        ));
    }
    for ink in inks() {
        let name = ink.name();
        classes.push_str(&format!(".fill-{name}{{fill:url(#odontogram-{name})}}"));
    }
    format!("<style>{scheme}{classes}{RULES}</style>\n")
}

fn variables(
    colour: impl Fn(Paint) -> &'static str,
    (ground, ink, faint): (&'static str, &'static str, &'static str),
) -> String {
    let paints: String =
        Paint::ALL.into_iter().map(|paint| format!("--{}:{};", paint.name(), colour(paint))).collect();
    format!("--ground:{ground};--ink:{ink};--faint:{faint};{paints}")
}

const RULES: &str = ".ground{fill:var(--ground)}\
.odontogram text{fill:var(--ink);font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}\
.label{font-size:13px;font-weight:600}.heading{font-size:15px;font-weight:600}.small,.legend{font-size:12px}\
.side{font-size:13px;font-weight:600}\
.axis{stroke:var(--faint);stroke-width:1;fill:none}\
.outline{stroke:var(--ink);stroke-width:1.3;fill:none;stroke-linejoin:round}\
.surface{stroke:var(--ink);stroke-width:1;fill:none;stroke-linejoin:round}\
.unknown .outline,.unknown .surface{stroke:var(--faint);stroke-dasharray:2 2.5}\
.unknown .label{fill:var(--faint)}\
.hidden .outline,.hidden .surface{stroke:var(--faint)}\
.gone .outline,.gone .surface{stroke:var(--faint);stroke-opacity:.55}\
.mark{stroke:var(--ink);stroke-width:2.2;fill:none;stroke-linecap:round;stroke-linejoin:round}\
.thin{stroke:var(--ink);stroke-width:1.4;fill:none;stroke-linecap:round}\
.ring{stroke-width:3.2;stroke-linejoin:round}\
.line-planned{stroke-width:2.4;stroke-dasharray:4 2.5}\
.dotted{stroke-dasharray:.1 5;stroke-linecap:round}\
.badge{stroke-width:1.3;stroke-linejoin:round}";

/// Every ink that fills something.
fn inks() -> impl Iterator<Item = Ink> {
    let filling = Paint::ALL.into_iter().filter(|paint| *paint != Paint::Planned);
    filling.flat_map(|paint| [false, true].map(|is_watched| Ink { paint, is_watched }))
}

/// The tiles with which surfaces are filled: a tint on the ground, and lines.
pub(super) fn patterns() -> String {
    let mut text = "<defs>\n".to_owned();
    for ink in inks() {
        let (name, class, lines) = (ink.name(), ink.paint.name(), ink.lines());
        text.push_str(&format!(
            "<pattern id=\"odontogram-{name}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
             <rect class=\"ground\" width=\"6\" height=\"6\"/><rect class=\"tile-{class}\" width=\"6\" height=\"6\" style=\"stroke:none;fill-opacity:.22\"/>\
             <g class=\"tile-{class}\">{lines}</g></pattern>\n"
        ));
    }
    text.push_str("</defs>\n");
    text
}
