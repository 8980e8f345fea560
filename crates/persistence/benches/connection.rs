//! The tenant's connection against SeaORM on its stock pool: requests a second and CPU of this process.
//!
//! `cargo bench -p clinicx-persistence --bench connection`. Both sides take turns in short rounds, so that what
//! else the machine does meets both; only the ratios mean anything.

#![expect(clippy::disallowed_methods, reason = "benchmarks make their own ids and read the machine's clock")]
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program that measures, and ends when it cannot"
)]

#[path = "../tests/it/entity.rs"]
mod entity;
#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, clippy::indexing_slicing, reason = "shared with the tests, which use all of it")]
mod support;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use clinicx_persistence::{ApplyMode, Cluster, TenantTarget};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, EntityTrait};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

use crate::{
    entity::note,
    support::{World, pool, run},
};

const WARM_UP: u32 = 3;
const ROUNDS: u32 = 12;
const ROUND: Duration = Duration::from_millis(700);
const CLIENTS: usize = 16;
const CONNECTIONS: u32 = 16;
const TENANTS: u32 = 100;

/// What one side has done.
#[derive(Clone, Copy, Default)]
struct Tally {
    requests: f64,
    seconds: f64,
    cpu: f64,
}

impl Tally {
    fn rate(self) -> f64 {
        self.requests / self.seconds
    }

    fn cpu_per_request(self) -> f64 {
        self.cpu / self.requests * 1e6
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.seconds += other.seconds;
        self.cpu += other.cpu;
    }
}

/// Returns the seconds of CPU that this process has used (proc(5): user and system time in hundredths).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux's account of this process");
    let (_, fields) = stat.rsplit_once(") ").expect("the fields behind the name");
    let ticks: u32 =
        fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>().expect("ticks")).sum();
    f64::from(ticks) / 100.0
}

