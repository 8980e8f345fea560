//! Content that comes bit by bit, such as server-sent events.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};

/// The content of an answer as it comes; it can be taken once.
#[derive(Clone)]
pub(crate) struct Flow(Arc<Mutex<Option<BoxStream<'static, Bytes>>>>);

impl Flow {
    pub(crate) fn new(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(stream.boxed()))))
    }

    pub(crate) fn take(&self) -> Option<BoxStream<'static, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flow(..)")
    }
}
