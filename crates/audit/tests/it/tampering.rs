//! What a superuser can do to the log, a thousand times at random: each time it is found.
//!
//! `AUDIT_TAMPERINGS` says how many times (1,000 unless set), `AUDIT_SEED` repeats a run. Each tampering happens in a
//! transaction that is rolled back, so that all of them meet the same log.

use std::{collections::BTreeMap, ops::RangeInclusive};

use clinicx_audit::{Checkpoint, Report, Wrong, leaf::COLUMN_NAMES, seal};
use clinicx_persistence::SystemTransaction;

use crate::log::{Log, key, run, verify};

/// How many rows the batches of the log have.
const BATCHES: [u128; 12] = [1, 9, 4, 16, 2, 7, 1, 1, 12, 5, 3, 11];

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()].clone()
    }
}

/// What must be found: what was done, if it can be told, and the first position that is not as it was sealed.
struct Expected {
    what: Option<Wrong>,
    /// Where the finding must point to; `None` where there is no position.
    first: Option<RangeInclusive<u64>>,
}

fn exactly(what: Wrong, position: u64) -> Expected {
    Expected { what: Some(what), first: Some(position..=position) }
}

/// The finding points at or before the position, and its stretch reaches it.
fn around(position: u64) -> Expected {
    Expected { what: None, first: Some(0..=position) }
}

fn anywhere() -> Expected {
    Expected { what: None, first: None }
}

struct Attack<'a> {
    tx: &'a SystemTransaction,
    random: &'a mut Random,
    size: u64,
    sizes: &'a [u64],
    log: &'a Log,
}

