//! Takes from Swagger UI what the page at `/docs` loads, compressed as it is sent.

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, Cursor},
    path::PathBuf,
};

use flate2::{Compression, GzBuilder};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// The files of the distribution without which the page does not work.
const FILES: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut distribution = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let mut missing: Vec<&str> = FILES.to_vec();
    for index in 0..distribution.len() {
        let mut packed = distribution.by_index(index)?;
        let name = packed.name()?.into_owned();
        let Some(file) = FILES.into_iter().find(|file| name.ends_with(&format!("/dist/{file}"))) else {
            continue;
        };
        let kept = File::create(out.join(format!("{file}.gz")))?;
        let mut kept = GzBuilder::new().write(kept, Compression::best());
        io::copy(&mut packed, &mut kept)?;
        kept.finish()?;
        missing.retain(|wanted| *wanted != file);
    }
    if !missing.is_empty() {
        return Err(format!("Swagger UI has no {missing:?}").into());
    }
    Ok(())
}
