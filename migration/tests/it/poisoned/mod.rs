//! Poisoned state: for every ordered pair of twenty tenants and every table, a connection that is half another
//! tenant's, and whatever may be tried on it. No row is read and none is written.
//!
//! Every tenant has the same rows with the same ids, so that nothing but the fences tells them apart. What is tried
//! reaches a row when everything is right (the positive control), and what a torn fence lets through is noticed.

mod copy;
mod pool;
mod rows;

use std::{collections::BTreeMap, time::Instant};

use clinicx_migration::{fence, mend, system::SystemRole};
use clinicx_testing::{TestDatabase, TestTenant};
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use copy::Rights;
use rows::Table;

/// How many tenants there are.
const TENANTS: usize = 20;
/// How many connections attack at a time.
const ATTACKERS: usize = 3;

/// Twenty tenants, alike but for who they are.
struct World {
    database: TestDatabase,
    tenants: Vec<TestTenant>,
    tables: Vec<Table>,
}

/// One connection's state.
#[derive(Clone, Debug)]
struct State {
    role: String,
    path: String,
    setting: Option<String>,
    /// Whose tables are meant.
    target: String,
    /// The id of a tenant that they do not belong to.
    other: String,
}

impl State {
    fn sql(&self) -> String {
        let Self { role, path, setting, target, other } = self;
        let setting = setting.as_ref().map_or("NULL".to_owned(), |setting| format!("'{setting}'"));
        format!("ROW('{role}', '{path}', {setting}, '{target}', '{other}')::probe.state")
    }
}

/// What was tried, and how it ended.
#[derive(Default)]
struct Report {
    tried: u64,
    ends: BTreeMap<String, u64>,
    reached: Vec<String>,
}

impl Report {
    fn add(&mut self, state: &str, tried: i64, ends: BTreeMap<String, u64>, reached: Vec<String>) {
        self.tried += u64::try_from(tried).unwrap();
        ends.into_iter().for_each(|(end, count)| *self.ends.entry(end).or_default() += count);
        self.reached.extend(reached.into_iter().map(|what| format!("{state}: {what}")));
    }

    fn merge(&mut self, other: Self) {
        self.add("", i64::try_from(other.tried).unwrap(), other.ends, Vec::new());
        self.reached.extend(other.reached);
    }

    #[track_caller]
    fn expect_nothing(&self, what: &str, begun: Instant) {
        println!("{what}: {} tried in {:.1?}: {:?}", self.tried, begun.elapsed(), self.ends);
        assert!(
            self.reached.is_empty(),
            "{what}: {} reached: {:#?}",
            self.reached.len(),
            &self.reached[..self.reached.len().min(20)]
        );
        assert!(self.tried > 0);
    }
}

