//! How runs go: who waits, who goes first, who stays, and where they lead.

use clinicx_migration::tenant::{
    Down, Limits, MigrateError, Target, TenantMigration,
    apply::{Direction, Fences},
    fleet::{self, Event, Ring, RunEnd, RunOptions, status},
};
use clinicx_tenancy::{Pin, PlatformScope, RolloutPatch};

use super::{COLUMN, FIRST, Fleet, NOTES, SECOND, create, options, plan, step, tenancy};

const THIRD: &[TenantMigration] = &[
    NOTES,
    COLUMN,
    step("m0003_add_size", |script| script.sql("ALTER TABLE notes ADD COLUMN size integer")),
];
const UNDONE: &[TenantMigration] = &[
    NOTES,
    COLUMN,
    TenantMigration {
        name: "m0003_create_index",
        up: |script| script.sql("CREATE INDEX ix_notes__colour ON notes (colour)"),
        down: Down::Script(|script| script.sql("DROP INDEX ix_notes__colour")),
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_one_waits_and_each_migration_is_applied_once() {
    let fleet = Fleet::create(12, FIRST).await;
    let plan = plan(SECOND);
    let (one, other) = (options(), options());
    let ((first, said), (second, said_too)) =
        tokio::join!(fleet.watch(&plan, &one), fleet.watch(&plan, &other));
    let waited = [said, said_too].iter().filter(|said| said.iter().any(|word| word == "waiting")).count();
    assert_eq!(waited, 1, "one waits, and says so once");
    let mut ends = [first.end, second.end];
    ends.sort_by_key(|end| *end != RunEnd::Nothing);
    assert_eq!(ends, [RunEnd::Nothing, RunEnd::Succeeded]);
    for at in 0..fleet.tenants.len() {
        assert_eq!(fleet.number(at, "SELECT count(*) FROM schema_migrations").await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rings_go_first_and_pins_hold() {
    let fleet = Fleet::create(6, FIRST).await;
    let plan = plan(THIRD);
    let by = PlatformScope::system("test");
    let ring = |ring: Ring| RolloutPatch { ring: Some(ring), pin: None };
    fleet.tenancy.set_rollout(&fleet.tenants[0].slug, ring(Ring::Canary), &by).await.unwrap();
    fleet.tenancy.set_rollout(&fleet.tenants[1].slug, ring(Ring::Early), &by).await.unwrap();
    let here = RolloutPatch { ring: None, pin: Some(Some(Pin::Here)) };
    let pinned = fleet.tenancy.set_rollout(&fleet.tenants[2].slug, here, &by).await.unwrap();
    assert_eq!(pinned.pin, Some("core=1".parse().unwrap()));
    let two: Limits = "core=2".parse().unwrap();
    let at = RolloutPatch { ring: None, pin: Some(Some(Pin::At(two.clone()))) };
    fleet.tenancy.set_rollout(&fleet.tenants[3].slug, at, &by).await.unwrap();
    let unknown = RolloutPatch { ring: None, pin: Some(Some(Pin::At("nothing=1".parse().unwrap()))) };
    fleet.tenancy.set_rollout(&fleet.tenants[3].slug, unknown, &by).await.unwrap_err();

    let (report, said) = fleet.watch(&plan, &options()).await;
    assert_eq!(said, ["began 5 false", "canary 1", "early 1", "rest 3"]);
    assert_eq!(report.end, RunEnd::Succeeded);
    let pinned: Vec<_> =
        report.pinned.iter().map(|(slug, limits)| (slug.as_str(), limits.to_string())).collect();
    let slug = |at: usize| fleet.tenants[at].slug.as_str();
    assert_eq!(pinned, [(slug(2), "core=1".to_owned()), (slug(3), "core=2".to_owned())]);
    let versions: Vec<String> =
        fleet.standings(&plan).await.iter().map(|one| one.version.to_string()).collect();
    assert_eq!(versions, ["1.3.0", "1.3.0", "1.1.0", "1.2.0", "1.3.0", "1.3.0"]);

    let free = RolloutPatch { ring: None, pin: Some(None) };
    fleet.tenancy.set_rollout(&fleet.tenants[2].slug, free, &by).await.unwrap();
    let report = fleet.run(&plan, &options()).await;
    assert_eq!((report.done, report.pinned.len()), (1, 1));
    let mut superuser = fleet.database.superuser().await;
    let audited: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM public.audit_logs WHERE action = 'tenant.rollout_changed' AND tenant_id = $1",
    )
    .bind(fleet.tenants[2].id.uuid())
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(audited, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_meanwhile_is_brought_to_the_same_version() {
    let fleet = Fleet::create(4, FIRST).await;
    let plan = plan(SECOND);
    let older = tenancy(&fleet.database, FIRST).await;
    let newer = tenancy(&fleet.database, SECOND).await;
    let (login, asked, mut made) = (fleet.login(), options(), false);
    let report = fleet::run(&login, &plan, &asked, |event| {
        if matches!(event, Event::Wave { .. }) && !made {
            made = true;
            let making = async { tokio::join!(create(&older), create(&newer)) };
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(making));
        }
    });
    let report = report.await.unwrap();
    assert_eq!((report.end, report.done), (RunEnd::Succeeded, 5), "the older program's, and nobody twice");
    let standings = fleet.standings(&plan).await;
    assert_eq!(standings.len(), 6);
    assert!(standings.iter().all(|one| one.version.to_string() == "1.2.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_kept_and_what_is_beyond_it_undone_where_it_can_be() {
    let fleet = Fleet::create(3, FIRST).await;
    let plan = plan(UNDONE);
    let to = |text: &str, direction: Direction| RunOptions {
        target: text.parse::<Target>().unwrap(),
        direction,
        ..options()
    };
    let versions = async || -> Vec<String> {
        fleet.standings(&plan).await.iter().map(|one| one.version.to_string()).collect()
    };
    fleet.run(&plan, &to("1.2.0", Direction::Forward)).await;
    assert_eq!(versions().await, ["1.2.0"; 3]);
    assert_eq!(fleet.run(&plan, &options()).await.done, 3);
    assert_eq!(versions().await, ["1.3.0"; 3]);
    assert_eq!(fleet.run(&plan, &to("core=1", Direction::Forward)).await.end, RunEnd::Nothing);
    assert_eq!(fleet.run(&plan, &to("core=1", Direction::Both)).await.done, 3);
    assert_eq!(versions().await, ["1.1.0"; 3]);
    let columns = "SELECT count(*) FROM information_schema.columns \
                   WHERE table_schema = current_schema() AND column_name = 'colour'";
    assert_eq!(fleet.number(0, columns).await, 0);
    let report = fleet.run(&plan, &to("core=0", Direction::Both)).await;
    assert!(matches!(report.end, RunEnd::Halted(_)), "{report:?}");
    let error = report.undone.iter().find_map(|undone| undone.error.clone()).unwrap();
    assert_eq!(error, "migration core/m0001_create_notes can't be undone: a test");
    assert_eq!(versions().await, ["1.1.0"; 3]);
    // Up again: it is a fresh application.
    assert_eq!(fleet.run(&plan, &options()).await.done, 3);
    assert_eq!(versions().await, ["1.3.0"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_done_is_named_and_holds_up_nobody() {
    let fleet = Fleet::create(4, FIRST).await;
    let plan = plan(SECOND);
    fleet.sql(0, "DROP TABLE schema_migrations").await;
    fleet.sql(1, "UPDATE schema_migrations SET checksum = repeat('0', 64)").await;
    let report = fleet.run(&plan, &options()).await;
    assert_eq!((&report.end, report.done), (&RunEnd::Partly, 2));
    let named: Vec<_> =
        report.undone.iter().map(|undone| (undone.slug.as_str(), undone.state.as_str())).collect();
    let slug = |at: usize| fleet.tenants[at].slug.as_str();
    assert_eq!(named, [(slug(0), "skipped"), (slug(1), "skipped")]);
    let errors: Vec<_> = report.undone.iter().map(|undone| undone.error.clone().unwrap()).collect();
    assert_eq!(errors[0], MigrateError::NoLedger.to_string());
    assert!(errors[1].contains("was changed after it had been applied"), "{errors:?}");
    let last = status::last_run(&fleet.registry).await.unwrap().unwrap();
    assert_eq!((last.state.as_str(), last.done, last.skipped), ("partly", 2, 2));
    let unknown = RunOptions { only: ["nobody".to_owned()].into(), ..options() };
    let error = fleet::run(&fleet.login(), &plan, &unknown, |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no tenant nobody with tables");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_wish_takes_the_place_of_a_run_that_was_halted() {
    let fleet = Fleet::create(4, FIRST).await;
    let plan = plan(SECOND);
    fleet.spoil(0).await;
    let asked = RunOptions { canary: fleet.slugs(&[0]), ..options() };
    assert!(matches!(fleet.run(&plan, &asked).await.end, RunEnd::Halted(_)));
    let only = RunOptions { only: fleet.slugs(&[1]), ..options() };
    let report = fleet.run(&plan, &only).await;
    assert_eq!((report.end, report.done), (RunEnd::Succeeded, 1));
    let mut superuser = fleet.database.superuser().await;
    let states: Vec<String> =
        sqlx::query_scalar("SELECT state FROM public.migration_runs ORDER BY started_at, id")
            .fetch_all(&mut superuser)
            .await
            .unwrap();
    assert_eq!(states, ["superseded", "succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_fences_are_mended_when_that_is_asked_for() {
    let fleet = Fleet::create(2, SECOND).await;
    let plan = plan(SECOND);
    fleet.sql(0, "ALTER TABLE notes NO FORCE ROW LEVEL SECURITY").await;
    assert_eq!(fleet.run(&plan, &options()).await.end, RunEnd::Nothing);
    let mending = RunOptions { fences: Fences::Always, ..options() };
    assert_eq!(fleet.run(&plan, &mending).await.done, 2);
    let forced = "SELECT count(*) FROM pg_class WHERE relname = 'notes' AND relforcerowsecurity \
                  AND relnamespace = current_schema()::regnamespace";
    assert_eq!(fleet.number(0, forced).await, 1);
}
