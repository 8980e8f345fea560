//! ClinicX's program with one more module: every command of `clinicx`, and `orthodontics` among the modules.

use std::process::ExitCode;

use clinicx::{extension::Extensions, program};

fn main() -> ExitCode {
    program::run(Extensions::new([clinic::ORTHODONTICS]))
}
