//! What is due in a schema, by rules over what the catalog says.

use std::collections::{BTreeMap, BTreeSet};

use super::look::{Baselines, Index, Place, Table};

/// What autovacuum does with a big table: a fifth of it (PostgreSQL's default) is too much to wait for.
const BIG_TABLE: [(&str, &str); 3] = [
    ("autovacuum_vacuum_scale_factor", "0.02"),
    ("autovacuum_vacuum_insert_scale_factor", "0.05"),
    ("autovacuum_analyze_scale_factor", "0.01"),
];
/// Of an entry of a B-tree: its header and its pointer in the page, in bytes.
const ENTRY_BYTES: i64 = 8 + 4;
/// How full a page of a B-tree is that was just built.
const FILL: f64 = 0.9;
/// What REINDEX CONCURRENTLY leaves behind when it is cut short.
const LEFTOVERS: [&str; 2] = ["_ccnew", "_ccold"];

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Bring the statistics of a table up to date.
    Analyze,
    /// Free the room of dead rows.
    Vacuum,
    /// Set autovacuum for a big table.
    Settings,
    /// Build an index again.
    Reindex,
}

impl Task {
    /// Every kind, in the order in which they are done.
    pub const ALL: [Self; 4] = [Self::Settings, Self::Vacuum, Self::Analyze, Self::Reindex];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Analyze => "analyze",
            Self::Vacuum => "vacuum",
            Self::Settings => "settings",
            Self::Reindex => "reindex",
        }
    }
}

impl std::str::FromStr for Task {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let task = Self::ALL.into_iter().find(|task| task.as_str() == text);
        task.ok_or("must be one of analyze, vacuum, settings, reindex")
    }
}

/// From where on something is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// The share of a table's rows that has changed since its last ANALYZE.
    pub analyze_share: f64,
    /// How many rows that are at least.
    pub analyze_rows: i64,
    /// The share of dead rows in a table.
    pub vacuum_share: f64,
    /// How many rows that are at least.
    pub vacuum_rows: i64,
    /// How many rows make a table big.
    pub big_rows: i64,
    /// The share of an index that is bloat.
    pub reindex_share: f64,
    /// How many bytes of bloat that are at least.
    pub reindex_bytes: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            analyze_share: 0.1,
            analyze_rows: 500,
            vacuum_share: 0.2,
            vacuum_rows: 10_000,
            big_rows: 1_000_000,
            reindex_share: 0.5,
            reindex_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Something that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// What is done.
    pub task: Task,
    /// The table or index.
    pub object: String,
    /// Its size, in bytes.
    pub bytes: i64,
    /// The share that has changed, is dead or is bloat.
    pub share: Option<f64>,
    /// Why, for people.
    pub why: String,
    /// The statement that does it.
    pub(super) statement: String,
}

/// Returns what is due of these kinds, in the order in which it is done: the largest first within each kind.
pub(super) fn due(
    tables: &[Table],
    indexes: &[Index],
    fleet: &Baselines,
    own: &BTreeMap<String, f64>,
    rules: &Rules,
    tasks: &BTreeSet<Task>,
) -> Vec<Due> {
    let mut found = Vec::new();
    let mut uncounted = BTreeSet::new();
    for table in tables {
        // How many entries its indexes have is not known: an index that was made empty is not counted before ANALYZE.
        if !table.is_analyzed || analyze(table, rules).is_some() || vacuum(table, rules).is_some() {
            uncounted.insert(table.name.as_str());
        }
        let vacuum = vacuum(table, rules).filter(|_| tasks.contains(&Task::Vacuum));
        // VACUUM (ANALYZE) does both.
        if vacuum.is_none() {
            found.extend(analyze(table, rules));
        }
        found.extend(vacuum);
        found.extend(settings(table, rules));
    }
    let is_judged = |index: &&Index| !index.is_valid || !uncounted.contains(index.table.as_str());
    found.extend(indexes.iter().filter(is_judged).filter_map(|index| reindex(index, fleet, own, rules)));
    found.retain(|due| tasks.contains(&due.task));
    let order = |task: Task| Task::ALL.into_iter().position(|other| other == task);
    found.sort_by(|one, other| {
        order(one.task)
            .cmp(&order(other.task))
            .then(other.bytes.cmp(&one.bytes))
            .then(one.object.cmp(&other.object))
    });
    found
}