impl World {
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let first = TestTenant::builder().database(&database).create().await;
        let mut tenants = vec![first];
        while tenants.len() < TENANTS {
            tenants.push(tenants[0].another().await);
        }
        let mut superuser = database.superuser().await;
        superuser.execute(include_str!("attack.sql")).await.unwrap();
        let tables = rows::fill(&mut superuser, tenants[0].tenant.database_schema.as_str()).await;
        let world = Self { database, tenants, tables };
        world.spread(&mut superuser).await;
        world
    }

    fn schema(&self, number: usize) -> &str {
        self.tenants[number].tenant.database_schema.as_str()
    }

    fn id(&self, number: usize) -> String {
        self.tenants[number].tenant.id.to_string()
    }

    /// Gives every tenant the rows of the first, and tells the attack of them.
    async fn spread(&self, superuser: &mut PgConnection) {
        for table in &self.tables {
            sqlx::query("INSERT INTO probe.tables VALUES ($1, $2, $3, $4)")
                .bind(&table.name)
                .bind(&table.columns)
                .bind(&table.values)
                .bind(&table.all_columns)
                .execute(&mut *superuser)
                .await
                .unwrap();
        }
        for number in 0..TENANTS {
            let (schema, first) = (self.schema(number), self.schema(0));
            let mut script =
                format!("INSERT INTO probe.tenants VALUES ({number}, '{}', '{schema}');", self.id(number));
            // The ledger has rows of its own.
            for table in self.tables.iter().filter(|table| number > 0 && table.name != "schema_migrations") {
                let (name, columns) = (&table.name, &table.all_columns);
                // What a migration ships is in the first one too.
                script.push_str(&format!("DELETE FROM \"{schema}\".\"{name}\";"));
                script.push_str(&format!(
                    "INSERT INTO \"{schema}\".\"{name}\" ({columns}) SELECT {columns} FROM \"{first}\".\"{name}\";"
                ));
            }
            superuser.execute(AssertSqlSafe(script)).await.unwrap();
        }
    }

    /// Every row of every tenant, as digests.
    async fn digest(&self, superuser: &mut PgConnection) -> Vec<(String, i64, String)> {
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT place, row_count, digest::text FROM probe.digest()")
                .fetch_all(superuser)
                .await
                .unwrap();
        assert_eq!(rows.len(), TENANTS * self.tables.len());
        assert!(
            rows.iter().all(|(_, count, _)| *count > 0),
            "a table without a row proves nothing: {rows:?}"
        );
        rows
    }

    /// The states in which a connection is half of tenant `a` and half of tenant `b`.
    fn pair(&self, a: usize, b: usize) -> Vec<State> {
        let state = |role: usize, path: usize, setting: usize, target: usize| State {
            role: self.schema(role).to_owned(),
            path: self.schema(path).to_owned(),
            setting: Some(self.id(setting)),
            target: self.schema(target).to_owned(),
            other: self.id(if target == a { b } else { a }),
        };
        vec![
            state(a, b, a, b),
            state(a, b, b, b),
            state(b, a, a, a),
            state(b, a, a, b),
            state(b, b, a, b),
            state(a, a, b, b),
        ]
    }

    /// What a connection of tenant `a`, or of nobody, is in once it was given every right to tenant `b`'s tables.
    fn granted(&self, a: usize, b: usize) -> Vec<State> {
        // The right role with the wrong setting is in the other list.
        let is_stranger = |state: &State| state.role == self.schema(a) && state.path == self.schema(b);
        self.pair(a, b).into_iter().filter(is_stranger).collect()
    }

    /// The states of tenant `b` that are nobody else's.
    fn alone(&self, b: usize) -> Vec<State> {
        let own = self.schema(b);
        let state = |role: &str, setting: Option<String>| State {
            role: role.to_owned(),
            path: own.to_owned(),
            setting,
            target: own.to_owned(),
            other: self.id((b + 1) % TENANTS),
        };
        let id = self.id(b);
        let mut states = vec![state("none", Some(id.clone())), state("none", None)];
        for wrong in
            [None, Some(String::new()), Some("x".to_owned()), Some(id.to_uppercase()), Some(format!(" {id}"))]
        {
            states.push(state(own, wrong));
        }
        states
    }
}

async fn attack(connection: &mut PgConnection, state: &State, views: bool) -> Report {
    let question = format!("SELECT tried, ends, reached FROM probe.attack({}, {views})", state.sql());
    let (tried, ends, reached): (i64, Vec<String>, Vec<String>) =
        sqlx::query_as(AssertSqlSafe(question)).persistent(false).fetch_one(connection).await.unwrap();
    let ends = ends.iter().map(|end| end.rsplit_once(':').unwrap());
    let ends = ends.map(|(end, count)| (end.to_owned(), count.parse().unwrap())).collect();
    let mut report = Report::default();
    report.add(&format!("{state:?}"), tried, ends, reached);
    report
}

/// Attacks in every state, with several connections of a login.
async fn attack_all(world: &World, login: SystemRole, states: Vec<State>, views: bool) -> Report {
    let mut report = Report::default();
    // Each attacks tenants of its own: TRUNCATE would wait for what the others have locked.
    let mut shares = vec![Vec::new(); ATTACKERS];
    for state in states {
        let target = (0..TENANTS).find(|number| world.schema(*number) == state.target).unwrap();
        shares[target % ATTACKERS].push(state);
    }
    let tasks: Vec<_> = shares
        .into_iter()
        .map(|states| {
            let database = world.database.clone();
            tokio::spawn(async move {
                let mut connection = database.login(login).await;
                let mut report = Report::default();
                for state in &states {
                    report.merge(attack(&mut connection, state, views).await);
                }
                report
            })
        })
        .collect();
    for task in tasks {
        report.merge(task.await.unwrap());
    }
    report
}

