//! The files of the page at `/docs`: Swagger UI, from the program itself.

use std::io::Read;

use actix_web::{
    HttpMessage, HttpRequest,
    http::header::{self, AcceptEncoding, ContentEncoding, Encoding},
};
use flate2::read::GzDecoder;

use crate::{error::ApiError, reply::Reply};

enum File {
    Plain(&'static str),
    /// Compressed by the build script.
    Gzip(&'static [u8]),
}

macro_rules! gzip {
    ($name:literal) => {
        File::Gzip(include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")))
    };
}

/// Answers with a file of the page; compressed, unless the client can't take that.
///
/// # Errors
/// Not found: the page has no such file.
pub(super) fn file(request: &HttpRequest, name: &str) -> Result<Reply, ApiError> {
    let (kind, file) = match name {
        "" | "index.html" => ("text/html; charset=utf-8", File::Plain(include_str!("index.html"))),
        "swagger-initializer.js" => {
            ("text/javascript; charset=utf-8", File::Plain(include_str!("swagger-initializer.js")))
        }
        "swagger-ui.css" => ("text/css; charset=utf-8", gzip!("swagger-ui.css")),
        "swagger-ui-bundle.js" => ("text/javascript; charset=utf-8", gzip!("swagger-ui-bundle.js")),
        "favicon-32x32.png" => ("image/png", gzip!("favicon-32x32.png")),
        _ => return Err(ApiError::not_found()),
    };
    let reply = match file {
        File::Plain(text) => Reply::content(kind, text),
        File::Gzip(bytes) if takes_gzip(request) => {
            Reply::content(kind, bytes).with_header(header::CONTENT_ENCODING, ContentEncoding::Gzip.as_str())
        }
        File::Gzip(bytes) => {
            let mut plain = Vec::new();
            GzDecoder::new(bytes).read_to_end(&mut plain).map_err(ApiError::internal)?;
            Reply::content(kind, plain)
        }
    };
    Ok(reply.with_header(header::VARY, header::ACCEPT_ENCODING.as_str()))
}

fn takes_gzip(request: &HttpRequest) -> bool {
    let accepted = request.get_header::<AcceptEncoding>();
    accepted.is_some_and(|accepted| accepted.negotiate([Encoding::gzip()].iter()) == Some(Encoding::gzip()))
}
