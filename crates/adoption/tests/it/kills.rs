//! The process that moves a clinic is killed at random: the next goes on, and every row ends where it belongs.
//!
//! `ADOPTION_KILLS` and `ADOPTION_KILLS_ROWS` set other numbers than 8 kills of a clinic of 1,500 rows.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use clinicx_adoption::{Adopter, Mapping, State, Until};
use clinicx_tenancy::{PlatformScope, TenantStatus, registry};
use rand::RngExt;

use crate::support::{Legacy, adopt, ensure, number};

/// Where the runner finds what it needs.
const MAPPING: &str = "ADOPTION_RUNNER_MAPPING";
const PLACE: &str = "ADOPTION_RUNNER_PLACE";

/// Not a test: what the test below starts as a process of its own, and kills.
#[tokio::test(flavor = "multi_thread")]
async fn runner() {
    let (Ok(mapping), Ok(place)) = (std::env::var(MAPPING), std::env::var(PLACE)) else { return };
    let place: Vec<&str> = place.split('\n').collect();
    let [superuser, reader, owner] = place.as_slice() else { return };
    let mapping = Mapping::parse(&std::fs::read_to_string(mapping).unwrap()).unwrap();
    let adopter = crate::support::adopter_at(superuser, (reader, owner), mapping).await;
    let clinic = adopter.mapping.tenants[0].clone();
    let done = adopter.adopt(&clinic, Until::Switched, &PlatformScope::system("test"), |_| {}).await;
    std::process::exit(if done.is_ok() { 0 } else { 1 });
}

fn start(legacy: &Legacy, mapping: &std::path::Path) -> std::process::Child {
    let place =
        [legacy.url("postgres"), legacy.url_of(&legacy.reader), legacy.url_of(&legacy.owner)].join("\n");
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::runner", "--nocapture"])
        .env(MAPPING, mapping)
        .env(PLACE, place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clinic_is_moved_whoever_is_killed() {
    let (kills, rows) = (number("ADOPTION_KILLS", 8), number("ADOPTION_KILLS_ROWS", 1500));
    let legacy = Legacy::create(1, rows).await;
    let text = legacy.mapping_text(&[]);
    let file = legacy.folder().join("mapping.toml");
    std::fs::write(&file, &text).unwrap();
    let adopter: Adopter = legacy.adopter(Mapping::parse(&text).unwrap()).await;
    let clinic = &adopter.mapping.tenants[0];
    let tenant = ensure(&adopter, clinic).await;
    let (mut done, mut ended) = (0, 0);
    let mut typical = Duration::from_millis(1500);
    while done < kills {
        let begun = Instant::now();
        let mut runner = start(&legacy, &file);
        tokio::time::sleep(typical.mul_f64(rand::rng().random_range(0.05..1.1))).await;
        if runner.try_wait().unwrap().is_some() {
            typical = (typical + begun.elapsed()) / 2;
            ended += 1;
            // Around again: the tenant is suspended, and everything is compared and written anew.
            let status = adopter.status(&tenant).await.unwrap().unwrap();
            if status.state == State::Switched {
                adopter.revert(clinic, &PlatformScope::system("test")).await.unwrap();
            }
            assert!(ended < 100, "it ends and ends");
            continue;
        }
        runner.kill().unwrap();
        runner.wait().unwrap();
        done += 1;
        // Until it comes to its end now and then.
        typical += Duration::from_millis(150);
    }
    // The server needs a moment to see that the last one has gone.
    let started = Instant::now();
    let adopted = loop {
        let by = PlatformScope::system("test");
        let again = adopter.adopt(clinic, Until::Switched, &by, |_| {}).await;
        match again {
            Ok(adopted) => break adopted,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{error}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let status = adopter.status(&tenant).await.unwrap().unwrap();
    assert_eq!(status.state, State::Switched);
    if !adopted.verified.is_empty() {
        assert!(adopted.verified.iter().all(clinicx_adoption::Verified::agrees), "{:?}", adopted.verified);
    }
    assert_eq!(status.rows + status.misfits, legacy.rows(&clinic.legacy).await, "moved or named");
    // Once more from the beginning, with everything compared.
    adopter.revert(clinic, &PlatformScope::system("test")).await.unwrap();
    let again = adopt(&adopter, clinic, Until::Switched).await;
    assert!(again.verified.iter().all(clinicx_adoption::Verified::agrees), "{:?}", again.verified);
    let tenant = registry::get_by_slug(adopter.tenancy.app(), &clinic.slug).await.unwrap();
    assert_eq!(tenant.status, TenantStatus::Active);
    println!(
        "{done} kills, {ended} runs that ended in between: {} rows moved, {} named",
        status.rows, status.misfits
    );
}
