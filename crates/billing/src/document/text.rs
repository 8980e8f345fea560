//! Lines of text as glyphs, in the order in which they are drawn (UAX #9).

use krilla::text::{Font, GlyphId, KrillaGlyph};
use rustybuzz::{Direction, Face, GlyphInfo, UnicodeBuffer};
use unicode_bidi::{BidiClass, BidiInfo, Level, bidi_class};

use super::DocumentError;

/// Characters that say something about a line and are not drawn.
const MARKS: [char; 5] = ['\n', '\r', '\u{2066}', '\u{2068}', '\u{2069}'];

/// Keeps the parts of a date, a number or an amount in their order, whatever stands around them.
pub(super) fn isolated(text: impl std::fmt::Display) -> String {
    format!("\u{2066}{text}\u{2069}")
}

/// Lets a text run in the direction of its own first letter, or from left to right when it has none, whatever stands
/// around it. A telephone number in it keeps its order.
pub(super) fn on_its_own(text: impl std::fmt::Display) -> String {
    format!("\u{2068}{}\u{2069}", with_numbers_isolated(&text.to_string()))
}

/// Isolates telephone numbers that begin with `+` or `0`, alone or in brackets, and do not follow Latin letters, among
/// which they keep their order anyway.
fn with_numbers_isolated(text: &str) -> String {
    let (mut out, mut rest, mut is_latin) = (String::with_capacity(text.len()), text, false);
    let mut is_word_start = true;
    while let Some(first) = rest.chars().next() {
        let length = if is_word_start && !is_latin { number_length(rest) } else { 0 };
        if length > 0 {
            let (number, after) = rest.split_at(length);
            out.push_str(&isolated(number));
            rest = after;
            is_word_start = false;
            continue;
        }
        match bidi_class(first) {
            BidiClass::L => is_latin = true,
            BidiClass::R | BidiClass::AL => is_latin = false,
            _ => {}
        }
        is_word_start = !first.is_alphanumeric();
        out.push(first);
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    out
}

/// How many bytes a telephone number at the beginning of a text takes: digits in groups that one space, hyphen, slash,
/// point or bracket parts from each other. None without `+` or `0` before its second digit.
fn number_length(text: &str) -> usize {
    let (mut end, mut separators, mut digits) = (0, 0, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => (digits, separators, end) = (digits + 1, 0, at + 1),
            b')' if digits > 0 => (separators, end) = (0, at + 1),
            b'+' if digits == 0 => {}
            b'(' if separators <= 1 => separators = 0,
            b' ' | b'-' | b'/' | b'.' if digits > 0 && separators == 0 => separators = 1,
            _ => break,
        }
    }
    let begins = text.trim_start_matches('(');
    let is_number = digits > 1 && (begins.starts_with('+') || begins.starts_with('0'));
    if is_number { end } else { 0 }
}

/// A font for drawing and for shaping.
pub(super) struct Typeface {
    font: Font,
    face: Face<'static>,
    units_per_em: f32,
}

/// A part of a line that is written in one direction.
pub(super) struct Run {
    pub(super) text: String,
    pub(super) glyphs: Vec<KrillaGlyph>,
    /// How wide it is, in sizes of the font.
    pub(super) width: f32,
}

/// A line, its runs from left to right.
pub(super) struct Line {
    pub(super) runs: Vec<Run>,
    /// How wide it is, in sizes of the font.
    pub(super) width: f32,
}

impl Typeface {
    pub(super) fn read(data: &'static [u8]) -> Result<Self, DocumentError> {
        let font = Font::new(data.into(), 0).ok_or(DocumentError::Font)?;
        let face = Face::from_slice(data, 0).ok_or(DocumentError::Font)?;
        let units_per_em =
            u16::try_from(face.units_per_em()).map(f32::from).map_err(|_| DocumentError::Font)?;
        Ok(Self { font, face, units_per_em })
    }

    pub(super) fn font(&self) -> Font {
        self.font.clone()
    }

