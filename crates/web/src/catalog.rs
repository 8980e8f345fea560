//! The words of problem documents, in every language that the service speaks.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use clinicx_types::lang::Language;
use serde::Deserialize;

const LANGUAGES: [Language; 3] = [Language::English, Language::German, Language::Arabic];

/// Why the words can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogDefect {
    /// The file is not TOML in the expected form.
    #[error("the texts in {language} are malformed")]
    Malformed {
        /// The language's tag.
        language: &'static str,
        /// What is wrong.
        #[source]
        source: toml::de::Error,
    },
    /// A code has no words in a language.
    #[error("the code {code} has no text in {language}")]
    Missing {
        /// The code.
        code: String,
        /// The language's tag.
        language: &'static str,
    },
    /// A code has no status, or one that does not exist.
    #[error("the code {code} has no valid status")]
    Status {
        /// The code.
        code: String,
    },
}

/// The status, titles and details of every known code.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    statuses: BTreeMap<String, StatusCode>,
    english: Texts,
    german: Texts,
    arabic: Texts,
}

#[derive(Clone, Debug, Default)]
struct Texts {
    problems: BTreeMap<String, Words>,
    fields: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    status: Option<u16>,
    title: String,
    detail: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    problems: BTreeMap<String, Words>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

impl Catalog {
    /// Reads the texts that the kit brings.
    ///
    /// # Errors
    /// [`CatalogDefect::Malformed`] or [`CatalogDefect::Status`].
    pub fn embedded() -> Result<Self, CatalogDefect> {
        let mut catalog = Self::default();
        catalog.add(Language::English, include_str!("../locales/en.toml"))?;
        catalog.add(Language::German, include_str!("../locales/de.toml"))?;
        catalog.add(Language::Arabic, include_str!("../locales/ar.toml"))?;
        Ok(catalog)
    }

    /// Adds texts in one language; the English ones say the status of each code.
    ///
    /// # Errors
    /// [`CatalogDefect::Malformed`] or [`CatalogDefect::Status`].
    pub fn add(&mut self, language: Language, toml: &str) -> Result<(), CatalogDefect> {
        let file: File = toml::from_str(toml)
            .map_err(|source| CatalogDefect::Malformed { language: language.tag(), source })?;
        if language == Language::English {
            for (code, words) in &file.problems {
                let status = words.status.and_then(|status| StatusCode::from_u16(status).ok());
                let status = status.ok_or_else(|| CatalogDefect::Status { code: code.clone() })?;
                self.statuses.insert(code.clone(), status);
            }
        }
        let texts = self.texts_mut(language);
        texts.problems.extend(file.problems);
        texts.fields.extend(file.fields);
        Ok(())
    }

    /// Checks that every code has words in every language.
    ///
    /// # Errors
    /// [`CatalogDefect::Missing`] for the first one that has not; [`CatalogDefect::Status`] for one that English
    /// does not know.
    pub fn check(&self) -> Result<(), CatalogDefect> {
        let codes: BTreeSet<&String> =
            LANGUAGES.iter().flat_map(|l| self.texts(*l).problems.keys()).collect();
        let fields: BTreeSet<&String> = LANGUAGES.iter().flat_map(|l| self.texts(*l).fields.keys()).collect();
        for language in LANGUAGES {
            let texts = self.texts(language);
            let missing = codes.iter().find(|code| !texts.problems.contains_key(**code));
            let missing = missing.or_else(|| fields.iter().find(|code| !texts.fields.contains_key(**code)));
            if let Some(code) = missing {
                return Err(CatalogDefect::Missing { code: (*code).clone(), language: language.tag() });
            }
        }
        Ok(())
    }

    /// Returns the codes of problems, in alphabetical order.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.statuses.keys().map(String::as_str)
    }

    /// Returns the status that goes with a code.
    pub fn status(&self, code: &str) -> Option<StatusCode> {
        self.statuses.get(code).copied()
    }

    /// Returns the title and the detail of a code; those of its status when the code is not known.
    pub fn words(&self, code: &str, status: StatusCode, language: Language) -> (&str, &str) {
        let problems = &self.texts(language).problems;
        let words = problems.get(code).or_else(|| problems.get(code_of(status)));
        words.map(|words| (words.title.as_str(), words.detail.as_str())).unwrap_or_default()
    }

    /// Returns what a field's code says in a language.
    pub fn field(&self, code: &str, language: Language) -> Option<&str> {
        self.texts(language).fields.get(code).map(String::as_str)
    }

    fn texts(&self, language: Language) -> &Texts {
        match language {
            Language::English => &self.english,
            Language::German => &self.german,
            Language::Arabic => &self.arabic,
        }
    }

    fn texts_mut(&mut self, language: Language) -> &mut Texts {
        match language {
            Language::English => &mut self.english,
            Language::German => &mut self.german,
            Language::Arabic => &mut self.arabic,
        }
    }
}

/// Returns the code that says no more than the status.
fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "unauthenticated",
        403 => "permission_denied",
        404 => "not_found",
        409 => "conflict",
        410 => "gone",
        412 => "version_mismatch",
        422 => "invalid",
        429 => "throttled",
        503 => "unavailable",
        504 => "timeout",
        400..=499 => "malformed",
        _ => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_words_in_every_language() {
        let catalog = Catalog::embedded().unwrap();
        catalog.check().unwrap();
        for language in LANGUAGES {
            for code in catalog.codes() {
                let words = &catalog.texts(language).problems[code];
                assert!(!words.title.is_empty() && !words.detail.is_empty(), "{code} in {}", language.tag());
            }
        }
        for status in [400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422, 428, 429, 500, 503, 504] {
            assert!(catalog.status(code_of(StatusCode::from_u16(status).unwrap())).is_some(), "{status}");
        }
    }

    #[test]
    fn a_code_that_one_language_lacks_is_found() {
        let mut catalog = Catalog::embedded().unwrap();
        catalog.add(Language::English, "[problems.x]\nstatus = 409\ntitle = 'X'\ndetail = 'x'").unwrap();
        assert!(matches!(catalog.check(), Err(CatalogDefect::Missing { code, .. }) if code == "x"));
        let without_status = catalog.add(Language::English, "[problems.y]\ntitle = 'Y'\ndetail = 'y'");
        assert!(matches!(without_status, Err(CatalogDefect::Status { code }) if code == "y"));
    }
}
