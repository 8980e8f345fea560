//! The program `clinicx`.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use clinicx::cli::{self, Cli, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let verbose = cli.global.verbose;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error.into(), verbose),
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Partly) => ExitCode::from(3),
        Err(failed) => fail(failed.code, &failed.error, verbose),
    }
}

/// Prints one line, or with `-v` the whole chain of causes.
fn fail(code: u8, error: &anyhow::Error, verbose: bool) -> ExitCode {
    let mut err = std::io::stderr().lock();
    let text = if verbose { format!("{error:#}") } else { error.to_string() };
    let _ = writeln!(err, "clinicx: {text}");
    ExitCode::from(code)
}
