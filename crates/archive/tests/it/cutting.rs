//! Processes that end in the middle: nothing routable is left, and the same can be done again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use clinicx_archive::{
    ArchiveId, BackupState, Place, Store, StoreError, Target, Watch, registry,
    store::{Draft, Pieces},
};
use clinicx_types::id::TenantId;
use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::Clinic;

/// A store in which everything stands still after some calls: whoever works with it is then killed.
#[derive(Clone, Debug)]
struct Stuck {
    inner: Arc<dyn Store>,
    left: Arc<AtomicUsize>,
    reached: Arc<Notify>,
}

impl Stuck {
    fn after(calls: usize, inner: Arc<dyn Store>) -> Self {
        Self { inner, left: Arc::new(AtomicUsize::new(calls)), reached: Arc::new(Notify::new()) }
    }

    async fn pass(&self) {
        let passed = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if passed.is_err() {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

struct StuckDraft(Stuck, Box<dyn Draft>);

#[async_trait]
impl Store for Stuck {
    fn location(&self) -> String {
        self.inner.location()
    }
    async fn begin(&self, place: Place) -> Result<Box<dyn Draft>, StoreError> {
        Ok(Box::new(StuckDraft(self.clone(), self.inner.begin(place).await?)))
    }
    async fn read(&self, place: Place, file: &str) -> Result<Pieces, StoreError> {
        let (stuck, pieces) = (self.clone(), self.inner.read(place, file).await?);
        let pieces = pieces.then(move |piece: Result<Bytes, StoreError>| {
            let stuck = stuck.clone();
            async move {
                stuck.pass().await;
                piece
            }
        });
        Ok(pieces.chain(stream::empty()).boxed())
    }
    async fn list(&self, tenant: TenantId) -> Result<Vec<ArchiveId>, StoreError> {
        self.inner.list(tenant).await
    }
    async fn remove(&self, place: Place) -> Result<(), StoreError> {
        self.inner.remove(place).await
    }
    async fn holds(&self, tenant: TenantId) -> Result<bool, StoreError> {
        self.inner.holds(tenant).await
    }
}

#[async_trait]
impl Draft for StuckDraft {
    async fn create(&mut self, file: &str) -> Result<(), StoreError> {
        self.0.pass().await;
        self.1.create(file).await
    }
    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.pass().await;
        self.1.write(bytes).await
    }
    async fn close(&mut self) -> Result<(), StoreError> {
        self.1.close().await
    }
    async fn publish(self: Box<Self>) -> Result<(), StoreError> {
        self.0.pass().await;
        self.1.publish().await
    }
    async fn abandon(self: Box<Self>) {
        self.1.abandon().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backup_is_never_listed_and_swept_up() {
    let clinic = Arc::new(Clinic::open().await);
    let tenant = clinic.tenant.tenant.clone();
    let mut killed = 0;
    for calls in [0, 1, 5, 12, 25] {
        let stuck = Stuck::after(calls, clinic.store());
        let (reached, working) = (Arc::clone(&stuck.reached), Arc::clone(&clinic));
        let work = tokio::spawn(async move {
            let (archivist, tenant) =
                (working.archivist_with(Arc::new(stuck)), working.tenant.tenant.clone());
            archivist
                .back_up(&tenant, registry::Reason::Demand, &working.by, &Watch::default())
                .await
                .map(drop)
        });
        tokio::select! {
            () = reached.notified() => {
                work.abort();
                killed += 1;
            }
            () = tokio::time::sleep(std::time::Duration::from_secs(60)) => panic!("it was not reached"),
        }
        assert!(clinic.store().list(tenant.id).await.unwrap().is_empty(), "{calls}");
    }
    let app = clinic.tenant.tenancy.app();
    assert_eq!(registry::of_tenant(app, tenant.id, BackupState::Running).await.unwrap().len(), killed);
    let archivist = clinic.archivist();
    // Those of other tests may run at this moment, in the same database.
    for backup in registry::of_tenant(app, tenant.id, BackupState::Running).await.unwrap() {
        clinic.store().remove(backup.place()).await.unwrap();
    }
    assert!(!clinic.store().holds(tenant.id).await.unwrap());
    let backup = clinic.back_up().await;
    archivist.verify(&backup, &clinic.by, &Watch::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_restore_leaves_nothing_and_can_be_done_again() {
    let clinic = Arc::new(Clinic::open().await);
    let backup = clinic.back_up().await;
    let pieces = clinic.store().list(backup.tenant_id).await.unwrap().len();
    assert_eq!(pieces, 1);
    let into = format!("k{}", &clinic.tenant.tenant.slug.as_str()[1..]);
    let folder = clinic.folder.path().join(backup.tenant_id.to_string()).join(backup.id.to_string());
    let files = std::fs::read_dir(folder).unwrap().count();
    // The check reads each file once, and the restore all but the manifest once more.
    for calls in [0, files / 2, files, files + 1, files + files / 2, 2 * files - 3] {
        let stuck = Stuck::after(calls, clinic.store());
        let (reached, working) = (Arc::clone(&stuck.reached), Arc::clone(&clinic));
        let (backup, slug) = (backup.clone(), into.clone());
        let work = tokio::spawn(async move {
            let archivist = working.archivist_with(Arc::new(stuck));
            archivist
                .restore_into(&backup, &Target::new(slug, &working.by), &working.by, &Watch::default())
                .await
                .map(drop)
        });
        tokio::select! {
            () = reached.notified() => work.abort(),
            () = tokio::time::sleep(std::time::Duration::from_secs(60)) => panic!("{calls} was not reached"),
        }
        assert!(work.await.unwrap_err().is_cancelled());
        assert_eq!(clinic.left_of(&into).await, 0, "{calls}");
    }
    let archivist = clinic.archivist();
    let restored = archivist
        .restore_into(&backup, &Target::new(&into, &clinic.by), &clinic.by, &Watch::default())
        .await
        .unwrap();
    assert_eq!(clinic.left_of(&into).await, 3);
    clinic.has_no_gaps(&restored.tenant).await;
}

#[tokio::test]
async fn a_restore_that_is_stopped_leaves_nothing() {
    let clinic = Clinic::open().await;
    let backup = clinic.back_up().await;
    let into = format!("s{}", &clinic.tenant.tenant.slug.as_str()[1..]);
    let stop = CancellationToken::new();
    let after = |progress: clinicx_archive::Progress| {
        if progress.tables > 5 {
            stop.cancel();
        }
    };
    let watch = Watch::stopped_by(stop.clone()).telling(&after);
    clinic
        .archivist()
        .restore_into(&backup, &Target::new(&into, &clinic.by), &clinic.by, &watch)
        .await
        .unwrap_err();
    assert_eq!(clinic.left_of(&into).await, 0);
}