impl Attack<'_> {
    fn position(&mut self) -> u64 {
        self.random.below(self.size)
    }

    /// Two positions, the smaller one first.
    fn two(&mut self) -> (u64, u64) {
        let (one, distance) = (self.position(), 1 + self.random.below(self.size - 1));
        let other = (one + distance) % self.size;
        (one.min(other), one.max(other))
    }

    async fn run(&self, sql: impl AsRef<str>) {
        assert!(run(self.tx, sql.as_ref()).await > 0, "nothing was done: {}", sql.as_ref());
    }

    fn row(position: u64) -> String {
        format!("(SELECT audit_id FROM audit_leaves WHERE position = {position})")
    }

    /// Edits one column of one row.
    async fn edit(&mut self) -> Expected {
        let (position, column) = (self.position(), self.random.of(&COLUMN_NAMES));
        let value = match column {
            "id" => "gen_random_uuid()",
            "recorded_at" => "recorded_at + interval '1 microsecond'",
            "actor_kind" => "CASE actor_kind WHEN 'user' THEN 'anonymous' ELSE 'user' END",
            "patient_ids" => self.random.of(&[
                "array_append(patient_ids, gen_random_uuid())",
                "CASE WHEN patient_ids IS NULL THEN '{}'::uuid[] END",
            ]),
            "source_address" => "CASE WHEN source_address IS NULL THEN inet '192.0.2.1' END",
            "before" | "after" => {
                let set = format!(
                    "UPDATE audit_logs SET {column} = COALESCE({column}, '{{}}') || '{{\"c\": 1}}' WHERE id = {}",
                    Self::row(position)
                );
                self.run(set).await;
                return exactly(Wrong::Edited, position);
            }
            "transaction_id" => {
                "CAST(CAST(CAST(CAST(transaction_id AS text) AS bigint) + 1 AS text) AS xid8)"
            }
            "database_role" | "action" | "entity" => {
                self.run(format!(
                    "UPDATE audit_logs SET {column} = {column} || 'x' WHERE id = {}",
                    Self::row(position)
                ))
                .await;
                return exactly(Wrong::Edited, position);
            }
            "actor_job" => "COALESCE(actor_job, '') || 'x'",
            _ => {
                self.random.of(&["gen_random_uuid()", "CASE WHEN COLUMN IS NULL THEN gen_random_uuid() END"])
            }
        };
        let value = value.replace("COLUMN", column);
        self.run(format!("UPDATE audit_logs SET {column} = {value} WHERE id = {}", Self::row(position)))
            .await;
        if column == "id" { exactly(Wrong::Removed, position) } else { exactly(Wrong::Edited, position) }
    }

    /// Removes rows, with their leaves or without.
    async fn remove(&mut self) -> Expected {
        let position = self.position();
        let count = 1 + self.random.below(3);
        let which = format!("position BETWEEN {position} AND {}", position + count - 1);
        match self.random.below(3) {
            0 => {
                self.run(format!(
                    "DELETE FROM audit_logs WHERE id IN (SELECT audit_id FROM audit_leaves WHERE {which})"
                ))
                .await;
                return exactly(Wrong::Removed, position);
            }
            1 => self.run(format!("DELETE FROM audit_leaves WHERE {which}")).await,
            _ => {
                self.run(format!(
                    "WITH gone AS (DELETE FROM audit_leaves WHERE {which} RETURNING audit_id)
                     DELETE FROM audit_logs WHERE id IN (SELECT audit_id FROM gone)"
                ))
                .await;
            }
        }
        Expected { what: Some(Wrong::Removed), ..around(position) }
    }

    /// Removes a row and its leaf and closes the gap.
    async fn close_up(&mut self) -> Expected {
        let position = self.random.below(self.size - 1);
        self.run(format!(
            "WITH gone AS (DELETE FROM audit_leaves WHERE position = {position} RETURNING audit_id)
             DELETE FROM audit_logs WHERE id IN (SELECT audit_id FROM gone)"
        ))
        .await;
        self.run(format!("UPDATE audit_leaves SET position = position + 100000 WHERE position > {position}"))
            .await;
        self.run("UPDATE audit_leaves SET position = position - 100001 WHERE position >= 100000").await;
        around(position)
    }

    /// Puts a copy of a row in: among the sealed without a leaf, with a leaf in a gap, or behind the end.
    async fn insert(&mut self) -> Expected {
        let position = self.position();
        let columns =
            COLUMN_NAMES.iter().filter(|name| **name != "id").copied().collect::<Vec<_>>().join(", ");
        let copy = format!(
            "INSERT INTO audit_logs (id, {columns})
             SELECT '00000000-0000-0000-0000-00000000beef', {columns} FROM audit_logs WHERE id = {}",
            Self::row(position)
        );
        self.run(copy).await;
        let leaf = |at: u64| {
            format!(
                "INSERT INTO audit_leaves (position, audit_id, encoding, leaf_hash)
                 SELECT {at}, '00000000-0000-0000-0000-00000000beef', 1, leaf_hash FROM audit_leaves
                 WHERE position = {position}"
            )
        };
        // Only a row of a transaction that was settled is known not to be new; another one of the server that had
        // not ended when the log was sealed puts that off.
        let settled = format!(
            "SELECT FROM audit_logs WHERE id = {} AND transaction_id <
                 (SELECT settled_below FROM audit_checkpoints ORDER BY tree_size DESC LIMIT 1)",
            Self::row(position)
        );
        let is_settled = run(self.tx, &settled).await > 0;
        match self.random.below(3) {
            0 if is_settled => Expected { what: Some(Wrong::Inserted), first: None },
            1 if position < self.size - 1 => {
                self.run(format!(
                    "UPDATE audit_leaves SET position = position + 100000 WHERE position > {position}"
                ))
                .await;
                self.run("UPDATE audit_leaves SET position = position - 99999 WHERE position >= 100000")
                    .await;
                self.run(leaf(position + 1)).await;
                around(position + 1)
            }
            _ => {
                self.run(leaf(self.size)).await;
                exactly(Wrong::Inserted, self.size)
            }
        }
    }

    /// Swaps two leaves, or what two rows or leaves say.
    async fn swap(&mut self) -> Expected {
        let (one, other) = self.two();
        let both = format!("position IN ({one}, {other})");
        match self.random.below(3) {
            0 => {
                self.run(format!("UPDATE audit_leaves SET position = position + 100000 WHERE {both}")).await;
                self.run(format!(
                    "UPDATE audit_leaves SET position = CASE position WHEN {one} + 100000 THEN {other} ELSE {one} END
                     WHERE position >= 100000"
                ))
                .await;
                around(one)
            }
            1 => {
                self.run(format!(
                    "UPDATE audit_leaves AS l SET leaf_hash = o.leaf_hash FROM audit_leaves AS o
                     WHERE l.{both} AND o.position = {one} + {other} - l.position"
                ))
                .await;
                Expected { what: Some(Wrong::Edited), ..around(one) }
            }
            _ => {
                let (a, b) = (Self::row(one), Self::row(other));
                self.run(format!(
                    "UPDATE audit_logs AS a SET action = o.action || 'x', after = o.after FROM audit_logs AS o
                     WHERE a.id IN ({a}, {b}) AND o.id IN ({a}, {b}) AND o.id <> a.id"
                ))
                .await;
                exactly(Wrong::Edited, one)
            }
        }
    }

    /// Cuts the end off: at a checkpoint nothing inside the database tells.
    async fn truncate(&mut self) -> Expected {
        let at = self.random.of(&self.sizes[..self.sizes.len() - 1]);
        self.run(format!(
            "WITH gone AS (DELETE FROM audit_leaves WHERE position >= {at} RETURNING audit_id)
             DELETE FROM audit_logs WHERE id IN (SELECT audit_id FROM gone)"
        ))
        .await;
        self.run(format!("DELETE FROM audit_checkpoints WHERE tree_size > {at}")).await;
        exactly(Wrong::Truncated, at)
    }

    async fn touch_leaf(&mut self) -> Expected {
        let position = self.position();
        let change = self.random.of(&[
            "leaf_hash = sha256(leaf_hash)",
            "encoding = 2",
            "audit_id = gen_random_uuid()",
            "position = position + 100000",
        ]);
        self.run(format!("UPDATE audit_leaves SET {change} WHERE position = {position}")).await;
        around(position)
    }

    async fn touch_checkpoint(&mut self) -> Expected {
        let size = self.random.of(self.sizes);
        let change = self.random.of(&[
            "root_hash = sha256(root_hash)",
            "frontier = sha256(frontier)",
            "frontier = frontier || sha256(frontier)",
            "settled_below = '1'",
            "settled_below = '999999999'",
            "note = replace(note, 'log.example', 'log.examble')",
            "note = replace(note, 'made-at 1', 'made-at 2')",
            "note = ''",
            "created_at = created_at - interval '1 microsecond'",
            "tree_size = tree_size + 100000",
        ]);
        self.run(format!("UPDATE audit_checkpoints SET {change} WHERE tree_size = {size}")).await;
        anywhere()
    }

    async fn remove_checkpoint(&mut self) -> Expected {
        let size = self.random.of(self.sizes);
        self.run(format!("DELETE FROM audit_checkpoints WHERE tree_size = {size}")).await;
        anywhere()
    }

    /// Puts a checkpoint in between, with the signature of another one.
    async fn insert_checkpoint(&mut self) -> Expected {
        let free: Vec<u64> = (1..self.size).filter(|size| !self.sizes.contains(size)).collect();
        let size = self.random.of(&free);
        self.run(format!(
            "INSERT INTO audit_checkpoints (tree_size, root_hash, frontier, settled_below, note, created_at)
             SELECT {size}, root_hash, frontier, settled_below, note, created_at FROM audit_checkpoints LIMIT 1"
        ))
        .await;
        anywhere()
    }

    /// Changes a row and makes everything behind it anew, with a key of one's own or with the log's.
    async fn rewrite(&mut self, seed: u8) -> Expected {
        let position = self.position();
        let from = self.sizes.iter().copied().filter(|size| *size <= position).max().unwrap_or_default();
        let edit = self.random.below(2) == 0;
        let row = Self::row(position);
        match edit {
            true => self.run(format!("UPDATE audit_logs SET action = action || 'x' WHERE id = {row}")).await,
            false => self.run(format!("DELETE FROM audit_logs WHERE id = {row}")).await,
        }
        let from = if self.random.below(3) == 0 { 0 } else { from };
        self.run(format!("DELETE FROM audit_leaves WHERE position >= {from}")).await;
        self.run(format!("DELETE FROM audit_checkpoints WHERE tree_size > {from}")).await;
        let keys = [self.log.key.verifying_key(), key(seed).verifying_key()];
        seal::seal_batch(self.tx, &key(seed), &keys).await.unwrap();
        // A log that is made anew and shorter looks like one that was cut off: where it begins to differ can't be told.
        match (edit, seed) {
            (true, _) => around(position),
            (false, 1) => anywhere(),
            // Without the last row the forged log ends one position earlier.
            (false, _) => around(position.min(self.size - 2)),
        }
    }

    /// Removes rows and says that they were pruned, without the key.
    async fn forge_pruning(&mut self) -> Expected {
        let position = self.position();
        let note = key(9).sign(&format!(
            "clinicx audit pruning 1\nlog.example\n{}\n{}\nbefore 2030-01-01T00:00:00+00:00\npositions 0-{}\n",
            self.size,
            "00".repeat(32),
            self.size
        ));
        self.run(format!(
            "INSERT INTO audit_logs (actor_kind, action, entity, after)
             VALUES ('system', 'audit.pruned', 'audit_log', jsonb_build_object('note', '{note}'))"
        ))
        .await;
        self.run(format!("DELETE FROM audit_logs WHERE id = {}", Self::row(position))).await;
        if self.random.below(2) == 0 {
            seal::seal_batch(self.tx, &self.log.key, &self.log.keys()).await.unwrap();
        }
        exactly(Wrong::Removed, position)
    }
}

