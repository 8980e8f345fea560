//! What goes wrong, and how far it gets.

use clinicx_migration::tenant::fleet::{RunEnd, RunOptions, Wave, wave};

use super::{FIRST, Fleet, SECOND, options, plan};

/// The fleet of the bar.
const TENANTS: usize = 200;

/// Spoils three tenants and returns them, and the wave of each tenant.
async fn with_three_bad(fleet: &Fleet, in_wave: Wave) -> (Vec<usize>, Vec<Wave>) {
    let rings: Vec<_> = fleet.tenants.iter().map(|one| (one.id, wave::Ring::General)).collect();
    let waves = wave::assign(&rings, &std::collections::BTreeSet::new());
    let bad: Vec<usize> = (0..fleet.tenants.len()).filter(|at| waves[*at] == in_wave).take(3).collect();
    for at in &bad {
        fleet.spoil(*at).await;
    }
    (bad, waves)
}

fn named(fleet: &Fleet, report: &clinicx_migration::tenant::fleet::RunReport) -> Vec<usize> {
    let failed = report.undone.iter().filter(|undone| undone.state == "failed");
    failed
        .map(|undone| fleet.tenants.iter().position(|one| one.slug.as_str() == undone.slug).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_canary_halts_before_the_others_and_the_rest_goes_on_after_mending() {
    let fleet = Fleet::create(TENANTS, FIRST).await;
    let (bad, _) = with_three_bad(&fleet, Wave::Rest).await;
    let plan = plan(SECOND);
    let good = (0..TENANTS).find(|at| !bad.contains(at)).unwrap();
    let asked = || RunOptions { canary: fleet.slugs(&[bad[0], good]), ..options() };
    let (report, said) = fleet.watch(&plan, &asked()).await;
    assert_eq!(said, ["began 200 false", "canary 2"]);
    assert!(
        matches!(&report.end, RunEnd::Halted(reason) if reason == "1 of 2 canaries failed"),
        "{report:?}"
    );
    assert_eq!((named(&fleet, &report), report.done), (vec![bad[0]], 1));
    assert_eq!(report.undone.len(), TENANTS - 1, "everybody who is not done is named");
    let failed = report.undone.iter().find(|undone| undone.state == "failed").unwrap();
    assert!(failed.error.as_deref().unwrap().contains("apply a migration"), "{failed:?}");
    assert!(!failed.error.as_deref().unwrap().contains("bad"), "no value of a row: {failed:?}");
    let behind = fleet.standings(&plan).await.iter().filter(|one| one.pending > 0).count();
    assert_eq!(behind, TENANTS - 1);
    // The others serve: what was not begun is as it was.
    fleet.sql(bad[1], "SELECT body FROM notes").await;

    for at in &bad {
        fleet.mend(*at).await;
    }
    let (resumed, said) = fleet.watch(&plan, &asked()).await;
    assert_eq!(said, ["began 199 true", "canary 1", "early 10", "rest 188"]);
    assert_eq!((resumed.run, resumed.end, resumed.done), (report.run, RunEnd::Succeeded, TENANTS - 1));
    assert!(fleet.standings(&plan).await.iter().all(|one| one.pending == 0));
    let again = fleet.run(&plan, &asked()).await;
    assert_eq!((again.run, again.end), (None, RunEnd::Nothing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_halts_when_a_share_has_failed_and_names_them() {
    let fleet = Fleet::create(TENANTS, FIRST).await;
    let (bad, waves) = with_three_bad(&fleet, Wave::Rest).await;
    let plan = plan(SECOND);
    let strict = RunOptions { halt_at: "1%".parse().unwrap(), ..options() };
    let report = fleet.run(&plan, &strict).await;
    // One of 190 is below the share, two are above it.
    assert!(matches!(&report.end, RunEnd::Halted(reason) if reason.contains("more than 1%")), "{report:?}");
    let found = named(&fleet, &report);
    assert!(found.len() >= 2 && found.iter().all(|at| bad.contains(at)), "{found:?}");
    let early = waves.iter().filter(|wave| **wave == Wave::Early).count();
    assert!(report.done >= early && report.done < TENANTS, "{}", report.done);
    for at in &bad {
        fleet.mend(*at).await;
    }
    let report = fleet.run(&plan, &RunOptions { halt_at: "1%".parse().unwrap(), ..options() }).await;
    assert_eq!(report.end, RunEnd::Succeeded, "{report:?}");
    assert!(fleet.standings(&plan).await.iter().all(|one| one.pending == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_share_all_others_are_done_and_the_failed_are_tried_again() {
    let fleet = Fleet::create(80, FIRST).await;
    let (bad, _) = with_three_bad(&fleet, Wave::Rest).await;
    let plan = plan(SECOND);
    let report = fleet.run(&plan, &options()).await;
    assert_eq!((report.end, report.done), (RunEnd::Partly, 77));
    assert_eq!(report.undone.len(), 3);
    for at in &bad {
        fleet.mend(*at).await;
    }
    let retried = fleet.run(&plan, &RunOptions { retry_failed: true, ..options() }).await;
    assert_eq!((retried.end, retried.done), (RunEnd::Succeeded, 3));
    assert_ne!(retried.run, report.run, "a run that has ended is not taken up");
}
