//! Data keys: made with the tenant, unwrapped once, unwrapped by nobody else.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use clinicx_keys::{
    KeyError, KeyProvider, KeyProviders, Keyring, ProviderError, Wrapped, local::LocalProvider, store,
};
use clinicx_migration::system::SystemRole;
use clinicx_tenancy::{Tenancy, TenancyError, TenancyOptions};
use clinicx_testing::{TestDatabase, TestTenant, database};
use clinicx_types::{
    error::{DomainError, ErrorKind},
    id::TenantId,
};
use sqlx::Executor;
use zeroize::Zeroizing;

use crate::{by, new_tenant, slug};

/// Counts what it is asked, and can be away.
#[derive(Debug)]
struct Counting {
    inner: LocalProvider,
    unwraps: AtomicUsize,
    away: AtomicBool,
}

impl Counting {
    fn new() -> Arc<Self> {
        let inner = LocalProvider::new(LocalProvider::FILE, [7; 32]);
        Arc::new(Self { inner, unwraps: AtomicUsize::new(0), away: AtomicBool::new(false) })
    }

    fn require_there(&self) -> Result<(), ProviderError> {
        if self.away.load(Ordering::SeqCst) {
            Err(ProviderError::Unavailable("away".to_owned()))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl KeyProvider for Counting {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn key_id(&self) -> Result<String, ProviderError> {
        self.require_there()?;
        self.inner.key_id().await
    }

    async fn wrap(&self, key: &[u8]) -> Result<Wrapped, ProviderError> {
        self.require_there()?;
        self.inner.wrap(key).await
    }

    async fn unwrap(&self, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        self.require_there()?;
        self.unwraps.fetch_add(1, Ordering::SeqCst);
        // Others get their turn in between, as they do while a key service is asked.
        tokio::task::yield_now().await;
        self.inner.unwrap(wrapped).await
    }
}

#[tokio::test]
async fn many_who_ask_at_once_cost_one_unwrapping() {
    let database = TestDatabase::create().await;
    let tenants = [TestTenant::builder().database(&database).create().await];
    let id = tenants[0].tenant.id;
    let counting = Counting::new();
    let keyring = Keyring::new(database.system(SystemRole::App).await, KeyProviders::new(counting.clone()));
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let keyring = keyring.clone();
            tokio::spawn(async move { keyring.cipher(id).await.unwrap() })
        })
        .collect();
    for one in asked {
        assert_eq!(one.await.unwrap().version(), 1);
    }
    assert_eq!(counting.unwraps.load(Ordering::SeqCst), 1);
    // The rows are read anew; the key is not unwrapped anew.
    keyring.refreshed(id).await.unwrap();
    assert_eq!(counting.unwraps.load(Ordering::SeqCst), 1);

    // While the provider is away, whoever's key is kept goes on.
    counting.away.store(true, Ordering::SeqCst);
    keyring.refreshed(id).await.unwrap();
    let other = tenants[0].another().await.tenant.id;
    let error = keyring.cipher(other).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "unavailable"));
    counting.away.store(false, Ordering::SeqCst);
    keyring.cipher(other).await.unwrap();
}

#[tokio::test]
async fn one_tenants_envelope_in_anothers_row_opens_nothing() {
    let database = TestDatabase::create().await;
    let one = TestTenant::builder().database(&database).create().await;
    let two = one.another().await;
    let statement = format!(
        "UPDATE public.tenant_keys SET wrapped_key =
             (SELECT wrapped_key FROM public.tenant_keys WHERE tenant_id = '{}')
         WHERE tenant_id = '{}'",
        one.tenant.id, two.tenant.id
    );
    database.superuser().await.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    let keyring = database.keyring().await;
    assert_eq!(keyring.cipher(two.tenant.id).await.unwrap_err(), KeyError::Misplaced);
    keyring.cipher(one.tenant.id).await.unwrap();
}

#[tokio::test]
async fn without_its_key_no_tenant_is_made() {
    let database = TestDatabase::create().await;
    let counting = Counting::new();
    counting.away.store(true, Ordering::SeqCst);
    let tenancy = Tenancy::new(TenancyOptions {
        app: database.system(SystemRole::App).await,
        control: database.system(SystemRole::Control).await,
        migrator: Some(database.migrator()),
        modules: database::modules(&[]),
        keys: KeyProviders::new(counting.clone()),
        home: database::home(),
        others: Vec::new(),
        retention: std::time::Duration::ZERO,
    });
    tenancy.register_clusters().await.unwrap();
    let slug = slug();
    let error = tenancy.create(new_tenant(&tenancy, &slug), &by(), Vec::new()).await.unwrap_err();
    assert!(matches!(error, TenancyError::Keys(KeyError::Provider(_))), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let mut superuser = database.superuser().await;
    let count = "SELECT (SELECT count(*) FROM public.tenants) + (SELECT count(*) FROM public.tenant_keys)";
    let left: i64 = sqlx::query_scalar(count).fetch_one(&mut superuser).await.unwrap();
    assert_eq!(left, 0);

    counting.away.store(false, Ordering::SeqCst);
    let made = tenancy.create(new_tenant(&tenancy, &slug), &by(), Vec::new()).await.unwrap();
    let rows = store::load(tenancy.app(), made.id).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].sealing && rows[0].complete);
    let stranger = TenantId::new(uuid::Uuid::from_u128(1));
    assert_eq!(store::load(tenancy.app(), stranger).await.unwrap(), Vec::new());
}
