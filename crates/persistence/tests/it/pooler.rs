//! Behind a real PgBouncer; these tests only say so and end where none is installed.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use clinicx_persistence::{ApplyMode, Cluster, ConnectError, SystemConnection, SystemExecutor};
use sea_orm::{ConnectionTrait, EntityTrait};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use crate::{
    entity::note,
    support::{World, eventually, expected, pool, sql, who},
};

struct PgBouncer {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl PgBouncer {
    /// Starts one for the login of a world, with two connections to the server.
    async fn start(world: &World, port: u16, settings: &str) -> Option<Self> {
        let found = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
        let Some(program) = found.into_iter().find(|path| fs::exists(path).unwrap()) else {
            println!("skipped: no pgbouncer is installed");
            return None;
        };
        let folder = world.server().folder().to_owned();
        let owner = fs::metadata(&folder).unwrap();
        let users = folder.join(format!("pgbouncer-{port}.users"));
        fs::write(&users, format!("\"{}\" \"\"\n", world.login)).unwrap();
        let config = folder.join(format!("pgbouncer-{port}.ini"));
        let text = format!(
            "[databases]\n* = host={folder} port=5432\n[pgbouncer]\nlisten_addr =\nlisten_port = {port}\n\
             unix_socket_dir = {folder}\nauth_type = trust\nauth_file = {users}\npool_mode = transaction\n\
             default_pool_size = 2\n{settings}\n",
            folder = folder.display(),
            users = users.display(),
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-q").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let this = Self { child: command.spawn().unwrap(), folder, port };
        let answers =
            async || PgConnection::connect_with(&this.options(world).extra_float_digits(None)).await.is_ok();
        eventually("pgbouncer answers", answers).await;
        Some(this)
    }

    fn options(&self, world: &World) -> PgConnectOptions {
        world.options().socket(&self.folder).port(self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const IGNORES: &str = "ignore_startup_parameters = extra_float_digits,options";

async fn check_refusal(port: u16, settings: &str) {
    let world = World::new(1).await;
    let Some(bouncer) = PgBouncer::start(&world, port, settings).await else { return };
    let mut options = world.cluster_options(ApplyMode::Session, pool(2));
    options.connect = bouncer.options(&world);
    let refused = Cluster::connect(options).await;
    assert!(matches!(refused, Err(ConnectError::PoolerInSessionMode)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_mode_is_refused_when_the_pooler_refuses_the_parameter() {
    check_refusal(6432, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn session_mode_is_refused_when_the_pooler_ignores_the_parameter() {
    check_refusal(6433, IGNORES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_mode_never_mixes_tenants() {
    let world = World::new(3).await;
    let Some(bouncer) = PgBouncer::start(&world, 6434, IGNORES).await else { return };
    let mut options = world.cluster_options(ApplyMode::Transaction, pool(6));
    options.connect = bouncer.options(&world);
    let cluster = Cluster::connect(options).await.unwrap();
    let mut tasks = Vec::new();
    for worker in 0..6_usize {
        let (db, target) = (world.tenant(&cluster, worker % 3), world.tenants[worker % 3].clone());
        tasks.push(tokio::spawn(async move {
            for round in 0..100_u64 {
                assert_eq!(who(&db).await.unwrap(), expected(&target));
                let notes = note::Entity::find().all(&db).await.unwrap();
                assert!(notes.iter().all(|note| note.body == target.schema.as_str()));
                if round % 10 == 0 {
                    let slow = db.execute_raw(sql("SELECT pg_sleep(0.2)"));
                    assert!(tokio::time::timeout(Duration::from_millis(5), slow).await.is_err());
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut superuser = world.superuser().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while world.backends(&mut superuser).await.idle_in_transaction > 0 {
        assert!(tokio::time::Instant::now() < deadline, "a transaction was left open");
    }
    assert_eq!(cluster.stats().in_use, 0);
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_connection_works_behind_it() {
    let world = World::new(1).await;
    let Some(bouncer) = PgBouncer::start(&world, 6435, "").await else { return };
    let mut options = world.system_options(3);
    options.connect = bouncer.options(&world);
    let db = SystemConnection::connect(options).await.unwrap();
    db.execute(sql("SELECT 1")).await.unwrap();
    let tx = db.begin().await.unwrap();
    tx.execute(sql("SELECT 1")).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
}