fn analyze(table: &Table, rules: &Rules) -> Option<Due> {
    let share = share(table.changed, table.live + table.dead);
    let is_due = if table.is_analyzed {
        table.changed >= rules.analyze_rows && share > rules.analyze_share
    } else {
        table.live >= rules.analyze_rows
    };
    is_due.then(|| {
        let why = match table.is_analyzed {
            true => format!("{} rows have changed since the last ANALYZE", table.changed),
            false => format!("{} rows, and never analyzed", table.live),
        };
        let statement = format!("ANALYZE (SKIP_LOCKED) {}", table.place.quoted());
        of_table(table, Task::Analyze, Some(share), why, statement)
    })
}

fn vacuum(table: &Table, rules: &Rules) -> Option<Due> {
    let share = share(table.dead, table.live + table.dead);
    (table.dead >= rules.vacuum_rows && share > rules.vacuum_share).then(|| {
        let why = format!("{} dead rows beside {} live ones", table.dead, table.live);
        let statement = format!("VACUUM (SKIP_LOCKED, ANALYZE, PARALLEL 0) {}", table.place.quoted());
        of_table(table, Task::Vacuum, Some(share), why, statement)
    })
}

/// Settings that somebody has made by hand are left alone.
fn settings(table: &Table, rules: &Rules) -> Option<Due> {
    let is_set = BIG_TABLE.iter().any(|(name, _)| table.options.contains(name));
    (table.live >= rules.big_rows && !is_set).then(|| {
        let why = format!("{} rows under the settings of small tables", table.live);
        let settings = BIG_TABLE.map(|(name, value)| format!("{name} = {value}")).join(", ");
        let statement = format!("ALTER TABLE {} SET ({settings})", table.place.quoted());
        of_table(table, Task::Settings, None, why, statement)
    })
}

fn of_table(table: &Table, task: Task, share: Option<f64>, why: String, statement: String) -> Due {
    Due { task, object: table.name.clone(), bytes: table.bytes, share, why, statement }
}

fn reindex(index: &Index, fleet: &Baselines, own: &BTreeMap<String, f64>, rules: &Rules) -> Option<Due> {
    let due = |why: String, share: Option<f64>, statement: String| Due {
        task: Task::Reindex,
        object: index.name.clone(),
        bytes: index.bytes,
        share,
        why,
        statement,
    };
    if !index.is_valid {
        // Any other that is not valid is a migration's, which takes it up again.
        let is_left = LEFTOVERS
            .iter()
            .any(|end| index.name.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with(end));
        let statement = format!("DROP INDEX CONCURRENTLY {}", index.place.quoted());
        return is_left
            .then(|| due("left behind by a rebuild that was cut short".to_owned(), None, statement));
    }
    if !index.is_rebuildable || index.rows < 0.0 {
        return None;
    }
    let wanted = lean_bytes(index, fleet, own)?;
    let bloat = real(index.bytes) - wanted;
    let share = bloat / real(index.bytes.max(1));
    (bloat >= real(rules.reindex_bytes) && share > rules.reindex_share).then(|| {
        let why = format!("about {:.0} % of it is bloat", share * 100.0);
        due(why, Some(share), rebuild(&index.place))
    })
}

fn rebuild(place: &Place) -> String {
    format!("REINDEX INDEX CONCURRENTLY {}", place.quoted())
}

/// Says about how large an index need be: by what it was when it was built again here, else by the width of its columns
/// or by the leanest of its kind in the fleet. PostgreSQL's own statistics of columns, which other estimates use, show
/// nothing of tables behind row-level security.
fn lean_bytes(index: &Index, fleet: &Baselines, own: &BTreeMap<String, f64>) -> Option<f64> {
    let by_width = index.width.map(|width| real((width.max(1) + 7) / 8 * 8 + ENTRY_BYTES) / FILL);
    let by_fleet = fleet.get(&(index.table.clone(), index.name.clone())).copied();
    let per_row = own.get(&index.name).copied().or(match (by_width, by_fleet) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    })?;
    Some(per_row * index.rows)
}

fn share(part: i64, whole: i64) -> f64 {
    if whole > 0 { real(part) / real(whole) } else { 0.0 }
}

