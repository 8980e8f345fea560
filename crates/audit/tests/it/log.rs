//! A log with every kind of row in it, sealed in batches of its own key.

use clinicx_audit::{Checkpoint, Entry, SigningKey, VerifyingKey, entry, seal, verify};
use clinicx_migration::system::SystemRole;
use clinicx_persistence::{Actor, SystemConnection, SystemExecutor, SystemOptions, Timeouts};
use clinicx_testing::TestDatabase;
use clinicx_types::id::{RequestId, SessionId, TenantId, UserId};
use sea_orm::{DbBackend, Statement};
use uuid::Uuid;

pub(crate) struct Log {
    pub(crate) database: TestDatabase,
    pub(crate) app: SystemConnection,
    pub(crate) control: SystemConnection,
    pub(crate) superuser: SystemConnection,
    pub(crate) key: SigningKey,
    rows: u128,
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed("log.example", &[seed; 32]).unwrap()
}

impl Log {
    pub(crate) async fn create() -> Self {
        let database = TestDatabase::create().await;
        let options = SystemOptions {
            connect: database.superuser_options(),
            session_authorization: None,
            max_connections: 2,
            acquire_timeout: std::time::Duration::from_secs(20),
            timeouts: Timeouts::SYSTEM,
        };
        Self {
            app: database.system(SystemRole::App).await,
            control: database.system(SystemRole::Control).await,
            superuser: SystemConnection::connect(options).await.unwrap(),
            database,
            key: key(1),
            rows: 0,
        }
    }

    /// Writes rows that differ in what they leave out.
    pub(crate) async fn write(&mut self, count: u128) {
        let mut entries = Vec::new();
        for number in self.rows..self.rows + count {
            let some = |every: u128| number.is_multiple_of(every).then(|| Uuid::from_u128(number + 1));
            entries.push(Entry {
                tenant_id: some(2).map(TenantId::new),
                actor: match number % 3 {
                    0 => Actor::User(UserId::new(Uuid::from_u128(number))),
                    1 => Actor::Operator(UserId::new(Uuid::from_u128(number))),
                    _ => Actor::System("a job"),
                },
                session_id: some(3).map(SessionId::new),
                break_glass_id: None,
                action: format!("thing.{}", number % 5).into(),
                entity: "thing",
                entity_id: some(4),
                patient_id: some(3),
                patient_ids: some(5).map(|id| vec![id, Uuid::from_u128(99)]),
                request_id: RequestId::new(Uuid::from_u128(number + 1_000)),
                source: number.is_multiple_of(2).then(|| "192.0.2.1".parse().unwrap()),
                after: Some(serde_json::json!({"b": number.to_string(), "a": [1.50, null, "\u{e4}"]})),
            });
        }
        self.rows += count;
        entry::insert(&self.app, &entries).await.unwrap();
    }

    pub(crate) async fn seal(&self) -> seal::Sealed {
        seal::seal(&self.control, &self.key, &[], seal::Turn::Wait).await.unwrap()
    }

    /// Seals and returns what one would keep elsewhere.
    pub(crate) async fn checkpoint(&self) -> Checkpoint {
        self.seal().await.checkpoint.unwrap().0
    }

    pub(crate) fn keys(&self) -> [VerifyingKey; 1] {
        [self.key.verifying_key()]
    }

    pub(crate) async fn verify(&self, kept: &[Checkpoint]) -> verify::Report {
        verify(&self.control, &self.keys(), kept).await
    }

    /// Runs a statement as the superuser.
    pub(crate) async fn sql(&self, sql: &str) -> u64 {
        run(&self.superuser, sql).await
    }
}

pub(crate) async fn verify(
    db: &impl SystemExecutor,
    keys: &[VerifyingKey],
    kept: &[Checkpoint],
) -> verify::Report {
    verify::verify(db, keys, kept, &|_, _| {}).await.unwrap()
}

pub(crate) async fn run(db: &impl SystemExecutor, sql: &str) -> u64 {
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    db.execute(statement).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}