/// Gives every tenant's schema and tables to every other tenant, to the application's login and to everybody, and puts
/// views there.
async fn grant_all(world: &World, superuser: &mut PgConnection) {
    let everybody: Vec<String> = (0..TENANTS).map(|number| format!("\"{}\"", world.schema(number))).collect();
    let everybody = format!("{}, clinicx_app, PUBLIC", everybody.join(", "));
    for number in 0..TENANTS {
        let schema = world.schema(number);
        let mut script = String::new();
        for Table { name, .. } in &world.tables {
            for (view, option) in [("probe_invoker", "WITH (security_invoker)"), ("probe_owner", "")] {
                script.push_str(&format!(
                    "CREATE VIEW \"{schema}\".\"{view}_{name}\" {option} AS SELECT * FROM \"{schema}\".\"{name}\";
                     ALTER VIEW \"{schema}\".\"{view}_{name}\" OWNER TO clinicx_owner;"
                ));
            }
        }
        script.push_str(&format!(
            "GRANT ALL ON SCHEMA \"{schema}\" TO {everybody}; GRANT ALL ON ALL TABLES IN SCHEMA \"{schema}\" TO {everybody};"
        ));
        superuser.execute(AssertSqlSafe(script)).await.unwrap();
    }
}

/// With everything right each tenant reaches each of its tables, in each way that it has the right to.
async fn everything_right_reaches(world: &World) {
    let mut connection = world.database.login(SystemRole::App).await;
    let mut all = 0;
    for number in 0..TENANTS {
        let own = world.schema(number).to_owned();
        let state = State {
            role: own.clone(),
            path: own.clone(),
            setting: Some(world.id(number)),
            target: own,
            other: world.id((number + 1) % TENANTS),
        };
        let question = format!("SELECT reached, stopped FROM probe.control({})", state.sql());
        let (reached, stopped): (i64, Vec<String>) = sqlx::query_as(AssertSqlSafe(question))
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert!(stopped.is_empty(), "{state:?}: {stopped:#?}");
        // Three ways to read each table at least, and to add to each but the ledger.
        assert!(reached >= i64::try_from(world.tables.len() * 4 - 1).unwrap(), "{reached}");
        all += reached;
    }
    println!("everything right: {all} statements reached a row");
}

/// A torn fence is noticed: the attack is not blind.
async fn a_hole_is_noticed(world: &World, superuser: &mut PgConnection) {
    let mut connection = world.database.login(SystemRole::App).await;
    let state = &world.granted(0, 1)[0];
    let target = &state.target;
    let tear = format!("ALTER TABLE \"{target}\".patients DISABLE ROW LEVEL SECURITY");
    superuser.execute(AssertSqlSafe(tear)).await.unwrap();
    let report = attack(&mut connection, state, true).await;
    for kind in ["SELECT 1 FROM", "INSERT INTO", "UPDATE", "WITH x AS (DELETE", "probe_invoker_patients"] {
        assert!(report.reached.iter().any(|what| what.contains(kind)), "{kind}: {:#?}", report.reached);
    }
    let mend = format!("ALTER TABLE \"{target}\".patients ENABLE ROW LEVEL SECURITY");
    superuser.execute(AssertSqlSafe(mend)).await.unwrap();
    assert_eq!(attack(&mut connection, state, true).await.reached, Vec::<String>::new());
}

