//! Pages of A4 on which text and rules are put; what is written from right to left is mirrored.

use krilla::{
    Document,
    color::rgb,
    geom::{PathBuilder, Point},
    metadata::Metadata,
    num::NormalizedF32,
    page::PageSettings,
    paint::{Fill, Stroke},
};

use super::{
    DocumentError,
    text::{Line, Typeface},
};

/// The size of A4, in points.
pub(super) const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
/// What stays free on every side.
pub(super) const MARGIN: f32 = 52.0;
/// Where the last line of a page may stand.
const BOTTOM: f32 = HEIGHT - 78.0;

/// On which side of its place a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// It begins there.
    Start,
    /// It ends there.
    End,
}

/// How a text is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) size: f32,
    pub(super) is_bold: bool,
}

impl Style {
    pub(super) const PLAIN: Self = Self { size: 9.0, is_bold: false };
    pub(super) const BOLD: Self = Self { size: 9.0, is_bold: true };
    pub(super) const TITLE: Self = Self { size: 16.0, is_bold: true };
    pub(super) const SMALL: Self = Self { size: 7.5, is_bold: false };
}

enum Item {
    Text { left: f32, y: f32, line: Line, style: Style },
    Rule { y: f32 },
}

/// What is put on pages, from the top on.
pub(super) struct Sheet {
    plain: Typeface,
    bold: Typeface,
    is_rtl: bool,
    pages: Vec<Vec<Item>>,
    /// Where the next line stands.
    pub(super) y: f32,
}

impl Sheet {
    pub(super) fn new(is_rtl: bool) -> Result<Self, DocumentError> {
        let plain = Typeface::read(dejavu::sans::regular())?;
        let bold = Typeface::read(dejavu::sans::bold())?;
        Ok(Self { plain, bold, is_rtl, pages: vec![Vec::new()], y: MARGIN })
    }

    fn face(&self, style: Style) -> &Typeface {
        if style.is_bold { &self.bold } else { &self.plain }
    }

    /// Puts a text at a distance from the side where reading begins, on the present line.
    pub(super) fn text(&mut self, x: f32, align: Align, text: &str, style: Style) {
        let line = self.face(style).line(text, self.is_rtl);
        let width = line.width * style.size;
        let left = match (align, self.is_rtl) {
            (Align::Start, false) => x,
            (Align::End, false) => x - width,
            (Align::Start, true) => WIDTH - x - width,
            (Align::End, true) => WIDTH - x,
        };
        let y = self.y;
        self.put(Item::Text { left, y, line, style });
    }

    /// Puts a rule across the page.
    pub(super) fn rule(&mut self) {
        let y = self.y - 8.0;
        self.put(Item::Rule { y });
    }

    /// Goes on so many points further down; tells whether that is on another page.
    pub(super) fn advance(&mut self, points: f32) -> bool {
        self.y += points;
        let is_over = self.y > BOTTOM;
        if is_over {
            self.pages.push(Vec::new());
            self.y = MARGIN;
        }
        is_over
    }

    /// Returns how wide a text is.
    pub(super) fn width(&self, text: &str, style: Style) -> f32 {
        self.face(style).line(text, self.is_rtl).width * style.size
    }

    /// Breaks a text into lines of a width; a word that is wider is broken too, between letters that are drawn apart.
    pub(super) fn broken(&self, text: &str, width: f32, style: Style) -> Vec<String> {
        // Each word is measured once; no letter joins another over a space.
        let measured = |text: &str| self.width(text, style);
        let space = measured(" ");
        let mut lines: Vec<String> = Vec::new();
        for paragraph in text.lines() {
            let (mut line, mut filled) = (String::new(), 0.0);
            let words = paragraph.split_whitespace().map(|word| (word, measured(word)));
            for (word, own) in words.flat_map(|word| self.parts(word, width, style)) {
                if line.is_empty() {
                    (line, filled) = (word.to_owned(), own);
                } else if filled + space + own > width {
                    lines.push(std::mem::replace(&mut line, word.to_owned()));
                    filled = own;
                } else {
                    line.push(' ');
                    line.push_str(word);
                    filled += space + own;
                }
            }
            lines.push(line);
        }
        lines
    }

