//! Rows become leaves, once each, and what is there is proven.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{TimeDelta, Utc};
use clinicx_audit::{AuditError, Checkpoint, Wrong, leaf, merkle, prune, seal, verify};
use clinicx_testing::TestDatabase;
use sqlx::Executor;
use uuid::Uuid;

use crate::log::{Log, key};

#[tokio::test]
async fn an_empty_and_an_untouched_log_are_proven() {
    let mut log = Log::create().await;
    let report = log.verify(&[]).await;
    assert!(report.ok && report.size == 0, "{report:?}");
    let mut kept = Vec::new();
    for batch in [1, 2, 5, 40, 3] {
        log.write(batch).await;
        kept.push(log.checkpoint().await);
    }
    log.write(4).await;
    let report = log.verify(&kept).await;
    assert!(report.ok && report.finding.is_none() && report.dated_back.is_none(), "{report:?}");
    assert_eq!((report.size, report.checkpoints, report.unsealed), (51, 5, 4));
    assert_eq!(report.kept, [1, 3, 8, 48, 51]);
    assert_eq!(log.seal().await.rows, 4);
    assert_eq!(log.seal().await.rows, 0, "there is nothing left");
    assert!(log.verify(&kept).await.ok);
}

#[tokio::test]
async fn every_column_of_the_table_is_in_the_leaf() {
    let database = TestDatabase::create().await;
    let mut superuser = database.superuser().await;
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT column_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = 'audit_logs'",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    let columns: BTreeSet<&str> = columns.iter().map(String::as_str).collect();
    assert_eq!(columns, BTreeSet::from(leaf::COLUMN_NAMES), "a new column needs a new encoding");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_sealed_once_each_whoever_writes_and_seals_meanwhile() {
    let mut log = Log::create().await;
    log.write(3).await;
    // A transaction that began before and ends after all others must not be passed over.
    let mut slow = log.database.superuser().await;
    slow.execute(
        "BEGIN; INSERT INTO audit_logs (actor_kind, action, entity) VALUES ('system', 'slow.first', 'x')",
    )
    .await
    .unwrap();
    for _ in 0..5 {
        log.write(20).await;
        let (one, other) = tokio::join!(
            seal::seal(&log.control, &log.key, &[], seal::Turn::IfFree),
            seal::seal(&log.control, &log.key, &[], seal::Turn::Wait)
        );
        one.unwrap();
        other.unwrap();
    }
    let before = log.checkpoint().await;
    assert_eq!(before.size, 103, "what can be seen is sealed, though an older transaction still runs");
    slow.execute(
        "INSERT INTO audit_logs (actor_kind, action, entity) VALUES ('system', 'slow.last', 'x'); COMMIT",
    )
    .await
    .unwrap();
    let after = log.checkpoint().await;
    assert_eq!(after.size, 105);
    let report = log.verify(&[before, after]).await;
    assert!(report.ok && report.unsealed == 0, "{report:?}");
}

#[tokio::test]
async fn whoever_holds_the_turn_is_told_of_and_for_how_long_rows_wait() {
    let mut log = Log::create().await;
    assert_eq!(seal::oldest_unsealed(&log.control).await.unwrap(), None);
    log.write(3).await;
    log.seal().await;
    assert_eq!(seal::oldest_unsealed(&log.control).await.unwrap(), None);
    // Any role may take an advisory lock for the time of a transaction, a tenant's too.
    let mut holder = log.database.superuser().await;
    holder.execute("BEGIN; SELECT pg_advisory_xact_lock(x'636c696e69637805'::bigint)").await.unwrap();
    log.write(2).await;
    let turn = seal::seal(&log.control, &log.key, &[], seal::Turn::IfFree).await.unwrap();
    assert!(turn.missed && turn.rows == 0 && turn.checkpoint.is_none(), "{turn:?}");
    let waits = seal::oldest_unsealed(&log.control).await.unwrap().expect("two rows wait");
    assert!(waits < Duration::from_secs(60), "{waits:?}");
    holder.execute("ROLLBACK").await.unwrap();
    let turn = seal::seal(&log.control, &log.key, &[], seal::Turn::IfFree).await.unwrap();
    assert!(!turn.missed && turn.rows == 2, "{turn:?}");
}

#[tokio::test]
async fn more_rows_than_a_batch_are_sealed_in_several() {
    let mut log = Log::create().await;
    for _ in 0..6 {
        log.write(900).await;
    }
    let sealed = log.seal().await;
    assert_eq!((sealed.rows, sealed.checkpoint.unwrap().0.size), (5_400, 5_400));
    let report = log.verify(&[]).await;
    assert!(report.ok && report.checkpoints == 3 && report.size == 5_400, "{report:?}");
}

#[tokio::test]
async fn after_a_restore_into_a_server_with_lower_numbers_nothing_is_forgotten() {
    let mut log = Log::create().await;
    log.write(10).await;
    log.checkpoint().await;
    // What a restore looks like: the log and a row of its end come from transactions that this server is far from.
    let (old, _) = log.seal().await.checkpoint.unwrap();
    let far = Checkpoint { settled_below: old.settled_below + 1_000_000_000, ..old };
    let note = log.key.sign(&far.to_text());
    log.sql(&format!(
        "UPDATE audit_checkpoints SET settled_below = '{}', note = '{note}'",
        far.settled_below
    ))
    .await;
    log.write(2).await;
    log.sql(&format!(
        "UPDATE audit_logs SET transaction_id = '{}' WHERE id = (SELECT a.id FROM audit_logs AS a
             WHERE NOT EXISTS (SELECT FROM audit_leaves AS l WHERE l.audit_id = a.id) LIMIT 1)",
        far.settled_below + 7
    ))
    .await;
    let report = log.verify(&[]).await;
    assert!(report.ok && report.unsealed == 2, "{report:?}");
    assert_eq!(log.seal().await.rows, 2);
    log.write(3).await;
    assert_eq!(log.seal().await.rows, 3);
    let report = log.verify(&[]).await;
    assert!(report.ok && report.size == 15 && report.unsealed == 0, "{report:?}");
}

