//! Folds names and identifiers so that they are found as people type them.
//!
//! Latin, Greek and Cyrillic lose case and accents; Arabic loses its vowel marks and tatweel, and the forms of
//! alef, ya, ta marbuta and hamza become one; Hebrew loses its points and final forms; digits of every script
//! become ASCII. Scripts that are written without spaces are searched from every character on.
//!
//! **Invariant:** pure functions; what was folded once folds to itself.

use std::collections::BTreeSet;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The most characters of a word that are indexed and compared.
const MAX_WORD: usize = 40;
/// The most words that one person's names give to the index.
const MAX_INDEX_WORDS: usize = 64;
/// The most words of a query that are looked at.
const MAX_QUERY_WORDS: usize = 6;

/// Folds a text: its words, folded, with one space between them.
pub fn fold(text: &str) -> String {
    words(text).join(" ")
}

/// Splits a text into its folded words.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.nfkd().flat_map(char::to_lowercase).flat_map(|c| c.nfkd_chars()) {
        match fold_char(c) {
            Folded::Dropped => {}
            Folded::Kept(c) => word.push(c),
            Folded::Several(text) => word.push_str(text),
            Folded::Separator => finish(&mut word, &mut words),
        }
    }
    finish(&mut word, &mut words);
    words
}

/// Lists what a person's names give to the index: each word, its spellings, and neighbours written together.
///
/// "O'Brien" is found as `o brien` and as `obrien`, "Müller" as `muller` and as `mueller`, "عبد الله" also in
/// one word, "الحسن" also without its article, "王小明" from any of its characters on.
pub fn index_tokens<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut tokens = BTreeSet::new();
    for name in names {
        for words in [words(name), words(&expanded(name))] {
            for pair in words.windows(2) {
                tokens.insert(shortened(&pair.concat()));
            }
            for word in words {
                tokens.extend(inner_words(&word));
                tokens.insert(word);
            }
        }
    }
    tokens.into_iter().take(MAX_INDEX_WORDS).collect()
}

/// Splits a query into its words; each is a list of spellings of which one has to begin an indexed word.
pub fn query_words(query: &str) -> Vec<Vec<String>> {
    let spellings = words(query).into_iter().zip(words(&expanded(query)));
    spellings
        .map(|(plain, expanded)| if plain == expanded { vec![plain] } else { vec![plain, expanded] })
        .take(MAX_QUERY_WORDS)
        .collect()
}

/// Returns the first text, in the order of code points, after all that begin with the prefix; `None` when
/// there is no such text.
pub fn prefix_end(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The range type knows the gap where the surrogates are.
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

/// Turns the decimal digits of every script that clinics type into ASCII and leaves the rest as it is.
pub fn ascii_digits(text: &str) -> String {
    text.chars().map(|c| ascii_digit(c).unwrap_or(c)).collect()
}

/// Folds the value of an identifier: letters in capitals, digits in ASCII, no spaces, dots, slashes, dashes.
pub fn identifier(value: &str) -> String {
    value
        .nfkc()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_uppercase)
        .map(|c| ascii_digit(c).unwrap_or(c))
        .collect()
}

