//! Clinics that go on working while they are moved: nothing is lost, and nobody waits for long.
//!
//! `ADOPTION_WRITERS_ROWS` sets another number than 600 rows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clinicx_adoption::{State, Until};
use clinicx_tenancy::{PlatformScope, registry};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};

use crate::support::{Legacy, OTHER, a_moment, adopt, ensure, number};

/// What a writer has met.
#[derive(Default)]
struct Met {
    writes: u32,
    refused: u32,
    longest: Duration,
    trouble: Vec<String>,
}

/// Writes all kinds of changes for a clinic until it is told to stop.
async fn write(options: PgConnectOptions, clinic: String, stop: Arc<AtomicBool>, seed: u32) -> Met {
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let mut met = Met::default();
    let mut n = seed;
    while !stop.load(Ordering::Relaxed) {
        n = n.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let pick = i64::from(n >> 8);
        let sql = match n % 7 {
            0 => {
                "INSERT INTO \"Old Data\".\"Patients\" (\"TenantId\", \"No\", \"LastName\", \"FirstName\", \"NationalNo\") \
                  VALUES ($1, 0, 'Neu ' || $2, 'Fatima', 'X' || $2 || '-' || random())"
            }
            1 => {
                "UPDATE \"Old Data\".\"Patients\" SET \"LastName\" = 'Anders ' || $2 WHERE \"TenantId\" = $1 AND \"No\" = $2 % 200"
            }
            // A name goes and comes: who refers to the row becomes an orphan, and is none again.
            2 => {
                "UPDATE \"Old Data\".\"Patients\" SET \"LastName\" = CASE WHEN \"LastName\" IS NULL THEN 'Wieder' END \
                  WHERE \"TenantId\" = $1 AND \"No\" = $2 % 40"
            }
            3 => {
                "UPDATE \"Old Data\".\"Appointments\" SET \"Start\" = \"Start\" + INTERVAL '1 hour', \"State\" = 'Booked' \
                  WHERE \"TenantId\" = $1 AND \"No\" = $2 % 300"
            }
            4 => {
                "DELETE FROM \"Old Data\".\"Appointments\" WHERE \"TenantId\" = $1 AND \"No\" = $2 % 300 AND $2 % 3 = 0"
            }
            5 => {
                "UPDATE \"Old Data\".\"Services\" SET minutes = 10 + ($2 % 50)::int WHERE \"TenantId\" = $1 AND code = 'S1'"
            }
            // Two rows change what only one can have.
            _ => {
                "UPDATE \"Old Data\".\"Patients\" SET \"NationalNo\" = 'N-' || (CASE \"No\" WHEN 20 THEN 22 WHEN 22 THEN 20 END \
                  + CASE WHEN \"NationalNo\" = 'N-' || \"No\" THEN 0 ELSE \"No\" * 2 - 42 END) \
                  WHERE \"TenantId\" = $1 AND \"No\" IN (20, 22) AND $2 > 0"
            }
        };
        let started = Instant::now();
        match sqlx::query(sql).bind(&clinic).bind(pick).execute(&mut connection).await {
            Ok(_) => met.writes += 1,
            Err(error) => match error.as_database_error().and_then(|error| error.code()).as_deref() {
                Some("55000") => {
                    met.refused += 1;
                    a_moment(20).await;
                }
                _ => met.trouble.push(error.to_string()),
            },
        }
        met.longest = met.longest.max(started.elapsed());
        a_moment(2).await;
    }
    met
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_go_on_until_the_switch_and_lose_nothing() {
    let legacy = Legacy::create(1, number("ADOPTION_WRITERS_ROWS", 600)).await;
    let adopter = legacy.adopter(legacy.mapping(&[])).await;
    let clinic = &adopter.mapping.tenants[0];
    let tenant = ensure(&adopter, clinic).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = |clinic: &str, seed| {
        tokio::spawn(write(legacy.owner.clone(), clinic.to_owned(), Arc::clone(&stop), seed))
    };
    let mine = [writer(&clinic.legacy, 1), writer(&clinic.legacy, 2)];
    let others = writer(OTHER, 3);
    a_moment(200).await;
    let adopted = adopt(&adopter, clinic, Until::Switched).await;
    a_moment(300).await;
    stop.store(true, Ordering::Relaxed);
    let (mut writes, mut refused, mut longest) = (0, 0, Duration::ZERO);
    for writer in mine {
        let met = writer.await.unwrap();
        assert_eq!(met.trouble, Vec::<String>::new());
        (writes, refused, longest) = (writes + met.writes, refused + met.refused, longest.max(met.longest));
    }
    let met = others.await.unwrap();
    assert_eq!((met.refused, met.trouble), (0, Vec::new()), "the other clinic notices nothing");
    let pause = adopted.pause_ms.unwrap();
    println!(
        "{writes} writes before the switch, {refused} refused after it, {} caught up; pause {pause} ms, the longest write \
         {longest:.0?}, of another clinic {:.0?}",
        adopted.caught_up, met.longest
    );
    assert!(adopted.caught_up > 0 && refused > 0 && writes > 0);
    assert!(pause <= 2000 && longest <= Duration::from_millis(2500));
    assert!(adopted.verified.iter().all(clinicx_adoption::Verified::agrees), "{:?}", adopted.verified);

    // What is there is what the old tables ended with.
    let mut superuser = legacy.superuser().await;
    let schema = &tenant.database_schema;
    for (table, thing, same) in [
        ("Patients", "patients", "o.\"LastName\" = n.family_name"),
        (
            "Appointments",
            "appointments",
            "o.\"Start\" AT TIME ZONE 'Asia/Damascus' = n.starts_at \
             AND n.status = CASE o.\"State\" WHEN 'Done' THEN 'fulfilled' ELSE lower(o.\"State\") END",
        ),
    ] {
        let key = if table == "Patients" { "PatientID" } else { "Id" };
        let sql = format!(
            "SELECT count(*), count(*) FILTER (WHERE {same}) FROM {schema}.{thing} AS n \
             JOIN public.adoption_keys AS k ON k.tenant_id = n.tenant_id AND k.table_name = '{thing}' AND k.id = n.id \
             JOIN \"Old Data\".\"{table}\" AS o ON CAST(o.\"{key}\" AS text) = k.legacy_key"
        );
        let (all, same): (i64, i64) =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_one(&mut superuser).await.unwrap();
        assert_eq!(all, same, "{thing}");
        let sql = format!("SELECT count(*) FROM {schema}.{thing}");
        let there: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut superuser).await.unwrap();
        assert_eq!(all, there, "{thing}");
    }
    let status = adopter.status(&tenant).await.unwrap().unwrap();
    assert_eq!(status.rows + status.misfits, legacy.rows(&clinic.legacy).await, "moved or named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_who_never_ends_keeps_the_clinic_where_it_is() {
    let legacy = Legacy::create(1, 100).await;
    let mut adopter = legacy.adopter(legacy.mapping(&[])).await;
    adopter.max_pause = Duration::from_millis(100);
    let clinic = &adopter.mapping.tenants[0].clone();
    let tenant = ensure(&adopter, clinic).await;
    let by = PlatformScope::system("test");
    // The gate stands already when the writer comes.
    adopt(&adopter, clinic, Until::Copied).await;
    let mut gate = clinicx_adoption::legacy::Gate::open(&legacy.owner).await.unwrap();
    gate.put_up(&adopter.mapping, &[&clinic.legacy]).await.unwrap();
    let mut writer = PgConnection::connect_with(&legacy.owner).await.unwrap();
    let mut open = writer.begin().await.unwrap();
    let update = "UPDATE \"Old Data\".\"Rooms\" SET title = title || '!' WHERE \"TenantId\" = $1";
    // The rows are locked by it, and the gate's triggers are there: putting them up again would wait for it.
    sqlx::query(update).bind(&clinic.legacy).execute(&mut *open).await.unwrap();
    let closed = gate.close(&clinic.legacy, Duration::from_millis(100)).await;
    assert_eq!(closed.unwrap_err().sqlstate(), Some("55P03"));
    open.commit().await.unwrap();
    let adopted = adopter.adopt(clinic, Until::Switched, &by, |_| {}).await;
    adopter.max_pause = Duration::from_secs(2);
    if adopted.is_err() {
        // A tenth of a second may be too short for the last look on a busy machine; the clinic is where it was.
        let now = registry::get_by_slug(adopter.tenancy.app(), &tenant.slug).await.unwrap();
        assert_eq!(now.status.as_str(), "provisioning");
        sqlx::query(update).bind(&clinic.legacy).execute(&mut writer).await.unwrap();
    }
    let adopted = adopt(&adopter, clinic, Until::Switched).await;
    assert_eq!(adopted.state, Some(State::Switched));
    let refused = sqlx::query(update).bind(&clinic.legacy).execute(&mut writer).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("55000"));
}
