//! `clinicx openapi`: the document, without a database.

use super::{Failed, Outcome, Output};
use crate::{extension::Extensions, modules};

/// Prints the OpenAPI document.
///
/// # Errors
/// The operations do not fit together.
pub fn run(output: &Output, extensions: &Extensions) -> Result<Outcome, Failed> {
    let document = modules::openapi(extensions)?;
    output.text(&format!("{document:#}\n"));
    Ok(Outcome::Done)
}
