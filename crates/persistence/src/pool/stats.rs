//! What a pool counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::cluster::PoolStats;

#[derive(Default)]
pub(crate) struct Stats {
    in_use: AtomicU64,
    closing: AtomicU64,
    waiting: AtomicU64,
    waits: AtomicU64,
    acquire_timeouts: AtomicU64,
    opened: AtomicU64,
    tag_hits: AtomicU64,
    switches: AtomicU64,
    discarded: AtomicU64,
    retired: AtomicU64,
}

impl Stats {
    pub(super) fn taken(&self) {
        self.in_use.fetch_add(1, Relaxed);
    }

    pub(super) fn returned(&self) {
        self.in_use.fetch_sub(1, Relaxed);
    }

    pub(super) fn discarded(&self) {
        self.in_use.fetch_sub(1, Relaxed);
        self.discarded.fetch_add(1, Relaxed);
    }

    pub(super) fn closing(&self) {
        self.closing.fetch_add(1, Relaxed);
    }

    pub(super) fn closed(&self) {
        self.closing.fetch_sub(1, Relaxed);
    }

    pub(super) fn acquire_timed_out(&self) {
        self.acquire_timeouts.fetch_add(1, Relaxed);
    }

    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    pub(super) fn tag_hit(&self) {
        self.tag_hits.fetch_add(1, Relaxed);
    }

    pub(super) fn switched(&self) {
        self.switches.fetch_add(1, Relaxed);
    }

    pub(super) fn retired(&self) {
        self.retired.fetch_add(1, Relaxed);
    }

    /// Counts somebody as waiting for as long as the guard lives.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.waits.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
        Waiting(self)
    }

    pub(super) fn figures(&self, idle: u64) -> PoolStats {
        PoolStats {
            in_use: self.in_use.load(Relaxed),
            idle,
            closing: self.closing.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            waits: self.waits.load(Relaxed),
            acquire_timeouts: self.acquire_timeouts.load(Relaxed),
            opened: self.opened.load(Relaxed),
            tag_hits: self.tag_hits.load(Relaxed),
            switches: self.switches.load(Relaxed),
            discarded: self.discarded.load(Relaxed),
            retired: self.retired.load(Relaxed),
        }
    }
}

pub(super) struct Waiting<'a>(&'a Stats);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