fn check(kind: &str, expected: &Expected, report: &Report) {
    let Some(finding) = &report.finding else { panic!("{kind} was not found: {report:?}") };
    assert!(!report.ok);
    if let Some(what) = expected.what {
        assert_eq!(finding.what, what, "{kind}: {finding:?}");
    }
    if let Some(first) = &expected.first {
        let position = finding.position.unwrap_or_else(|| panic!("{kind}: no position: {finding:?}"));
        assert!(first.contains(&position), "{kind}: {finding:?} and not {first:?}");
        let reaches = finding.until.is_none_or(|until| until > *first.end());
        assert!(reaches || first.end() == first.start(), "{kind}: {finding:?} ends before {first:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tampering_is_found_with_a_checkpoint_kept_outside() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let wanted = number("AUDIT_TAMPERINGS").unwrap_or(1_000);
    let seed = number("AUDIT_SEED").unwrap_or_else(|| u64::from(std::process::id()) + 1);
    let mut random = Random(seed);
    let mut log = Log::create().await;
    let (mut kept, mut sizes): (Vec<Checkpoint>, Vec<u64>) = (Vec::new(), Vec::new());
    for batch in BATCHES {
        log.write(batch).await;
        let checkpoint = log.checkpoint().await;
        sizes.push(checkpoint.size);
        kept.push(checkpoint);
    }
    // Only the last one is kept elsewhere.
    let kept = [kept.pop().unwrap()];
    let size = kept[0].size;
    assert!(log.verify(&kept).await.ok, "the log is right before anything is done to it");
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..wanted {
        let tx = log.superuser.begin().await.unwrap();
        let mut attack = Attack { tx: &tx, random: &mut random, size, sizes: &sizes, log: &log };
        let (kind, expected) = match round % 13 {
            0 | 1 => ("edit", attack.edit().await),
            2 => ("remove", attack.remove().await),
            3 => ("close up", attack.close_up().await),
            4 => ("insert", attack.insert().await),
            5 => ("swap", attack.swap().await),
            6 => ("truncate", attack.truncate().await),
            7 => ("touch a leaf", attack.touch_leaf().await),
            8 => ("touch a checkpoint", attack.touch_checkpoint().await),
            9 => match attack.random.below(2) {
                0 => ("remove a checkpoint", attack.remove_checkpoint().await),
                _ => ("insert a checkpoint", attack.insert_checkpoint().await),
            },
            10 => ("rewrite without the key", attack.rewrite(9).await),
            11 => ("rewrite with the key", attack.rewrite(1).await),
            _ => ("forge a pruning", attack.forge_pruning().await),
        };
        let report = verify(&tx, &log.keys(), &kept).await;
        check(&format!("{kind} (round {round}, seed {seed})"), &expected, &report);
        if kind == "rewrite with the key" {
            let inside = verify(&tx, &log.keys(), &[]).await;
            assert!(
                inside.ok,
                "the database agrees with itself, which is why one keeps a checkpoint: {inside:?}"
            );
        }
        tx.rollback().await.unwrap();
        *counts.entry(kind).or_default() += 1;
    }
    println!("{wanted} tamperings of a log of {size} rows, all found (seed {seed}): {counts:?}");
    assert!(log.verify(&kept).await.ok, "the log is right after all that was undone");
}
