//! What making a tenant costs beside psql, which runs the same script in one transaction.
//!
//! `cargo bench -p clinicx-tenancy --bench provisioning` prints medians and their ratio, and fails when it is over 1.5.
//! Needs `psql` on the PATH.

#![expect(clippy::disallowed_methods, reason = "benchmarks make their own ids and read the machine's clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark that can't go on has failed")]

use std::{
    future::Future,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use clinicx_migration::{
    system::SystemRole,
    tenant::{Plan, render, script::ScriptTarget},
};
use clinicx_tenancy::{NewTenant, PlatformScope, Tenancy, Tenant, TenantDraft};
use clinicx_testing::{TestDatabase, database, tenant::unique_slug};
use clinicx_types::{id::TenantId, name::TenantSlug};
use sqlx::postgres::PgConnectOptions;

const ROUNDS: usize = 20;
const BAR: f64 = 1.5;

#[tokio::main]
async fn main() {
    let database = TestDatabase::create().await;
    let tenancy = database.tenancy(database::modules(&[])).await;
    beside_psql(&database, &tenancy).await;
}

/// Makes tenants by the library and by psql in turn.
async fn beside_psql(database: &TestDatabase, tenancy: &Tenancy) {
    let login = database.login_options(SystemRole::Migrator);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // One of each first, so that neither pays for cold caches.
    for round in 0..=ROUNDS {
        let own = timed(create(tenancy)).await;
        let script =
            psql_script(tenancy.modules().plan(), &TenantSlug::parse(&unique_slug()).expect("a slug"));
        let login = login.clone();
        let name = database.name().to_owned();
        let psql = tokio::task::spawn_blocking(move || psql(&login, &name, &script)).await.expect("run psql");
        if round > 0 {
            ours.push(own);
            theirs.push(psql);
        }
    }
    report("provisioning, all modules, library : psql", median(ours), median(theirs));
}

/// What the library sends to make a tenant, as a script for psql.
fn psql_script(plan: &Plan, slug: &TenantSlug) -> String {
    let (id, schema) = (TenantId::new(uuid::Uuid::now_v7()), slug.schema());
    let target = ScriptTarget { tenant_id: id, role: Some(schema.role()), schema };
    let modules: Vec<String> =
        plan.counts().iter().map(|(module, count)| format!("('{id}', '{module}', {count})")).collect();
    format!(
        "BEGIN;\nSET LOCAL ROLE clinicx_owner;\n{settings};\n\
         INSERT INTO public.tenants (id, slug, name, database_schema, cluster, time_zone, currency, locale) \
         VALUES ('{id}', '{slug}', 'psql', {schema}, 'main', 'UTC', 'EUR', 'en');\n\
         SELECT public.create_tenant_schema('{id}', {schema});\n{tables}\
         INSERT INTO public.tenant_modules (tenant_id, module, schema_version) VALUES {modules};\n\
         UPDATE public.tenants SET status = 'active', schema_version = '{version}' WHERE id = '{id}';\nCOMMIT;\n",
        settings = render::settings(&target),
        schema = target.schema.literal(),
        tables = render::whole(plan, &target),
        modules = modules.join(", "),
        version = plan.version(),
    )
}

/// Runs a script with psql and returns how long the whole process took.
fn psql(login: &PgConnectOptions, database: &str, script: &str) -> Duration {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(script.as_bytes()).expect("write the script");
    let host = login.get_socket().map_or_else(|| login.get_host().into(), |path| path.as_os_str().to_owned());
    let started = Instant::now();
    let status = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", login.get_username(), "-d", database])
        .arg("-h")
        .arg(host)
        .args(["-p", &login.get_port().to_string()])
        .arg("-f")
        .arg(file.path())
        .stdout(Stdio::null())
        .status()
        .expect("psql must be on the PATH");
    let took = started.elapsed();
    assert!(status.success(), "psql failed");
    took
}

async fn create(tenancy: &Tenancy) -> Tenant {
    let by = PlatformScope::system("bench");
    let draft = TenantDraft {
        slug: unique_slug(),
        name: "Bench".to_owned(),
        modules: tenancy.modules().names().map(ToString::to_string).collect(),
        time_zone: "UTC".to_owned(),
        currency: "EUR".to_owned(),
        locale: "en".to_owned(),
        ..TenantDraft::default()
    };
    let new: NewTenant = tenancy.check(draft, TenantId::new(by.next_id())).expect("a tenant's description");
    tenancy.create(new, &by, Vec::new()).await.expect("make a tenant")
}

async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let started = Instant::now();
    work.await;
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(what: &str, measured: Duration, reference: Duration) {
    let ratio = measured.as_secs_f64() / reference.as_secs_f64();
    let verdict = if ratio <= BAR { "holds" } else { "is missed" };
    println!("{what}: {measured:.2?} : {reference:.2?} = {ratio:.2} (bar {BAR} {verdict})");
    assert!(ratio <= BAR, "a bar is missed");
}