    /// Splits a word that is wider than a line into parts that are not, each with its width.
    fn parts<'a>(&self, (word, own): (&'a str, f32), width: f32, style: Style) -> Vec<(&'a str, f32)> {
        let fits = |part: &str| self.width(part, style) <= width;
        let (mut parts, mut rest, mut left) = (Vec::new(), word, own);
        while left > width {
            let ends: Vec<usize> = self.face(style).clusters(rest).into_iter().filter(|at| *at > 0).collect();
            let fitting = ends.partition_point(|end| rest.get(..*end).is_some_and(fits));
            // One letter stands on a line however wide it is.
            let Some(end) = ends.get(fitting.saturating_sub(1)) else { break };
            let (part, after) = rest.split_at(*end);
            parts.push((part, self.width(part, style)));
            (rest, left) = (after, self.width(after, style));
        }
        parts.push((rest, left));
        parts
    }

    fn put(&mut self, item: Item) {
        if let Some(page) = self.pages.last_mut() {
            page.push(item);
        }
    }

    /// Where each text begins and ends, from the left side of the page, and its line.
    #[cfg(test)]
    #[expect(clippy::as_conversions, reason = "a page is a few hundred points high")]
    pub(super) fn extents(&self) -> Vec<(usize, i32, f32, f32, String)> {
        let mut all = Vec::new();
        for (page, items) in self.pages.iter().enumerate() {
            for item in items {
                if let Item::Text { left, y, line, style } = item {
                    let text = line.runs.iter().map(|run| run.text.as_str()).collect();
                    all.push((page, y.round() as i32, *left, left + line.width * style.size, text));
                }
            }
        }
        all
    }

    /// What was put on the pages, each text in the order of its runs from left to right.
    #[cfg(test)]
    pub(super) fn texts(&self) -> Vec<String> {
        let text = |item: &Item| match item {
            Item::Text { line, .. } => Some(line.runs.iter().map(|run| run.text.as_str()).collect()),
            Item::Rule { .. } => None,
        };
        self.pages.iter().flatten().filter_map(text).collect()
    }

    /// Writes the document.
    pub(super) fn finish(mut self, title: &str, page_word: &str) -> Result<Vec<u8>, DocumentError> {
        let count = self.pages.len();
        for number in 1..=count {
            let foot = format!("{page_word} {number} / {count}");
            let line = self.plain.line(&foot, self.is_rtl);
            let left = (WIDTH - line.width * Style::SMALL.size) / 2.0;
            if let Some(page) = self.pages.get_mut(number - 1) {
                page.push(Item::Text { left, y: HEIGHT - 40.0, line, style: Style::SMALL });
            }
        }
        let mut document = Document::new();
        document.set_metadata(Metadata::new().title(title.to_owned()));
        let ink = rgb::Color::new(20, 20, 20);
        for items in &self.pages {
            let settings = PageSettings::from_wh(WIDTH, HEIGHT).ok_or(DocumentError::Writer)?;
            let mut page = document.start_page_with(settings);
            let mut surface = page.surface();
            for item in items {
                match item {
                    Item::Text { left, y, line, style } => {
                        surface.set_stroke(None);
                        surface.set_fill(Some(Fill {
                            paint: ink.into(),
                            opacity: NormalizedF32::ONE,
                            rule: Default::default(),
                        }));
                        let mut x = *left;
                        for run in &line.runs {
                            let at = Point::from_xy(x, *y);
                            let font = self.face(*style).font();
                            surface.draw_glyphs(at, &run.glyphs, font, &run.text, style.size, false);
                            x += run.width * style.size;
                        }
                    }
                    Item::Rule { y } => {
                        let mut path = PathBuilder::new();
                        path.move_to(MARGIN, *y);
                        path.line_to(WIDTH - MARGIN, *y);
                        surface.set_fill(None);
                        surface.set_stroke(Some(Stroke {
                            paint: ink.into(),
                            width: 0.5,
                            ..Stroke::default()
                        }));
                        if let Some(path) = path.finish() {
                            surface.draw_path(&path);
                        }
                    }
                }
            }
            surface.finish();
            page.finish();
        }
        document.finish().map_err(|_| DocumentError::Writer)
    }
}
