//! Which statements a text has, and which of them may run.
//!
//! Nothing rests on where a text is taken apart: PostgreSQL refuses two statements that come as one.

use super::{ExecError, digest};

/// How a query begins.
pub const QUERIES: &[&str] = &["SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN"];
/// How the statements of a script begin.
pub const CHANGES: &[&str] =
    &["SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE", "LOCK"];

/// One statement that reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    text: String,
    digest: String,
    explains: bool,
}

impl Query {
    /// Reads a text that is one query; a semicolon may end it.
    ///
    /// # Errors
    /// [`ExecError::Empty`], [`ExecError::Several`], [`ExecError::NotAQuery`].
    pub fn parse(text: &str) -> Result<Self, ExecError> {
        let statements = split(text);
        let [statement] = statements[..] else {
            return Err(match statements.len() {
                0 => ExecError::Empty,
                several => ExecError::Several(several),
            });
        };
        let command = command(statement).to_uppercase();
        if !QUERIES.contains(&command.as_str()) {
            return Err(ExecError::NotAQuery(command));
        }
        Ok(Self { digest: digest(text), explains: command == "EXPLAIN", text: statement.to_owned() })
    }

    /// Returns the statement.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the SHA-256 of the text that was read, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Tells whether it asks for a plan, which can be no part of another query.
    pub(super) fn explains(&self) -> bool {
        self.explains
    }
}

/// Takes a text apart at the semicolons between its statements; what is only comments is none.
pub(super) fn split(text: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(';') {
            statements.push(text.get(start..at).unwrap_or_default());
            start = at + 1;
        }
        at += token(rest, text.get(..at).unwrap_or_default());
    }
    statements.push(text.get(start..).unwrap_or_default());
    statements.into_iter().map(str::trim).filter(|statement| !is_blank(statement)).collect()
}

/// Returns the first word of a statement, behind comments and opening parentheses.
pub(super) fn command(statement: &str) -> &str {
    let mut rest = statement;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        if !is_comment(rest) {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            return rest.get(..end).unwrap_or_default();
        }
        rest = rest.get(token(rest, "")..).unwrap_or_default();
    }
}

fn is_blank(statement: &str) -> bool {
    let mut rest = statement.trim_start();
    while is_comment(rest) {
        rest = rest.get(token(rest, "")..).unwrap_or_default().trim_start();
    }
    rest.is_empty()
}

fn is_comment(text: &str) -> bool {
    text.starts_with("--") || text.starts_with("/*")
}

/// Returns how many bytes belong together at the start of `rest`: a comment, something quoted, or one character.
/// `before` is what stands before it, which says what a quotation mark means.
fn token(rest: &str, before: &str) -> usize {
    let to_end = |length: Option<usize>| length.unwrap_or(rest.len());
    if let Some(comment) = rest.strip_prefix("--") {
        return to_end(comment.find('\n').map(|end| end + 3));
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    match rest.chars().next() {
        Some('\'') => quoted(rest, '\'', has_escapes(before)),
        Some('"') => quoted(rest, '"', false),
        Some('$') if !ends_in_a_name(before) => match dollar_tag(rest) {
            Some(tag) => {
                to_end(rest.get(tag.len()..).and_then(|body| body.find(tag)).map(|end| end + 2 * tag.len()))
            }
            None => 1,
        },
        first => first.map_or(1, char::len_utf8),
    }
}

/// Comments stand within one another.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(part) = rest.get(at..) {
        let (open, close) = (part.find("/*"), part.find("*/"));
        match (open, close) {
            (Some(open), close) if close.is_none_or(|close| open < close) => {
                depth += 1;
                at += open + 2;
            }
            (_, Some(close)) => {
                depth = depth.saturating_sub(1);
                at += close + 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => return rest.len(),
        }
    }
    rest.len()
}