/// Exact up to a precision that no estimate has.
fn real(number: i64) -> f64 {
    let high = i32::try_from(number >> 32).map_or(f64::from(i32::MAX), f64::from);
    let low = u32::try_from(number & 0xffff_ffff).map_or(0.0, f64::from);
    high.mul_add(4_294_967_296.0, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(live: i64, dead: i64, changed: i64, is_analyzed: bool) -> Table {
        Table {
            name: "notes".to_owned(),
            place: Place::for_test("t.notes"),
            bytes: 8_192,
            live,
            dead,
            changed,
            is_analyzed,
            options: String::new(),
        }
    }

    fn index(bytes: i64, rows: f64, width: Option<i64>) -> Index {
        Index {
            name: "ix".to_owned(),
            table: "notes".to_owned(),
            place: Place::for_test("t.ix"),
            bytes,
            rows,
            is_valid: true,
            is_rebuildable: true,
            width,
        }
    }

    fn tasks(tables: &[Table], indexes: &[Index]) -> Vec<Task> {
        let all = Task::ALL.into_iter().collect();
        let none = (Baselines::new(), BTreeMap::new());
        due(tables, indexes, &none.0, &none.1, &Rules::default(), &all).iter().map(|due| due.task).collect()
    }

    #[test]
    fn tables_are_due_by_what_has_changed_and_died() {
        let check = |table: Table, expected: &[Task]| {
            assert_eq!(tasks(std::slice::from_ref(&table), &[]), expected, "{table:?}");
        };
        check(table(100, 0, 100, false), &[]);
        check(table(500, 0, 500, false), &[Task::Analyze]);
        check(table(5_000, 0, 400, true), &[]);
        check(table(5_000, 0, 600, true), &[Task::Analyze]);
        check(table(50_000, 0, 600, true), &[]);
        check(table(30_000, 10_000, 0, true), &[Task::Vacuum]);
        check(table(30_000, 9_999, 0, true), &[]);
        check(table(10_000, 10_000, 20_000, true), &[Task::Vacuum]);
        check(table(1_000_000, 0, 0, true), &[Task::Settings]);
        let options = "autovacuum_vacuum_scale_factor=0.5".to_owned();
        check(Table { options, ..table(1_000_000, 0, 0, true) }, &[]);
    }

    #[test]
    fn an_index_is_due_when_half_of_it_is_bloat() {
        let megabyte = 1024 * 1024;
        let check = |index: Index, expected: &[Task]| assert_eq!(tasks(&[], &[index]), expected);
        // A million UUIDs need 31 MB.
        check(index(40 * megabyte, 1e6, Some(16)), &[]);
        check(index(70 * megabyte, 1e6, Some(16)), &[Task::Reindex]);
        check(index(20 * megabyte, 1e5, Some(16)), &[Task::Reindex]);
        check(index(15 * megabyte, 0.0, Some(16)), &[]);
        check(index(50 * megabyte, -1.0, Some(16)), &[]);
        // Of texts nobody knows how long they are.
        check(index(700 * megabyte, 1e6, None), &[]);
        check(Index { is_rebuildable: false, ..index(700 * megabyte, 1e6, Some(16)) }, &[]);
        check(Index { is_valid: false, ..index(megabyte, 0.0, None) }, &[]);
        let left = Index { is_valid: false, name: "ix_ccnew1".to_owned(), ..index(megabyte, 0.0, None) };
        check(left, &[Task::Reindex]);
    }

    #[test]
    fn an_index_is_judged_only_when_it_was_counted() {
        let bloated = || index(100 * 1024 * 1024, 0.0, Some(16));
        assert_eq!(tasks(&[table(9_000, 0, 0, true)], &[bloated()]), [Task::Reindex]);
        assert_eq!(tasks(&[table(9_000, 0, 9_000, false)], &[bloated()]), [Task::Analyze]);
        assert_eq!(tasks(&[table(9_000, 0, 9_000, true)], &[bloated()]), [Task::Analyze]);
        assert_eq!(tasks(&[table(10, 0, 10, false)], &[bloated()]), []);
    }

    #[test]
    fn the_leanest_of_the_fleet_is_a_measure_and_what_was_rebuilt_here_a_better_one() {
        let megabyte = 1024 * 1024;
        let fleet = Baselines::from([(("notes".to_owned(), "ix".to_owned()), 20.0)]);
        let all = BTreeSet::from([Task::Reindex]);
        let found = |own: &[f64]| {
            let own = own.iter().map(|bytes| ("ix".to_owned(), *bytes)).collect();
            due(&[], &[index(100 * megabyte, 1e6, None)], &fleet, &own, &Rules::default(), &all).len()
        };
        assert_eq!((found(&[]), found(&[60.0]), found(&[30.0])), (1, 0, 1));
    }

    #[test]
    fn large_numbers_become_real_ones() {
        for number in [0, 1, 4_294_967_295, 4_294_967_296, 1 << 50] {
            assert_eq!(format!("{:.0}", real(number)), number.to_string());
        }
        assert_eq!(real(-1), -1.0);
    }
}
