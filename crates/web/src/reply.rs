//! What a handler answers when all went well.

use actix_web::{
    http::{StatusCode, header},
    web::Bytes,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clinicx_types::{id::TenantId, page::Page};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{extract::List, stream::Flow};

/// An answer, before the kit adds what all answers have.
#[derive(Clone, Debug)]
#[must_use]
pub struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content: Content,
    pub(crate) etag: Option<String>,
    pub(crate) location: Option<Location>,
    pub(crate) headers: Vec<(header::HeaderName, String)>,
    /// The patients whom it shows.
    pub(crate) shown: Option<Vec<Uuid>>,
    /// The changes that its transaction has recorded: of each the patient whom it concerns.
    pub(crate) recorded: Vec<Option<Uuid>>,
    /// The tenant that it is about, when the token does not name it.
    pub(crate) concerns: Option<TenantId>,
}

/// Where a made thing is found.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    /// Below the base of the operation that made it.
    BelowBase(String),
    /// As it stands; it comes from a kept answer.
    Complete(String),
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Empty,
    Typed(String, Bytes),
    /// It comes bit by bit.
    Flowing(String, Flow),
    /// The value could not be written as JSON: a defect.
    Broken(String),
}

/// The member of a resource from which its ETag is made.
#[derive(Deserialize)]
struct Versioned {
    version: Option<i64>,
}

#[derive(Serialize)]
struct PageBody<'a, T> {
    items: &'a [T],
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

#[derive(Serialize)]
struct JobBody {
    job_id: Uuid,
}

impl Reply {
    /// Answers 200 with a value. A value with a `version` member is a resource and gets it as its ETag.
    pub fn ok<T: Serialize>(value: &T) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// Answers 201 with a value that is found at `location`, a path below the operation's base such as
    /// `/patients/<id>`.
    pub fn created<T: Serialize>(location: impl Into<String>, value: &T) -> Self {
        Self {
            location: Some(Location::BelowBase(location.into())),
            ..Self::json(StatusCode::CREATED, value)
        }
    }

    /// Answers 202: a job has been started, whose state is found at `location`.
    pub fn accepted(job_id: Uuid, location: impl Into<String>) -> Self {
        let body = JobBody { job_id };
        Self {
            location: Some(Location::BelowBase(location.into())),
            ..Self::json(StatusCode::ACCEPTED, &body)
        }
    }

    /// Answers 200 with a page of a list; its cursor is good for the same list, tenant and filter only.
    pub fn page<F, T: Serialize>(list: &List<F>, page: &Page<T>) -> Self {
        let next_cursor = page.next.as_ref().map(|key| list.seal.seal(key));
        Self::plain(StatusCode::OK, &PageBody { items: &page.items, next_cursor, total: page.total })
    }

    /// Answers 204.
    pub fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// Answers 200 with content that is no JSON, such as a calendar or a drawing.
    pub fn content(media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Typed(media_type.into(), bytes.into()), ..Self::empty(StatusCode::OK) }
    }

    /// Answers 200 with content that comes bit by bit, such as server-sent events. The deadline of requests ends with
    /// its first byte: the stream must end by itself, soon after the service begins to stop too.
    pub fn streaming(
        media_type: impl Into<String>,
        stream: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Self {
        Self {
            content: Content::Flowing(media_type.into(), Flow::new(stream)),
            ..Self::empty(StatusCode::OK)
        }
    }

    /// Answers a value with another status than the usual ones.
    pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        let reply = Self::plain(status, value);
        let version = match &reply.content {
            Content::Typed(_, bytes) => serde_json::from_slice::<Versioned>(bytes).ok(),
            _ => None,
        };
        match version.and_then(|found| found.version) {
            Some(version) => reply.with_version(version),
            None => reply,
        }
    }

    /// Answers a value that has no version of its own.
    fn plain<T: Serialize>(status: StatusCode, value: &T) -> Self {
        let content = match serde_json::to_vec(value) {
            Ok(bytes) => Content::Typed("application/json".to_owned(), bytes.into()),
            Err(error) => Content::Broken(error.to_string()),
        };
        Self { content, ..Self::empty(status) }
    }

    /// Changes the status, such as to 503 for a readiness report that is bad.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Sets the version of the resource, for content that doesn't carry it.
    pub fn with_version(self, version: i64) -> Self {
        Self { etag: Some(format!("\"{version}\"")), ..self }
    }

    /// Makes the ETag from the content, for what has no version, or more than its version in it.
    pub fn with_digest(self) -> Self {
        let Content::Typed(_, bytes) = &self.content else { return self };
        let etag = Some(format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))));
        Self { etag, ..self }
    }

    /// Adds a header.
    pub fn with_header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Says which patients it shows, for the audit; see
    /// [`Operation::shows_patients`](crate::Operation::shows_patients).
    pub fn showing(self, patients: impl IntoIterator<Item = impl Into<Uuid>>) -> Self {
        let mut patients: Vec<Uuid> = patients.into_iter().map(Into::into).collect();
        patients.sort_unstable();
        patients.dedup();
        Self { shown: Some(patients), ..self }
    }

    /// Says which tenant it is about, for the audit of an operator's read.
    pub fn concerning(self, tenant: TenantId) -> Self {
        Self { concerns: Some(tenant), ..self }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Says which changes its transaction has recorded.
    pub(crate) fn after(self, recorded: Vec<Option<Uuid>>) -> Self {
        Self { recorded, ..self }
    }

    /// Returns the patients whom it shows and whom none of the recorded changes concerns.
    pub(crate) fn unrecorded(&self) -> Vec<Uuid> {
        let shown = self.shown.iter().flatten().copied();
        shown.filter(|patient| !self.recorded.contains(&Some(*patient))).collect()
    }

    fn empty(status: StatusCode) -> Self {
        Self {
            status,
            content: Content::Empty,
            etag: None,
            location: None,
            headers: Vec::new(),
            shown: None,
            recorded: Vec::new(),
            concerns: None,
        }
    }
}
