//! The program: reads its command line, carries it out, says how it ended.

use std::{io::Write, process::ExitCode};

use crate::{
    cli::{self, Cli, Outcome},
    extension::Extensions,
};
use clap::{Parser, error::ErrorKind};

/// Runs the program `clinicx`, with further modules or without, and returns its exit code: 0 done, 1 failed, 2 wrong
/// usage, 3 partly done.
pub fn run(extensions: Extensions) -> ExitCode {
    if clinicx_persistence::unaudited::IS_POSSIBLE {
        let error =
            anyhow::Error::msg("this was built for a benchmark that takes the audit away; it serves nobody");
        return fail(1, &error, false);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // What was asked for, or the list of what can be said.
        Err(error)
            if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            error.exit()
        }
        Err(error) => return fail(2, &anyhow::Error::msg(one_line(&error.render().to_string())), false),
    };
    let verbose = cli.global.verbose;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.into(), verbose),
    };
    let ended = runtime.block_on(cli::run(cli, extensions));
    // What still runs has nothing to say after the reason.
    drop(runtime);
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Partly) => ExitCode::from(3),
        Err(failed) => fail(failed.code, &failed.error, verbose),
    }
}

/// Prints one line, or with `-v` the whole chain of causes.
fn fail(code: u8, error: &anyhow::Error, verbose: bool) -> ExitCode {
    let mut err = std::io::stderr().lock();
    let text = if verbose { format!("{error:#}") } else { with_io_cause(error) };
    let _ = writeln!(err, "clinicx: {text}");
    ExitCode::from(code)
}

/// Says what happened; without what the system said of a file or a socket nobody could do anything about it.
fn with_io_cause(error: &anyhow::Error) -> String {
    let text = error.to_string();
    match error.chain().skip(1).find_map(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(cause) if !text.contains(&cause.to_string()) => format!("{text}: {cause}"),
        _ => text,
    }
}

/// Makes one line of what clap says about a wrong command line, with what to do next.
fn one_line(rendered: &str) -> String {
    let mut text = String::new();
    let mut help = "--help".to_owned();
    for line in rendered.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(usage) = line.strip_prefix("Usage: ") {
            let is_name = |word: &&str| word.starts_with(|first: char| first.is_ascii_alphabetic());
            let words: Vec<&str> = usage.split_whitespace().skip(1).take_while(is_name).collect();
            help = ["clinicx"].into_iter().chain(words).chain(["--help"]).collect::<Vec<_>>().join(" ");
            break;
        }
        if line.starts_with("For more information") {
            break;
        }
        match line.strip_prefix("tip: ") {
            Some(tip) => text.push_str(&format!("; {tip}")),
            None => text.push_str(&format!(" {}", line.strip_prefix("error: ").unwrap_or(line))),
        }
    }
    format!("{}; see `{help}`", text.trim())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_wrong_command_line_is_said_in_one_line() {
        let check = |arguments: &[&str], wanted: &str| {
            let all = ["clinicx"].iter().chain(arguments);
            let error = Cli::command().try_get_matches_from(all).unwrap_err();
            assert_eq!(one_line(&error.render().to_string()), wanted);
        };
        check(
            &["tenant", "lst"],
            "unrecognized subcommand 'lst'; a similar subcommand exists: 'list'; see `clinicx tenant --help`",
        );
        check(
            &["user", "grant", "a@b.example", "clinic1"],
            "the following required arguments were not provided: --role <ROLES>; see `clinicx user grant --help`",
        );
        check(
            &["tenant", "show", "UPPER"],
            "invalid value 'UPPER' for '<SLUG>': must match ^[a-z][a-z0-9]*(-[a-z0-9]+)*$; see `--help`",
        );
    }
}
