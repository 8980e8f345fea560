//! The same through the pool: targets that are put together wrongly.

use std::{collections::BTreeMap, time::Instant};

use clinicx_persistence::{ApplyMode, Cluster, Failure, FailureKind, TenantTarget};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{Report, World};

/// How many pairs are tried: a ring, so that each of the tenants is once the one and once the other.
const PAIRS: usize = 6;

/// Role, path and setting of two tenants in every mixture, in both ways of applying a tenant.
pub(super) async fn nothing_passes(world: &World) {
    for mode in [ApplyMode::Session, ApplyMode::Transaction] {
        let begun = Instant::now();
        let mut options = world.database.cluster_options();
        options.apply_mode = mode;
        let cluster = Cluster::connect(options).await.unwrap();
        let mut report = Report::default();
        for a in 0..PAIRS {
            let (mine, theirs) = (&world.tenants[a].tenant, &world.tenants[(a + 1) % PAIRS].tenant);
            for mixture in 1..7_u8 {
                let pick = |bit: u8| if mixture & bit == 0 { mine } else { theirs };
                let target = TenantTarget {
                    role: Some(pick(1).database_schema.role()),
                    schema: pick(2).database_schema.clone(),
                    tenant_id: pick(4).id,
                    ..mine.target()
                };
                everything(world, &cluster, target, &mut report).await;
            }
            for right in [mine.target(), theirs.target()] {
                let patients = "SELECT 1 FROM patients LIMIT 1".to_owned();
                assert_eq!(run(&cluster, &right, patients).await, Ok(1), "with everything right");
            }
        }
        cluster.close().await;
        report.expect_nothing(&format!("the pool in {mode:?} mode with mixed targets"), begun);
    }
}

async fn everything(world: &World, cluster: &Cluster, target: TenantTarget, report: &mut Report) {
    for table in &world.tables {
        let name = &table.name;
        for statement in [
            format!("SELECT 1 FROM \"{name}\""),
            format!("INSERT INTO \"{name}\" ({}) VALUES ({})", table.columns, table.values),
            format!("UPDATE \"{name}\" SET created_at = created_at"),
            format!("DELETE FROM \"{name}\""),
        ] {
            let end = run(cluster, &target, statement.clone()).await;
            let reached = match &end {
                Ok(0) | Err(FailureKind::Fenced) => vec![],
                other => vec![format!("{other:?} by {statement}")],
            };
            report.add(&format!("{target:?}"), 1, BTreeMap::from([(format!("{end:?}"), 1)]), reached);
        }
    }
}

async fn run(cluster: &Cluster, target: &TenantTarget, statement: String) -> Result<u64, FailureKind> {
    let connection = cluster.tenant(target.clone());
    let is_read = statement.starts_with("SELECT");
    let statement = Statement::from_string(DbBackend::Postgres, statement);
    let rows = match is_read {
        true => connection.query_all_raw(statement).await.map(|rows| u64::try_from(rows.len()).unwrap()),
        false => connection.execute_raw(statement).await.map(|result| result.rows_affected()),
    };
    rows.map_err(|error| Failure::of(&error).kind)
}