/// Lets all clients repeat a request for one round.
async fn round<F, R>(request: F) -> Tally
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let request = Arc::new(request);
    let (started, before) = (Instant::now(), cpu());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let request = Arc::clone(&request);
            tokio::spawn(async move {
                let mut done = 0_u32;
                while started.elapsed() < ROUND {
                    request().await;
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut tally = Tally::default();
    for client in clients {
        tally.requests += f64::from(client.await.expect("a client"));
    }
    tally.seconds = started.elapsed().as_secs_f64();
    tally.cpu = cpu() - before;
    tally
}

/// A tenant and the row of it that is read.
#[derive(Clone)]
struct Subject {
    target: TenantTarget,
    note: Uuid,
}

async fn subjects(world: &World) -> Arc<Vec<Subject>> {
    let mut superuser: PgConnection = world.superuser().await;
    let mut subjects = Vec::new();
    for target in &world.tenants {
        let question = format!("SELECT id::text FROM {}.notes WHERE number = 7", target.schema);
        let row = superuser.fetch_one(AssertSqlSafe(question)).await.expect("a note");
        let note = row.get::<String, _>(0).parse().expect("a UUID");
        subjects.push(Subject { target: target.clone(), note });
    }
    let _ = superuser.close().await;
    Arc::new(subjects)
}

/// Picks a tenant; each is as likely as any other.
fn pick(subjects: &[Subject]) -> Subject {
    subjects.get(rand::random_range(0..subjects.len())).expect("a subject").clone()
}

async fn read(db: &impl ConnectionTrait, note: Uuid) {
    let found = note::Entity::find_by_id(note).one(db).await.expect("an answer");
    assert!(found.is_some(), "the note of the tenant");
}

/// The stock pool with a login for which all is set to begin with, so that nothing has to be applied.
async fn stock_of_one(world: &World, target: &TenantTarget) -> DatabaseConnection {
    let (schema, id, login) = (target.schema.as_str(), target.tenant_id, format!("{}_login", world.login));
    let script = format!(
        "CREATE ROLE {login} LOGIN NOINHERIT; GRANT {schema} TO {login};
         ALTER ROLE {login} SET search_path TO {schema}, pg_temp;
         ALTER ROLE {login} SET app.current_tenant TO '{id}'; ALTER ROLE {login} SET role TO {schema}"
    );
    run(&mut world.superuser().await, &script).await;
    stock(&world.server().url(&login, "postgres")).await
}

async fn stock(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(CONNECTIONS);
    sea_orm::Database::connect(options).await.expect("the stock pool")
}

tokio::task_local! {
    /// What has to be set on a connection of the stock pool for whom the task works.
    static SETTINGS: String;
}

/// The stock pool with the same settings as the tenant's connection, set at each checkout.
async fn stock_of_many(url: &str) -> DatabaseConnection {
    async fn set(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        match SETTINGS.try_with(String::clone) {
            Ok(settings) => connection.execute(AssertSqlSafe(settings)).await.map(|_| ()),
            Err(_) => Ok(()),
        }
    }
    let mut options = ConnectOptions::new(url);
    options.max_connections(CONNECTIONS).map_sqlx_postgres_pool_opts(|pool| {
        pool.after_connect(|connection, _| Box::pin(set(connection)))
            .before_acquire(|connection, _| Box::pin(async { set(connection).await.map(|()| true) }))
    });
    sea_orm::Database::connect(options).await.expect("the stock pool")
}

fn settings(target: &TenantTarget) -> String {
    let (schema, id) = (target.schema.as_str(), target.tenant_id);
    format!(
        "SET search_path TO \"{schema}\", pg_temp; SET app.current_tenant TO '{id}'; \
         SET statement_timeout TO 20000; SET lock_timeout TO 10000; \
         SET idle_in_transaction_session_timeout TO 30000; SET application_name TO 'clinicx:{schema}'; \
         SET ROLE \"{schema}\""
    )
}

fn verdict(what: &str, figure: f64, holds: bool, bar: &str) {
    println!("{what}: {figure:.2} (bar {bar}) {}", if holds { "holds" } else { "DOES NOT HOLD" });
}

fn compare(name: &str, ours: Tally, stock: Tally) {
    println!(
        "{name}: {:.0} against {:.0} requests/s, {:.1} against {:.1} µs of client CPU per request",
        ours.rate(),
        stock.rate(),
        ours.cpu_per_request(),
        stock.cpu_per_request()
    );
}

async fn one_tenant() {
    let world = World::new(1).await;
    let subject = pick(&subjects(&world).await);
    let cluster = cluster(&world).await;
    let (db, other) = (cluster.tenant(subject.target.clone()), stock_of_one(&world, &subject.target).await);
    let (mut ours, mut theirs) = (Tally::default(), Tally::default());
    for index in 0..WARM_UP + ROUNDS {
        let (db, other) = (db.clone(), other.clone());
        let our_round = round(move || {
            let db = db.clone();
            async move { read(&db, subject.note).await }
        })
        .await;
        let their_round = round(move || {
            let other = other.clone();
            async move { read(&other, subject.note).await }
        })
        .await;
        // By then each connection has prepared its statements, and PostgreSQL has settled on their plans.
        if index >= WARM_UP {
            ours.add(our_round);
            theirs.add(their_round);
        }
    }
    compare("one tenant, point read", ours, theirs);
    let rate = ours.rate() / theirs.rate();
    verdict("  requests/s of the stock pool's", rate, rate >= 1.5, ">= 1.5");
    let cpu = ours.cpu_per_request() / theirs.cpu_per_request();
    verdict("  client CPU of the stock pool's", cpu, cpu <= 0.8, "<= 0.8");
    cluster.close().await;
}

async fn many_tenants() {
    let world = World::new(TENANTS).await;
    let subjects = subjects(&world).await;
    let cluster = cluster(&world).await;
    let other = stock_of_many(&world.server().url(&world.login, "postgres")).await;
    let (mut ours, mut theirs) = (Tally::default(), Tally::default());
    for index in 0..WARM_UP + ROUNDS {
        let (cluster, mine) = (cluster.clone(), Arc::clone(&subjects));
        let our_round = round(move || {
            let subject = pick(&mine);
            let db = cluster.tenant(subject.target.clone());
            async move { read(&db, subject.note).await }
        })
        .await;
        let (pool, mine) = (other.clone(), Arc::clone(&subjects));
        let their_round = round(move || {
            let (subject, pool) = (pick(&mine), pool.clone());
            SETTINGS.scope(settings(&subject.target), async move { read(&pool, subject.note).await })
        })
        .await;
        if index >= WARM_UP {
            ours.add(our_round);
            theirs.add(their_round);
        }
    }
    compare(&format!("{TENANTS} tenants, {CONNECTIONS} connections, point read"), ours, theirs);
    let rate = ours.rate() / theirs.rate();
    verdict("  requests/s of the stock pool's with SET", rate, rate >= 2.0, ">= 2");
    let stats = cluster.stats();
    println!("  tenant already applied: {}, applied anew: {}", stats.tag_hits, stats.switches);
    cluster.close().await;
}

async fn cluster(world: &World) -> Cluster {
    let mut options = world.cluster_options(ApplyMode::Session, pool(CONNECTIONS));
    options.pool.statement_cache_capacity = 1000;
    let cluster = Cluster::connect(options).await.expect("a cluster");
    // Neither side opens connections while it is measured.
    let first = world.tenants.first().expect("a tenant").clone();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(cluster.tenant(first.clone()).begin().await.expect("a transaction"));
    }
    for tx in open {
        tx.rollback().await.expect("a rollback");
    }
    cluster
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    one_tenant().await;
    many_tenants().await;
}
