//! The program `clinicx`.

use std::process::ExitCode;

use clinicx::{extension::Extensions, program};

fn main() -> ExitCode {
    program::run(Extensions::default())
}
