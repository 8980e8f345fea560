//! What a command says: tables for people, JSON for programs, one line for an error.

use std::{
    io::{BufRead, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::{config::ConfigError, said::Said};

/// How many columns a terminal is taken to have that does not know.
const FALLBACK_WIDTH: u16 = 120;
/// How long after one line about the progress another one may follow.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done: exit code 0.
    Done,
    /// Something was done and something was not: exit code 3.
    Partly,
}

/// A command that failed.
#[derive(Debug)]
pub struct Failed {
    /// 1 failed, 2 wrong usage.
    pub code: u8,
    /// What happened and what to do next, with its causes.
    pub error: anyhow::Error,
}

impl Failed {
    /// The caller said something wrong: exit code 2.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 2, error: error.into() }
    }

    /// A sentence as a failure: exit code 1.
    pub fn message(text: impl Into<String>) -> Self {
        Self { code: 1, error: anyhow::Error::msg(text.into()) }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        let error = error.into();
        let is_usage = error.downcast_ref::<Said>().is_some_and(|said| said.is_usage)
            || error.downcast_ref::<ConfigError>().is_some();
        Self { code: if is_usage { 2 } else { 1 }, error }
    }
}

/// Where a command's results go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Makes one for people or, with `json`, for programs.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Tells whether it is for programs.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Tells whether a person at a terminal can answer.
    pub fn is_interactive(&self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Prints text as it stands. A reader that has gone away is no error.
    pub fn text(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints a line for people that a program does not want.
    pub fn note(&self, text: &str) {
        if !self.json {
            self.text(&format!("{text}\n"));
        }
    }

    /// Prints a line about how far the work is, on the error stream.
    pub fn progress(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Asks for a word before something is destroyed for good; `what` says what, as a sentence without its end.
    ///
    /// # Errors
    /// Nobody can be asked: wrong usage, which names `--yes`; another word was typed.
    pub fn confirm(&self, what: &str, name: &str, word: &str) -> Result<(), Failed> {
        if !self.is_interactive() {
            return Err(Failed::usage(anyhow::anyhow!(
                "{what} for good; say --yes when there is nobody to ask"
            )));
        }
        self.progress(&format!("Beware: {what} for good. Type {name} to go on:"));
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        if line.trim() == word {
            Ok(())
        } else {
            Err(Failed::message(format!("that is not {name}; nothing was changed")))
        }
    }

    /// Prints one thing: as JSON, or as lines of names and values.
    pub fn one<T: Serialize>(&self, value: &T) {
        let json = serde_json::to_value(value).unwrap_or_default();
        if self.json {
            return self.text(&format!("{json:#}\n"));
        }
        let mut table = table(&[]);
        for (name, value) in json.as_object().into_iter().flatten() {
            table.add_row([name.clone(), cell(value)]);
        }
        self.text(&format!("{table}\n"));
    }

    /// Prints many things: as a JSON array, or as a table with these columns.
    pub fn many<T: Serialize>(&self, values: &[T], columns: &[&str]) {
        let json = serde_json::to_value(values).unwrap_or_default();
        if self.json {
            return self.text(&format!("{json:#}\n"));
        }
        let mut table = table(columns);
        for value in json.as_array().into_iter().flatten() {
            table.add_row(columns.iter().map(|column| cell(value.get(column).unwrap_or_default())));
        }
        self.text(&format!("{table}\n"));
    }
}

/// How far a long piece of work is: a bar on a terminal, a line now and then elsewhere, nothing for programs.
#[derive(Clone)]
pub struct Bar(Option<indicatif::ProgressBar>, Option<Lines>);

/// Where there is no terminal: a line for each tenth, and not more than one a second.
#[derive(Clone)]
struct Lines {
    what: &'static str,
    said: Arc<Mutex<LastLine>>,
}

#[derive(Clone, Copy)]
struct LastLine {
    tenth: u64,
    at: Instant,
}

impl Lines {
    fn new(what: &'static str) -> Self {
        Self { what, said: Arc::new(Mutex::new(LastLine { tenth: 0, at: Instant::now() })) }
    }

    /// Returns the line that is due.
    fn due(&self, done: u64, all: u64, now: Instant) -> Option<String> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let tenth = done.saturating_mul(10).checked_div(all).unwrap_or_default();
        if done >= all || tenth <= said.tenth || now.duration_since(said.at) < LINE_EVERY {
            return None;
        }
        *said = LastLine { tenth, at: now };
        Some(format!("{done} of {all} {}", self.what))
    }
}

impl Bar {
    /// One more is done. Work that has grown meanwhile is as long as what is done of it.
    pub fn step(&self) {
        let Some(bar) = &self.0 else { return };
        bar.inc(1);
        let all = bar.length().unwrap_or_default().max(bar.position());
        bar.set_length(all);
        let line = self.1.as_ref().and_then(|lines| lines.due(bar.position(), all, Instant::now()));
        if let Some(line) = line {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    /// All is done.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Output {
    /// Begins to show how far a piece of work of `length` parts is.
    pub fn bar(&self, length: usize, what: &'static str) -> Bar {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if self.json {
            Bar(None, None)
        } else if std::io::stderr().is_terminal() {
            Bar(Some(indicatif::ProgressBar::new(length).with_message(what)), None)
        } else {
            let bar = indicatif::ProgressBar::hidden();
            bar.set_length(length);
            Bar(Some(bar), Some(Lines::new(what)))
        }
    }
}

/// How far work is whose length is found out on the way.
pub struct Progress(Option<indicatif::ProgressBar>, &'static str, std::sync::atomic::AtomicU64);

impl Progress {
    /// So much of so much is done.
    pub fn reach(&self, done: u64, all: u64) {
        use std::sync::atomic::Ordering;
        let Some(bar) = &self.0 else { return };
        if !bar.is_hidden() {
            bar.set_length(all);
            bar.set_position(done);
            return;
        }
        let twentieth = done.saturating_mul(20).checked_div(all).unwrap_or_default();
        if twentieth > self.2.swap(twentieth, Ordering::Relaxed) && done < all {
            let _ = writeln!(std::io::stderr().lock(), "{done} of {all} {}", self.1);
        }
    }

    /// All is done.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Output {
    /// Begins to show how far work is whose length is found out on the way.
    pub fn progress_of(&self, what: &'static str) -> Progress {
        let bar = (!self.json).then(|| match std::io::stderr().is_terminal() {
            true => indicatif::ProgressBar::new(0).with_message(what),
            false => indicatif::ProgressBar::hidden(),
        });
        Progress(bar, what, std::sync::atomic::AtomicU64::new(0))
    }
}

fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    // Some terminals say that they have no columns.
    if table.width() == Some(0) {
        table.set_width(FALLBACK_WIDTH);
    }
    if !columns.is_empty() {
        table.set_header(columns.iter().map(|column| column.replace('_', " ")));
    }
    table
}

fn cell(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_line_for_each_tenth_and_none_sooner_than_a_second_later() {
        let lines = Lines::new("values");
        let start = Instant::now();
        let due = |done: u64, all: u64, after_ms: u64| {
            lines.due(done, all, start + Duration::from_millis(after_ms))
        };
        assert_eq!(due(30, 75, 500), None, "too soon");
        assert_eq!(due(31, 75, 1_500).as_deref(), Some("31 of 75 values"));
        assert_eq!(due(32, 75, 5_000), None, "the same tenth");
        assert_eq!(due(40, 75, 5_000).as_deref(), Some("40 of 75 values"));
        assert_eq!(due(75, 75, 9_000), None, "the result says that all is done");
    }

    #[test]
    fn work_that_grows_is_never_beyond_its_end() {
        let bar = indicatif::ProgressBar::hidden();
        bar.set_length(2);
        let bar = Bar(Some(bar), Some(Lines::new("values")));
        (0..5).for_each(|_| bar.step());
        let inner = bar.0.as_ref().unwrap();
        assert_eq!((inner.position(), inner.length()), (5, Some(5)));
    }
}
