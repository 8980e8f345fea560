//! Every operation's way through the database, dropped at each of its awaits and at random moments.
//!
//! After each drop the next statement of another tenant must run as that tenant, no connection may be left in a
//! transaction, and a write must be there with its audit row and its event, or not at all; always there when it
//! was acknowledged.

#![expect(clippy::print_stdout, reason = "the figures are what is looked for")]

mod accounts;
mod backups;
mod billing;
mod clinic;
mod cut;
mod dental;
mod detached;
mod detector;
mod handlers;
mod http;
mod jobs;
mod ledger;
mod paths;
mod random;
mod sweep;

use std::{collections::BTreeSet, fmt};

use clinicx_core::FACTS;
use clinicx_persistence::{ApplyMode, Cluster, PoolOptions};
use clinicx_testing::{TestDatabase, TestTenant};
use clinicx_web::Access;

use self::{accounts::ON_THE_SYSTEM_SCHEMA, clinic::Clinic, ledger::Ledger, paths::PATHS};

/// What came of the drops.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    paths: usize,
    /// Work that was broken off.
    drops: usize,
    /// Work that ended.
    ended: usize,
    /// Writes that were acknowledged.
    acknowledged: usize,
    wrong_tenant: usize,
    /// Acknowledged writes that are not there.
    lost: usize,
    /// Writes of which only parts are there, or that are there though they were refused.
    torn: usize,
    left_in_transaction: i64,
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.drops += other.drops;
        self.ended += other.ended;
        self.acknowledged += other.acknowledged;
        self.wrong_tenant += other.wrong_tenant;
        self.lost += other.lost;
        self.torn += other.torn;
        self.left_in_transaction += other.left_in_transaction;
    }

    /// Prints them, and fails unless nothing went wrong.
    #[track_caller]
    fn report(&self, what: &str) {
        println!("{what}: {self}");
        let wrong = (self.wrong_tenant, self.lost, self.torn, self.left_in_transaction);
        assert_eq!(wrong, (0, 0, 0, 0), "{what}: wrong tenants, lost, torn, left in a transaction");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} paths, {} drops, {} ended, {} writes acknowledged; {} wrong tenants, {} lost writes, {} torn writes, \
             {} left in a transaction",
            self.paths,
            self.drops,
            self.ended,
            self.acknowledged,
            self.wrong_tenant,
            self.lost,
            self.torn,
            self.left_in_transaction
        )
    }
}

/// Some furnished tenants on one small pool.
struct World {
    cluster: Cluster,
    clinics: Vec<Clinic>,
    database: TestDatabase,
}

impl World {
    /// Opens a pool of so many connections, one of which is the reaper's.
    async fn open(mode: ApplyMode, connections: u32, tenants: usize) -> Self {
        let database = TestDatabase::create().await;
        let options = database.cluster_options();
        let pool = PoolOptions { max_connections: connections, ..options.pool.clone() };
        let cluster =
            Cluster::connect(clinicx_persistence::ClusterOptions { apply_mode: mode, pool, ..options });
        let cluster = cluster.await.unwrap();
        let builder = TestTenant::builder().database(&database).modules(&["billing", "dental"]);
        let builder = builder.facts("core", FACTS).facts("billing", clinicx_billing::FACTS);
        let builder = builder.facts("dental", clinicx_dental::FACTS);
        let first = builder.create().await;
        let mut clinics = Vec::new();
        for number in 0..tenants {
            let made = if number == 0 { first.clone() } else { first.another().await };
            let target = made.tenant.target();
            let (db, canary) = (cluster.tenant(target.clone()), format!("Canary{number}x"));
            clinics.push(Clinic::furnish(db, target, made.scope, made.cipher, &canary).await);
        }
        Self { cluster, clinics, database }
    }

    async fn ledger(&self, clinic: &Clinic) -> Ledger {
        Ledger::open(&self.database.superuser_options(), &clinic.target).await
    }
}

#[test]
fn every_operation_of_a_tenant_is_swept() {
    let api = clinicx::modules::api(&clinicx::wiring::Slot::default(), &Default::default()).unwrap();
    let inside = |access| matches!(access, Access::Tenant(_) | Access::AnyTenantMember);
    let offered = api.operations().filter(|operation| inside(operation.access)).map(|operation| operation.id);
    let offered: BTreeSet<&str> = offered.filter(|id| !ON_THE_SYSTEM_SCHEMA.contains(id)).collect();
    let swept: BTreeSet<&str> = PATHS.iter().map(|path| path.id).collect();
    assert_eq!(swept.len(), PATHS.len(), "a path stands twice in the table");
    assert_eq!(swept, offered, "on the left what is swept, on the right what is offered");
}