/// A parent is read by its own rights and policies alone, and its children's rows with it: none of the fences stops
/// that, so that the attack and the check have to notice it, and the command that is named has to end it.
async fn a_parent_is_noticed(world: &World, superuser: &mut PgConnection) {
    let mut connection = world.database.login(SystemRole::App).await;
    let state = &world.granted(0, 1)[0];
    let target = &state.target;
    let tear = format!(
        "CREATE TABLE \"{target}\".probe_parent_patients (LIKE \"{target}\".patients);
         ALTER TABLE \"{target}\".probe_parent_patients OWNER TO clinicx_owner;
         ALTER TABLE \"{target}\".patients INHERIT \"{target}\".probe_parent_patients;
         GRANT ALL ON \"{target}\".probe_parent_patients TO \"{}\"",
        state.role
    );
    superuser.execute(AssertSqlSafe(tear)).await.unwrap();
    let report = attack(&mut connection, state, true).await;
    let noticed = report.reached.iter().any(|what| what.contains("probe_parent_patients"));
    assert!(noticed, "{:#?}", report.reached);

    let (app, names) = (world.database.system(SystemRole::App).await, world.database.roles());
    let gaps = fence::check(&app, &names, None).await.unwrap();
    app.close().await;
    let mut inherits = gaps.iter().filter(|gap| gap.gap == "inherits");
    let gap = inherits.next().unwrap_or_else(|| panic!("{gaps:?}"));
    assert_eq!((gap.schema.as_str(), gap.relation.as_deref()), (target.as_str(), Some("patients")));
    let command = mend::command(gap, &names);
    let (_, statement) = command.split_once("in psql: ").unwrap();
    superuser.execute(AssertSqlSafe(statement)).await.unwrap();
    assert_eq!(attack(&mut connection, state, true).await.reached, Vec::<String>::new());
    assert!(inherits.next().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_another_tenants_connection_reads_and_writes_no_row() {
    let begun = Instant::now();
    let world = World::create().await;
    let mut superuser = world.database.superuser().await;
    let before = world.digest(&mut superuser).await;
    println!("{TENANTS} tenants with {} tables each in {:.1?}", world.tables.len(), begun.elapsed());
    everything_right_reaches(&world).await;

    let pairs: Vec<(usize, usize)> =
        (0..TENANTS).flat_map(|a| (0..TENANTS).filter(move |b| a != *b).map(move |b| (a, b))).collect();
    assert_eq!(pairs.len(), 380);
    let states = |of: &dyn Fn(usize, usize) -> Vec<State>| {
        pairs.iter().flat_map(|(a, b)| of(*a, *b)).collect::<Vec<_>>()
    };
    let alone: Vec<State> = (0..TENANTS).flat_map(|b| world.alone(b)).collect();

    let begun = Instant::now();
    let mut report = attack_all(&world, SystemRole::App, states(&|a, b| world.pair(a, b)), false).await;
    report.merge(attack_all(&world, SystemRole::App, alone.clone(), false).await);
    report.expect_nothing("role, path and setting of different tenants", begun);

    let begun = Instant::now();
    let owner = |b: usize, setting: Option<usize>| State {
        role: "clinicx_owner".to_owned(),
        path: world.schema(b).to_owned(),
        setting: setting.map(|number| world.id(number)),
        target: world.schema(b).to_owned(),
        other: world.id((b + 1) % TENANTS),
    };
    let owners = pairs.iter().map(|(a, b)| owner(*b, Some(*a))).chain((0..TENANTS).map(|b| owner(b, None)));
    attack_all(&world, SystemRole::Migrator, owners.collect(), false)
        .await
        .expect_nothing("the owner role with another tenant's setting", begun);

    let ring: Vec<_> = (0..TENANTS).map(|a| (a, (a + 1) % TENANTS)).collect();
    copy::nothing_passes(&world, &ring, Rights::Own).await;
    pool::nothing_passes(&world).await;

    let begun = Instant::now();
    grant_all(&world, &mut superuser).await;
    let mut report = attack_all(&world, SystemRole::App, states(&|a, b| world.granted(a, b)), true).await;
    report.merge(attack_all(&world, SystemRole::App, alone, true).await);
    report.expect_nothing("after GRANT ALL to everybody", begun);
    copy::nothing_passes(&world, &pairs, Rights::All).await;
    a_hole_is_noticed(&world, &mut superuser).await;
    a_parent_is_noticed(&world, &mut superuser).await;

    copy::superuser_is_stopped(&world, &mut superuser, &pairs).await;
    assert_eq!(world.digest(&mut superuser).await, before, "a row was written");
}