    /// Returns where letters that are drawn apart from those before them begin, in bytes.
    pub(super) fn clusters(&self, text: &str) -> Vec<usize> {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        let shaped = rustybuzz::shape(&self.face, &[], buffer);
        let mut starts: Vec<usize> = shaped.glyph_infos().iter().map(start_of).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    /// Shapes a line of one paragraph.
    pub(super) fn line(&self, text: &str, is_rtl: bool) -> Line {
        let base = if is_rtl { Level::rtl() } else { Level::ltr() };
        let info = BidiInfo::new(text, Some(base));
        let mut line = Line { runs: Vec::new(), width: 0.0 };
        for paragraph in &info.paragraphs {
            let (levels, runs) = info.visual_runs(paragraph, paragraph.range.clone());
            for range in runs {
                let is_rtl = levels.get(range.start).is_some_and(|level| level.is_rtl());
                let Some(part) = text.get(range) else { continue };
                let run = self.shape(&part.replace(MARKS, ""), is_rtl);
                line.width += run.width;
                line.runs.push(run);
            }
        }
        line
    }

    fn shape(&self, text: &str, is_rtl: bool) -> Run {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        buffer.set_direction(if is_rtl { Direction::RightToLeft } else { Direction::LeftToRight });
        let shaped = rustybuzz::shape(&self.face, &[], buffer);
        let clusters: Vec<usize> = shaped.glyph_infos().iter().map(start_of).collect();
        let em = |units: i32| i16::try_from(units).map_or(0.0, f32::from) / self.units_per_em;
        let mut run = Run { text: text.to_owned(), glyphs: Vec::new(), width: 0.0 };
        for ((info, position), start) in
            shaped.glyph_infos().iter().zip(shaped.glyph_positions()).zip(&clusters)
        {
            let end = clusters.iter().copied().filter(|other| other > start).min().unwrap_or(text.len());
            run.width += em(position.x_advance);
            run.glyphs.push(KrillaGlyph::new(
                GlyphId::new(info.glyph_id),
                em(position.x_advance),
                em(position.x_offset),
                em(position.y_offset),
                em(position.y_advance),
                *start..end,
                None,
            ));
        }
        run
    }
}

fn start_of(info: &GlyphInfo) -> usize {
    usize::try_from(info.cluster).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face() -> Typeface {
        Typeface::read(dejavu::sans::regular()).unwrap()
    }

    fn texts(line: &Line) -> Vec<&str> {
        line.runs.iter().map(|run| run.text.as_str()).collect()
    }

    #[test]
    fn arabic_letters_join_and_run_from_right_to_left() {
        let face = face();
        let word = face.line("بيت", true);
        let alone: Vec<GlyphId> =
            ["ب", "ي", "ت"].iter().map(|letter| glyph(&face.line(letter, true), 0)).collect();
        let drawn: Vec<GlyphId> = (0..word.runs[0].glyphs.len()).map(|at| glyph(&word, at)).collect();
        // The last letter stands first on the page, and none of the three has the form that it has alone.
        assert_eq!(drawn.len(), 3);
        assert!(
            drawn.iter().zip(alone.iter().rev()).all(|(drawn, alone)| drawn != alone),
            "{drawn:?} {alone:?}"
        );
        assert!(drawn.iter().all(|glyph| *glyph != GlyphId::new(0)));
    }

    #[test]
    fn numbers_in_arabic_keep_their_own_direction() {
        let line = face().line("رقم INV-2026", true);
        assert_eq!(texts(&line), ["INV-2026", "رقم "]);
        let line = face().line(&format!("في {}", isolated("2026-06-01")), true);
        assert_eq!(texts(&line).concat(), "2026-06-01في ");
        let line = face().line(&on_its_own("+963 11 2310000"), true);
        assert_eq!(texts(&line).concat(), "+963 11 2310000");
        for (text, drawn) in [
            ("هاتف: +963 11 2310000", "+963 11 2310000هاتف: "),
            ("هاتف (011) 231-0000 فاكس 0112310001", "0112310001 فاكس (011) 231-0000هاتف "),
            ("+963 11 2310000 هاتف", " هاتف+963 11 2310000"),
            // Neither two numbers nor what stands in Latin words.
            ("شارع 5 10115", "10115 5شارع "),
            ("حساب DE02 1203 0000", "DE02 1203 0000حساب "),
        ] {
            let line = face().line(&on_its_own(text), true);
            assert_eq!(texts(&line).concat(), drawn, "{text}");
        }
        let line = face().line("No. بيت 7", false);
        assert_eq!(texts(&line), ["No. ", "7", "بيت "].map(str::to_owned));
    }

    fn glyph(line: &Line, at: usize) -> GlyphId {
        krilla::text::Glyph::glyph_id(&line.runs[0].glyphs[at])
    }
}
