//! The languages in which the service speaks to people.

/// A language that the service has texts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English, the default.
    #[default]
    English,
    /// Arabic.
    Arabic,
    /// German.
    German,
}

impl Language {
    /// Returns the language's BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Arabic => "ar",
            Self::German => "de",
        }
    }

    /// Picks the language that an `Accept-Language` header prefers most (RFC 9110 section 12.5.4).
    pub fn negotiate(accept_language: &str) -> Self {
        let mut best: Option<(Self, f32)> = None;
        for range in accept_language.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let primary = tag.split('-').next().unwrap_or_default();
            let quality = parts
                .find_map(|part| part.trim().strip_prefix("q=").map(|q| q.parse().unwrap_or(0.0)))
                .unwrap_or(1.0_f32);
            let language = match primary {
                "en" | "*" => Self::English,
                "ar" => Self::Arabic,
                "de" => Self::German,
                _ => continue,
            };
            if quality > 0.0 && best.is_none_or(|(_, other)| quality > other) {
                best = Some((language, quality));
            }
        }
        best.map(|(language, _)| language).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn the_most_preferred_known_language_wins() {
        let check =
            |header: &str, expected: Language| assert_eq!(Language::negotiate(header), expected, "{header}");
        check("", Language::English);
        check("fr, de;q=0.5, en;q=0.4", Language::German);
        check("ar-SY", Language::Arabic);
        check("de;q=0, en;q=0.1", Language::English);
        check("de;q=x", Language::English);
    }
}