#[tokio::test]
async fn nothing_is_sealed_on_top_of_a_log_that_was_touched() {
    for tear in [
        "UPDATE audit_checkpoints SET note = replace(note, 'previous', 'Previous')",
        "UPDATE audit_checkpoints SET frontier = decode(repeat('00', octet_length(frontier)), 'hex')",
        "DELETE FROM audit_leaves WHERE position = (SELECT max(position) FROM audit_leaves)",
        "DELETE FROM audit_checkpoints",
    ] {
        let mut log = Log::create().await;
        log.write(6).await;
        log.seal().await;
        log.sql(tear).await;
        log.write(1).await;
        let refused = seal::seal(&log.control, &log.key, &[], seal::Turn::Wait).await;
        assert!(matches!(refused, Err(AuditError::Tampered)), "{tear}: {refused:?}");
    }
}

#[tokio::test]
async fn a_new_key_goes_on_when_the_old_one_is_known() {
    let mut log = Log::create().await;
    log.write(4).await;
    let kept = log.checkpoint().await;
    let old = log.key.verifying_key();
    log.key = key(2);
    log.write(4).await;
    let strange = seal::seal(&log.control, &log.key, &[], seal::Turn::Wait).await;
    assert!(matches!(strange, Err(AuditError::Tampered)));
    seal::seal(&log.control, &log.key, std::slice::from_ref(&old), seal::Turn::Wait).await.unwrap();
    let report = crate::log::verify(&log.control, &[old, log.key.verifying_key()], &[kept]).await;
    assert!(report.ok && report.size == 8, "{report:?}");
}

#[tokio::test]
async fn a_row_is_proven_to_be_in_the_log_by_its_path_alone() {
    let mut log = Log::create().await;
    for batch in [3, 8, 2] {
        log.write(batch).await;
        log.seal().await;
    }
    let mut superuser = log.database.superuser().await;
    let leaves: Vec<(i64, Uuid)> = sqlx::query_as("SELECT position, audit_id FROM audit_leaves")
        .fetch_all(&mut superuser)
        .await
        .unwrap();
    for (position, id) in leaves {
        let proof = verify::prove(&log.control, &log.keys(), id).await.unwrap();
        let (head, note) = proof.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
        let hash = |text: &str| -> merkle::Hash { BASE64_STANDARD.decode(text).unwrap().try_into().unwrap() };
        let leaf = hash(lines.next().unwrap().strip_prefix("extra ").unwrap());
        assert_eq!(lines.next(), Some(format!("index {position}").as_str()));
        let path: Vec<_> = lines.map(hash).collect();
        let checkpoint = Checkpoint::open(note, &log.keys()).unwrap();
        let root = merkle::root_of_path(position.try_into().unwrap(), checkpoint.size, leaf, &path);
        assert_eq!(root, Some(checkpoint.root), "{position}");
    }
    let unknown = verify::prove(&log.control, &log.keys(), Uuid::nil()).await;
    assert!(matches!(unknown, Err(AuditError::NotSealed)));
}

#[tokio::test]
async fn pruning_keeps_the_proof_and_excuses_nothing_else() {
    let mut log = Log::create().await;
    log.write(30).await;
    log.sql("UPDATE audit_logs SET recorded_at = recorded_at - interval '400 days'").await;
    log.seal().await;
    log.write(20).await;
    let kept = log.checkpoint().await;
    let before = Utc::now() - TimeDelta::days(365);
    assert_eq!(prune::count(&log.control, before).await.unwrap(), 30);
    let owner = log.database.migrator().open().await.unwrap().begin("").await.unwrap();
    let pruned = prune::prune(&owner, &log.key, &[], before, Uuid::nil()).await.unwrap();
    owner.commit().await.unwrap().close().await;
    assert_eq!(pruned.rows, 30);
    let newer = log.checkpoint().await;
    assert_eq!(newer.size, 51, "the statement is sealed too");
    let report = log.verify(&[kept.clone(), newer.clone()]).await;
    assert!(report.ok && report.pruned == 30 && report.unsealed == 0, "{report:?}");
    // Another row that is gone is not excused, nor is any without the statement.
    for (tear, mend_position) in [
        ("DELETE FROM audit_logs WHERE id = (SELECT audit_id FROM audit_leaves WHERE position = 33)", 33),
        (
            "UPDATE audit_logs SET after = jsonb_set(after, '{note}', '\"x\"') WHERE action = 'audit.pruned'",
            0,
        ),
    ] {
        let tx = log.superuser.begin().await.unwrap();
        crate::log::run(&tx, tear).await;
        let report = crate::log::verify(&tx, &log.keys(), &[kept.clone(), newer.clone()]).await;
        let finding = report.finding.unwrap();
        assert_eq!((finding.what, finding.position), (Wrong::Removed, Some(mend_position)), "{tear}");
        tx.rollback().await.unwrap();
    }
    let owner = log.database.migrator().open().await.unwrap().begin("").await.unwrap();
    assert_eq!(prune::prune(&owner, &log.key, &[], before, Uuid::nil()).await.unwrap().rows, 0);
}