/// A doubled mark is read as two quotations next to each other, which come to the same end.
fn quoted(rest: &str, mark: char, escapes: bool) -> usize {
    let mut is_escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if escapes => is_escaped = true,
            character if character == mark => return at + mark.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Tells whether a string has escapes with backslashes, by what stands before it: `E'…'`.
fn has_escapes(before: &str) -> bool {
    let mut last = before.chars().rev();
    matches!(last.next(), Some('e' | 'E')) && !last.next().is_some_and(is_of_a_name)
}

fn ends_in_a_name(before: &str) -> bool {
    before.chars().next_back().is_some_and(is_of_a_name)
}

fn is_of_a_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

/// Returns the mark of a string such as `$$…$$` or `$body$…$body$`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let name = rest.strip_prefix('$')?;
    let end = name.find('$')?;
    let name = name.get(..end)?;
    let fits = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    rest.get(..end + 2).filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_between_its_statements() {
        let check = |text: &str, expected: &[&str]| assert_eq!(split(text), expected, "{text}");
        check("", &[]);
        check(" ;; -- nothing\n ; /* nothing; */", &[]);
        check("SELECT 1", &["SELECT 1"]);
        check("SELECT 1; SELECT 2;", &["SELECT 1", "SELECT 2"]);
        check("SELECT ';'; SELECT 2", &["SELECT ';'", "SELECT 2"]);
        check("SELECT 'it''s;'; SELECT 2", &["SELECT 'it''s;'", "SELECT 2"]);
        check(r"SELECT E'\';'; SELECT 2", &[r"SELECT E'\';'", "SELECT 2"]);
        check(r"SELECT '\'; SELECT 2", &[r"SELECT '\'", "SELECT 2"]);
        check(r"SELECT type'\'; SELECT 2", &[r"SELECT type'\'", "SELECT 2"]);
        check("SELECT \"a;\"\"b\"; SELECT 2", &["SELECT \"a;\"\"b\"", "SELECT 2"]);
        check("SELECT $$;$$; SELECT 2", &["SELECT $$;$$", "SELECT 2"]);
        check("SELECT $a$;$$;$a$; SELECT 2", &["SELECT $a$;$$;$a$", "SELECT 2"]);
        check("SELECT a$b$ FROM x; SELECT $1", &["SELECT a$b$ FROM x", "SELECT $1"]);
        check("SELECT 1 -- ; '\n; SELECT 2", &["SELECT 1 -- ; '", "SELECT 2"]);
        check("SELECT /* ; /* ; */ ' */ 1; SELECT 2", &["SELECT /* ; /* ; */ ' */ 1", "SELECT 2"]);
        check("SELECT 'ü;'; SELECT 'ﷺ;", &["SELECT 'ü;'", "SELECT 'ﷺ;"]);
        check("SELECT /* open ; ", &["SELECT /* open ;"]);
        check("SELECT $x$ open ; ", &["SELECT $x$ open ;"]);
    }

    #[test]
    fn the_first_word_stands_behind_comments() {
        let check = |text: &str, expected: &str| assert_eq!(command(text), expected, "{text}");
        check("select(1)", "select");
        check("/* a /* b */ */ -- c\n ((TABLE x))", "TABLE");
        check("-- only", "");
        check("'x'", "");
    }

    #[test]
    fn a_query_is_one_statement_that_reads() {
        assert_eq!(Query::parse("SELECT 1; -- done").unwrap().text(), "SELECT 1");
        assert!(Query::parse("explain SELECT 1").unwrap().explains());
        assert_eq!(Query::parse(" ; "), Err(ExecError::Empty));
        assert_eq!(Query::parse("SELECT 1; COMMIT"), Err(ExecError::Several(2)));
        for text in [
            "COMMIT",
            "RESET ROLE",
            "SET ROLE x",
            "COPY x TO PROGRAM 'id'",
            "DO $$ BEGIN END $$",
            "DELETE FROM x",
            "CALL x()",
            "LOCK x",
            "\"SELECT\"",
        ] {
            assert!(matches!(Query::parse(text), Err(ExecError::NotAQuery(_))), "{text}");
        }
    }

    #[test]
    fn the_digest_is_of_the_whole_text() {
        let digest = Query::parse("SELECT 1").unwrap().digest().to_owned();
        assert_eq!(digest, "e004ebd5b5532a4b85984a62f8ad48a81aa3460c1ca07701f386135d72cdecf5");
        assert_ne!(digest, Query::parse("SELECT 1;").unwrap().digest());
    }
}
