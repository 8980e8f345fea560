//! Which connection a caller gets.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};

use super::{
    Idle, Pool,
    lease::{Connection, Hold, Lease},
    open::{Backend, OpenError, Opened},
    share::SharePermit,
};
use crate::{
    subject::Subject,
    trouble::{Trouble, kind_of},
};

/// An idle connection whose last tenant has been away for so long is better given to another tenant, which then has one
/// of its own.
const AWAY_AFTER: Duration = Duration::from_secs(10);

enum Choice {
    /// An idle connection.
    Idle(Idle),
    /// A new one, in this slot or in the next that gets free.
    New(Option<OwnedSemaphorePermit>),
}

impl Pool {
    /// Finds a connection for a caller who has the permits.
    pub(super) async fn connect(
        self: &Arc<Self>,
        subject: &Arc<Subject>,
        work: OwnedSemaphorePermit,
        share: Option<SharePermit>,
        deadline: Instant,
    ) -> Result<Lease, Trouble> {
        let (mut work, mut share) = (work, share);
        loop {
            match self.choose(subject) {
                Choice::Idle(Idle { connection, mut hold }) => {
                    let suspect = self.is_suspect(&connection);
                    hold.work = Some(work);
                    hold.share = share;
                    let mut lease = Lease::new(Arc::clone(self), connection, hold);
                    if !suspect {
                        return Ok(lease);
                    }
                    match self.in_time(deadline, lease.is_alive()).await? {
                        true => return Ok(lease),
                        // It takes its slot with it; the caller keeps its place.
                        false => (work, share) = lease.bury_and_keep_permits()?,
                    }
                }
                Choice::New(slot) => {
                    let slot = match slot {
                        Some(slot) => slot,
                        None => self.wait_for_slot(deadline).await?,
                    };
                    return self.open(subject, Hold::leased(slot, work, share), deadline).await;
                }
            }
        }
    }

    async fn wait_for_slot(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Trouble> {
        let _waiting = self.stats.waiting();
        let slot = self.in_time(deadline, Arc::clone(&self.slots).acquire_owned()).await?;
        slot.map_err(|_| Trouble::Acquire(sea_orm::ConnAcquireErr::ConnectionClosed))
    }

    /// Prefers the connection that served the same tenant last, then one that served nobody or whose tenant is away,
    /// then one that has served this tenant before, then the one that has been idle for longest.
    ///
    /// With more tenants at work than connections a tenant so comes back to where PostgreSQL has its tables' descriptions
    /// and its prepared statements already, and a connection serves few tenants before it is worn.
    fn choose(&self, subject: &Arc<Subject>) -> Choice {
        let mut idle = self.idle();
        let now = Instant::now();
        let mut matching: Option<(usize, Instant)> = None;
        let mut untagged: Option<usize> = None;
        let mut known: Option<(usize, Instant)> = None;
        let mut oldest: Option<(usize, Instant)> = None;
        let mut worn: Option<(usize, Instant)> = None;
        let mut foreign: Option<(usize, Instant)> = None;
        for (index, Idle { connection, .. }) in idle.iter().enumerate() {
            let parked = connection.parked;
            let is_older = |than: &Option<(usize, Instant)>| than.is_none_or(|(_, than)| parked < than);
            if connection.database.as_ref() != subject.database() {
                if is_older(&foreign) {
                    foreign = Some((index, parked));
                }
            } else if connection.expires <= now {
                worn = Some((index, parked));
            } else if connection.serves(subject) {
                if matching.is_none_or(|(_, than)| parked >= than) {
                    matching = Some((index, parked));
                }
            } else if self.is_worn(connection, subject) {
                if is_older(&worn) {
                    worn = Some((index, parked));
                }
            } else if connection.tag.is_none() {
                untagged = Some(index);
            } else {
                if connection.has_served(subject) && is_older(&known) {
                    known = Some((index, parked));
                }
                if is_older(&oldest) {
                    oldest = Some((index, parked));
                }
            }
        }
        if let Some((index, _)) = matching {
            self.stats.tag_hit();
            return Choice::Idle(idle.swap_remove(index));
        }
        let away = oldest.filter(|(_, parked)| now.duration_since(*parked) > AWAY_AFTER);
        let other = away.or(known).or(oldest).map(|(index, _)| index);
        if let Some(index) = untagged.or(other) {
            self.stats.switched();
            return Choice::Idle(idle.swap_remove(index));
        }
        self.stats.switched();
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok();
        if slot.is_none()
            && let Some((index, _)) = worn.or(foreign)
        {
            let evicted = idle.swap_remove(index);
            drop(idle);
            self.retire(evicted);
        }
        Choice::New(slot)
    }

    /// Tells whether a connection has served so many tenants that one more is too many.
    fn is_worn(&self, connection: &Connection, subject: &Subject) -> bool {
        let most =
            usize::try_from(self.settings.limits.max_tenants_per_connection.max(1)).unwrap_or(usize::MAX);
        connection.served.len() >= most && subject.tenant_id().is_some() && !connection.has_served(subject)
    }

    /// Opens a connection in a task of its own: a caller who gives up leaves no half-open connection behind,
    /// but an idle one for the next.
    async fn open(
        self: &Arc<Self>,
        subject: &Subject,
        hold: Hold,
        deadline: Instant,
    ) -> Result<Lease, Trouble> {
        let (tell, told) = oneshot::channel();
        let (pool, database) = (Arc::clone(self), subject.database().cloned());
        self.runtime.spawn(async move {
            let opened = pool.settings.connector.open_patiently(database.as_ref(), deadline).await;
            let lease = opened.map(|opened| {
                pool.stats.opened();
                let (connection, backend) = pool.adopt(opened, database);
                Lease::new(Arc::clone(&pool), connection, Hold { backend, ..hold })
            });
            if let Err(Ok(unwanted)) = tell.send(lease) {
                unwanted.park_unchanged();
            }
        });
        let opened = self.in_time(deadline, told).await?;
        let opened = opened.map_err(|_| Trouble::Acquire(sea_orm::ConnAcquireErr::ConnectionClosed))?;
        opened.map_err(|error| {
            if let OpenError::Unreachable(error) = &error {
                tracing::warn!(error.kind = ?kind_of(error), "cannot open a connection to PostgreSQL");
            }
            Trouble::Apply(error.into_sqlx())
        })
    }

    pub(super) fn adopt(
        &self,
        opened: Opened,
        database: Option<clinicx_types::name::DatabaseName>,
    ) -> (Box<Connection>, Option<Backend>) {
        (Box::new(Connection::new(opened.pg, database, self.settings.limits.max_lifetime)), opened.backend)
    }
}