/// Tidies what was typed as a name: composed characters, no marks of text direction, single spaces.
pub fn tidy(text: &str) -> String {
    let kept: String = text.nfc().filter(|c| !is_direction_mark(*c)).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

enum Folded {
    Dropped,
    Kept(char),
    Several(&'static str),
    Separator,
}

fn fold_char(c: char) -> Folded {
    match c {
        // Accents of Latin, Greek and Cyrillic; points of Hebrew; vowel marks and Koranic signs of Arabic.
        '\u{0300}'..='\u{036F}'
        | '\u{0483}'..='\u{0489}'
        | '\u{0591}'..='\u{05BD}'
        | '\u{05BF}'
        | '\u{05C1}'..='\u{05C2}'
        | '\u{05C4}'..='\u{05C5}'
        | '\u{05C7}'
        | '\u{0610}'..='\u{061A}'
        | '\u{064B}'..='\u{065F}'
        | '\u{0670}'
        | '\u{06D6}'..='\u{06DC}'
        | '\u{06DF}'..='\u{06E8}'
        | '\u{06EA}'..='\u{06ED}'
        | '\u{0711}'
        | '\u{0730}'..='\u{074A}'
        | '\u{1AB0}'..='\u{1AFF}'
        | '\u{1DC0}'..='\u{1DFF}'
        | '\u{20D0}'..='\u{20F0}'
        | '\u{FE20}'..='\u{FE2F}' => Folded::Dropped,
        // Tatweel, a hamza on its own, letters of transliteration that stand for it, what can't be seen.
        '\u{0640}' | 'ء' | 'ʼ' | 'ʾ' | 'ʿ' | 'ʻ' | 'ˈ' | '\u{00AD}' | '\u{200B}' | '\u{200D}' => {
            Folded::Dropped
        }
        c if is_direction_mark(c) => Folded::Dropped,
        'ٱ' | 'ٲ' | 'ٳ' => Folded::Kept('ا'),
        'ى' | 'ی' | 'ې' | 'ے' => Folded::Kept('ي'),
        'ة' | 'ۃ' | 'ۀ' | 'ە' | 'ہ' | 'ھ' => Folded::Kept('ه'),
        'ک' | 'ڪ' => Folded::Kept('ك'),
        'ך' => Folded::Kept('כ'),
        'ם' => Folded::Kept('מ'),
        'ן' => Folded::Kept('נ'),
        'ף' => Folded::Kept('פ'),
        'ץ' => Folded::Kept('צ'),
        'ς' => Folded::Kept('σ'),
        'ґ' => Folded::Kept('г'),
        'ı' => Folded::Kept('i'),
        'ø' => Folded::Kept('o'),
        'ł' => Folded::Kept('l'),
        'đ' | 'ð' => Folded::Kept('d'),
        'ħ' => Folded::Kept('h'),
        'ŧ' => Folded::Kept('t'),
        'ŋ' => Folded::Kept('n'),
        'ə' => Folded::Kept('e'),
        'ß' => Folded::Several("ss"),
        'æ' => Folded::Several("ae"),
        'œ' => Folded::Several("oe"),
        'þ' => Folded::Several("th"),
        'ĳ' => Folded::Several("ij"),
        c => match ascii_digit(c) {
            Some(digit) => Folded::Kept(digit),
            None if c.is_alphanumeric() || is_combining_mark(c) => Folded::Kept(c),
            None => Folded::Separator,
        },
    }
}

/// Ends a word: composes what is left of it again, so that Hangul and kana stay whole.
fn finish(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(shortened(&word.nfc().collect::<String>()));
        word.clear();
    }
}

fn shortened(word: &str) -> String {
    word.chars().take(MAX_WORD).collect()
}

/// Writes letters that some languages replace by two out as those two.
fn expanded(text: &str) -> String {
    let mut expanded = String::with_capacity(text.len());
    for c in text.nfc().flat_map(char::to_lowercase) {
        match c {
            'ä' => expanded.push_str("ae"),
            'ö' | 'ø' => expanded.push_str("oe"),
            'ü' => expanded.push_str("ue"),
            'å' => expanded.push_str("aa"),
            other => expanded.push(other),
        }
    }
    expanded
}

/// What of a word should be found as if it were a word.
fn inner_words(word: &str) -> Vec<String> {
    if let Some(rest) = word.strip_prefix("ال").filter(|rest| rest.chars().nth(1).is_some()) {
        return vec![rest.to_owned()];
    }
    if !word.chars().any(is_written_without_spaces) {
        return Vec::new();
    }
    word.char_indices().skip(1).filter_map(|(at, _)| word.get(at..)).map(str::to_owned).collect()
}

/// Han, kana, Thai, Lao, Burmese and Khmer; Hangul too, where a family name stands right before the given one.
fn is_written_without_spaces(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{3040}'..='\u{30FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{323AF}')
}

/// Tells whether nothing is seen of a character by itself: a space, or one that is ignored when it can't be shown
/// (Unicode's `Default_Ignorable_Code_Point`), or the blank of Braille.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}')
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

fn ascii_digit(c: char) -> Option<char> {
    // The zeros of the scripts whose digits clinics type; the nine others follow each of them.
    const ZEROS: [char; 10] = ['0', '٠', '۰', '߀', '०', '০', '๐', '໐', '၀', '０'];
    let code = u32::from(c);
    ZEROS
        .into_iter()
        .find_map(|zero| code.checked_sub(u32::from(zero)).filter(|value| *value < 10))
        .and_then(|value| char::from_digit(value, 10))
}

/// Decomposes one character, for letters whose lower case is a composed one.
trait Decompose {
    fn nfkd_chars(self) -> impl Iterator<Item = char>;
}

impl Decompose for char {
    fn nfkd_chars(self) -> impl Iterator<Item = char> {
        std::iter::once(self).nfkd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fold_as_people_type_them() {
        let check = |text: &str, expected: &str| {
            assert_eq!(fold(text), expected, "{text}");
            assert_eq!(fold(expected), expected, "{text} is not stable");
        };
        // Latin
        check("  José  MARÍA ", "jose maria");
        check("Straße", "strasse");
        check("GROẞ", "gross");
        check("İpek Işık", "ipek isik");
        check("Ærøskøbing", "aeroskobing");
        check("Łukasz Đorđević", "lukasz dordevic");
        check("Nguyễn Thị Hằng", "nguyen thi hang");
        check("O'Brien-Smith", "o brien smith");
        check("Saʿid ʾAbd", "said abd");
        check("ﬁancé Ｆｕｌｌ", "fiance full");
        // Arabic: marks and tatweel, alef, ya, ta marbuta, hamza, digits
        check("مُحَمَّد", "محمد");
        check("محـــمد", "محمد");
        check("أحمد", "احمد");
        check("إبراهيم", "ابراهيم");
        check("آمنة", "امنه");
        check("ٱلرحمن", "الرحمن");
        check("مصطفى", "مصطفي");
        check("فاطمة", "فاطمه");
        check("مؤمن رائد", "مومن رايد");
        check("علاء", "علا");
        check("علی‌رضا کریمی", "علي رضا كريمي");
        check("شارع ١٢٣ ۴۵۶", "شارع 123 456");
        check("ﻻﻳﻦ", "لاين");
        check("\u{202B}ليلى\u{202C}", "ليلي");
        // Cyrillic, Greek, Hebrew
        check("Алёна Ёлкина", "алена елкина");
        check("Ґалаґан Їжак", "галаган іжак");
        check("Ὀδυσσεύς ΓΙΏΡΓΟΣ", "οδυσσευσ γιωργοσ");
        check("שָׁלוֹם", "שלומ");
        // No spaces
        check("王小明", "王小明");
        check("やまだ", "やまだ");
        check("ガブリエル", "ガブリエル");
        check("김민준", "김민준");
        check("สมชาย", "สมชาย");
        // Indic vowel signs stay
        check("हिन्दी १२", "हिन्दी 12");
        check("!?… —", "");
        check("", "");
    }

    #[test]
    fn a_query_word_begins_an_indexed_word() {
        let check = |name: &str, query: &str, expected: bool| {
            let tokens = index_tokens([name]);
            let found = query_words(query).iter().all(|spellings| {
                spellings.iter().any(|s| tokens.iter().any(|token| token.starts_with(s.as_str())))
            });
            assert_eq!(found, expected, "{query} in {name}");
        };
        check("Müller", "muell", true);
        check("Müller", "Mull", true);
        check("Mueller", "Müller", true);
        check("Muller", "Müller", true);
        check("Sørensen", "soerensen", true);
        check("O'Brien", "obrien", true);
        check("O'Brien", "brien", true);
        check("O’Brien", "O'Brien", true);
        check("Jean-Luc", "jeanluc", true);
        check("Jean Luc Picard", "picard jean", true);
        check("Jean Luc Picard", "picard john", false);
        check("عبد الله", "عبدالله", true);
        check("الحسن", "حسن", true);
        check("الحسن", "الحس", true);
        check("王小明", "小明", true);
        check("王小明", "王", true);
        check("王小明", "大", false);
        check("김민준", "민준", true);
        check("Иванов", "иван", true);
    }

    #[test]
    fn the_end_of_a_prefix_comes_right_after_it() {
        let check = |prefix: &str, expected: Option<&str>| {
            assert_eq!(prefix_end(prefix).as_deref(), expected, "{prefix:?}");
        };
        check("abc", Some("abd"));
        check("a\u{10FFFF}", Some("b"));
        check("\u{D7FF}", Some("\u{E000}"));
        check("\u{10FFFF}", None);
        check("", None);
        check("محمد", Some("محمذ"));
    }

    #[test]
    fn identifiers_fold_to_letters_and_digits() {
        let check = |value: &str, expected: &str| assert_eq!(identifier(value), expected, "{value}");
        check(" a-12.3/4 b ", "A1234B");
        check("١٢٣٤٥٦", "123456");
        check("۱۲۳", "123");
        check("---", "");
    }

    #[test]
    fn names_are_tidied_and_not_changed() {
        assert_eq!(tidy("  Anna\u{200F}  Maria\t"), "Anna Maria");
        assert_eq!(tidy("Jose\u{301}"), "José");
    }

    #[test]
    fn long_and_strange_texts_stay_bounded() {
        assert_eq!(words(&"x".repeat(10_000)), ["x".repeat(MAX_WORD)]);
        assert_eq!(query_words(&"a ".repeat(100)).len(), MAX_QUERY_WORDS);
        assert!(index_tokens([&*"王".repeat(500)]).len() <= MAX_INDEX_WORDS);
        assert!(words("\u{0}\u{FFFF}\u{10FFFF}").is_empty());
    }
}
