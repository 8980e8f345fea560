//! Draws charts as SVG: both arches, both dentitions, five surfaces a tooth, without a line of HTTP.
//!
//! The patient's right is on the left of the drawing, as one looks at the patient. Findings and work differ by colour
//! and by pattern, so that the drawing can be read in black and white and by people who see colours differently; each
//! tooth is an image of its own with a name that says what is known of it, for readers of the screen.
//!
//! Entry point: [`draw`].

mod art;
mod layout;
mod legend;
mod marks;
mod paint;
mod said;

use chrono::NaiveDate;

use crate::chart::Chart;

/// On which ground a drawing stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Light or dark, as whoever looks prefers; light on paper.
    #[default]
    Auto,
    /// Dark lines on white.
    Light,
    /// Light lines on dark grey.
    Dark,
}

/// How large a drawing says that it is; it can be scaled to any other size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// 800 pixels wide.
    #[default]
    Screen,
    /// 180 millimetres wide: a page of A4 or Letter with its margins.
    Print,
}

/// Which teeth are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dentitions {
    /// All of them.
    #[default]
    Both,
    /// The permanent ones alone.
    Permanent,
    /// The permanent ones, and the deciduous ones when anything is known of one that is not gone.
    Known,
}

/// How a chart is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// On which ground.
    pub theme: Theme,
    /// How large.
    pub size: Size,
    /// Which teeth.
    pub dentitions: Dentitions,
}

/// Draws a chart as an SVG document. Teeth are named in the chart's notation; words are English.
pub fn draw(chart: &Chart, options: &Options) -> String {
    let deciduous = match options.dentitions {
        Dentitions::Both => true,
        Dentitions::Permanent => false,
        Dentitions::Known => chart.teeth.iter().any(said::is_known_deciduous),
    };
    let sheet = layout::Sheet::new(deciduous);
    let height = sheet.legend_top() + legend::HEIGHT;
    let (width, tall) = match options.size {
        Size::Screen => (format!("{}", layout::WIDTH), format!("{height}")),
        Size::Print => ("180mm".to_owned(), format!("{:.1}mm", height * 180.0 / layout::WIDTH)),
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{tall}\" \
         viewBox=\"0 0 {} {height}\" role=\"graphics-document document\" aria-labelledby=\"odontogram-title\" \
         aria-describedby=\"odontogram-description\" lang=\"en\" class=\"odontogram\">\n\
         <title id=\"odontogram-title\">{}</title>\n<desc id=\"odontogram-description\">{}</desc>\n",
        layout::WIDTH,
        heading(chart.as_of, chart.charted),
        said::escaped(&said::elsewhere(chart)),
    );
    svg.push_str(&paint::style(options.theme));
    svg.push_str(&paint::patterns());
    svg.push_str(&format!(
        "<rect class=\"ground\" width=\"{}\" height=\"{height}\"/>\n{}",
        layout::WIDTH,
        sheet.frame(&heading(chart.as_of, chart.charted), chart.notation),
    ));
    for row in sheet.rows() {
        svg.push_str(&format!("<g role=\"group\" aria-label=\"{}\">\n", row.name()));
        for tooth in chart.teeth.iter().filter(|tooth| row.holds(tooth.fdi)) {
            svg.push_str(&art::tooth(tooth, row.spot(tooth.fdi)));
        }
        svg.push_str("</g>\n");
    }
    svg.push_str(&legend::draw(sheet.legend_top()));
    svg.push_str("</svg>\n");
    svg
}

fn heading(as_of: NaiveDate, charted: bool) -> String {
    if charted {
        format!("Dental chart as of {as_of}")
    } else {
        format!("Dental chart as of {as_of}: nothing is charted")
    }
}
