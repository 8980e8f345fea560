//! What is read often and changes seldom: kept for two seconds, and longer while the database is away.

use std::{fmt, future::Future, hash::Hash, sync::Arc, time::Duration};

use moka::future::Cache;

use crate::error::TenancyError;

/// How long a value is kept. What another process changes is seen after this at the latest.
const TIME_TO_LIVE: Duration = Duration::from_secs(2);

/// Values by key. Of many who ask at once for what is not kept, one goes to the database.
pub(crate) struct Kept<K, V> {
    fresh: Cache<K, Arc<V>>,
    /// What the database said last, for as long as it says nothing.
    last: Cache<K, Arc<V>>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Send + Sync + 'static> Kept<K, V> {
    /// Keeps at most so many values.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            fresh: Cache::builder().max_capacity(capacity).time_to_live(TIME_TO_LIVE).build(),
            last: Cache::new(capacity),
        }
    }

    /// Returns a value; while it can't be read the last one, if there was one.
    pub(crate) async fn get(
        &self,
        key: K,
        read: impl Future<Output = Result<V, TenancyError>>,
    ) -> Option<Arc<V>> {
        let look_up = async {
            let found = Arc::new(read.await?);
            self.last.insert(key.clone(), Arc::clone(&found)).await;
            Ok::<_, TenancyError>(found)
        };
        match self.fresh.try_get_with(key.clone(), look_up).await {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::warn!(%error, "settings can't be read; the last ones count");
                self.last.get(&key).await
            }
        }
    }

    /// Forgets everything that is fresh, so that this process sees its change at once.
    pub(crate) fn forget(&self) {
        self.fresh.invalidate_all();
    }
}

impl<K, V> fmt::Debug for Kept<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept(..)")
    }
}
