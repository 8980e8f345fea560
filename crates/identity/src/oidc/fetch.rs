//! Asking an issuer over HTTP: no redirect, no more bytes and no more time than an answer needs.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, redirect};

/// How long the connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the whole answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer; a key set with chains of certificates has some ten thousand bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Why an issuer could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the issuer can't be reached")]
    Unreachable,
    #[error("the issuer does not answer in time")]
    TimedOut,
    #[error("the issuer answered with status {0}")]
    Status(u16),
    #[error("the issuer's answer is too long")]
    TooLong,
    #[error("the issuer's answer is not what it must be")]
    Malformed,
}

impl FetchError {
    /// Returns the word for it in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Status(_) => "status",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
        }
    }
}

/// What an issuer answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// Makes the client for all issuers; `None` when the system has no TLS.
pub(crate) fn client() -> Option<Client> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("clinicx/", env!("CARGO_PKG_VERSION")));
    builder.build().ok()
}

/// Sends a request and reads the answer, whatever its status.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, FetchError> {
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

/// Reads a document; every status but 200 is an error.
pub(crate) async fn document(request: RequestBuilder) -> Result<Vec<u8>, FetchError> {
    let answer = send(request).await?;
    if answer.status == StatusCode::OK {
        Ok(answer.body)
    } else {
        Err(FetchError::Status(answer.status.as_u16()))
    }
}

/// The error's own text may show a URL with a code in it, so that only its kind is kept.
fn failed(error: reqwest::Error) -> FetchError {
    if error.is_timeout() { FetchError::TimedOut } else { FetchError::Unreachable }
}

/// Counts an answer or its absence.
pub(crate) fn count<T>(provider: &str, what: &'static str, result: &Result<T, FetchError>) {
    let outcome = result.as_ref().err().map_or("ok", |error| error.label());
    metrics::counter!(
        "clinicx_oidc_fetches_total", "provider" => provider.to_owned(), "what" => what, "outcome" => outcome
    )
    .increment(1);
}
