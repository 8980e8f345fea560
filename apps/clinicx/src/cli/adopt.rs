//! `clinicx tenant adopt`: clinics that share tables become tenants.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use clinicx_adoption::{
    Adopted, Adopter, AdoptionError, Cleaned, Event, Mapping, Misfits, State, Status, TenantMapping, Until,
    cleaning::EmptyTables, run::MAX_PAUSE,
};
use clinicx_identity::NewAccount;
use clinicx_tenancy::{PlatformScope, TenantDraft, registry};
use clinicx_types::name::TenantSlug;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;

use super::{Failed, Outcome, Output, output::Progress};
use crate::{key_check, provision, said::said, wiring::Platform};

/// Which clinics, and what is done with them.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("deed").args(["dry_run", "cut_over", "revert", "clean_up", "status"])))]
pub struct AdoptArgs {
    /// The file that says what becomes what
    #[arg(long, value_name = "FILE", required_unless_present = "status")]
    mapping: Option<PathBuf>,
    /// Only this tenant of the mapping; may be repeated
    #[arg(long = "tenant", value_name = "SLUG")]
    only: Vec<TenantSlug>,
    /// Tell what does not fit, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// After copying and comparing, hold the clinic's writers up for a moment and let the tenant answer
    #[arg(long)]
    cut_over: bool,
    /// Nobody writes to the clinic's old rows any more: no gate is put before them
    #[arg(long, requires = "cut_over")]
    writers_stopped: bool,
    /// For how many seconds the writers may be held up at most
    #[arg(long, value_name = "SECONDS", requires = "cut_over", value_parser = seconds)]
    max_pause: Option<Duration>,
    /// Suspend the tenant and let the old rows be changed again; what the tenant has changed since is not carried back
    #[arg(long)]
    revert: bool,
    /// Archive the old rows of clinics that have moved, and drop them
    #[arg(long)]
    clean_up: bool,
    /// Where old rows are archived
    #[arg(long, value_name = "FOLDER", default_value = "adoption-archive", requires = "clean_up")]
    archive_into: PathBuf,
    /// Drop old tables that no clinic has a row in any more
    #[arg(long, requires = "clean_up")]
    drop_empty_tables: bool,
    /// Show how far each clinic has come
    #[arg(long)]
    status: bool,
    /// Do not ask before something is taken back or dropped
    #[arg(long)]
    yes: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().filter(|seconds: &f64| (0.1..=60.0).contains(seconds));
    number.map(Duration::from_secs_f64).ok_or_else(|| "must be a number from 0.1 to 60".to_owned())
}

/// What has come of one clinic.
#[derive(Serialize)]
struct Shown {
    slug: TenantSlug,
    state: Option<State>,
    rows: u64,
    misfit_rows: u64,
    pause_ms: Option<i32>,
    error: Option<String>,
    #[serde(flatten)]
    details: Option<Details>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Details {
    Adopted(Box<Adopted>),
    Cleaned(Box<Cleaned>),
}

/// Carries it out.
///
/// # Errors
/// The mapping is wrong, a login is missing, or nothing could be done.
pub(super) async fn run(platform: &Platform, args: &AdoptArgs, output: &Output) -> Result<Outcome, Failed> {
    if args.status {
        return status(platform, args, output).await;
    }
    let mapping = read(args)?;
    let clinics = chosen(&mapping, args)?;
    let adopter = adopter(platform, mapping, args)?;
    let scope = PlatformScope::system("tenant adopt");
    if args.revert {
        confirm(args, output, &clinics, "taking back loses what was changed in the tenant since")?;
    }
    if args.clean_up {
        confirm(args, output, &clinics, "cleaning up drops the clinic's old rows")?;
    }
    if !args.dry_run {
        key_check::establish(platform.tenancy()?, &platform.data_keys).await?;
    }
    let mut all = Vec::with_capacity(clinics.len());
    for clinic in &clinics {
        match one(platform, &adopter, (clinic, args), &scope, output).await {
            Ok(shown) => all.push(shown),
            // That is the same for all of them.
            Err(error @ (AdoptionError::Mapping(_) | AdoptionError::ReaderMayMore { .. })) => {
                return Err(Failed::usage(error));
            }
            Err(error) => all.push(Shown::failed(clinic, told(error))),
        }
    }
    show(&all, output)
}

/// Does with one clinic what is to be done.
async fn one(
    platform: &Platform,
    adopter: &Adopter,
    (clinic, args): (&TenantMapping, &AdoptArgs),
    scope: &PlatformScope,
    output: &Output,
) -> Result<Shown, AdoptionError> {
    if args.revert {
        let status = adopter.revert(clinic, scope).await?;
        return Ok(Shown { state: Some(status.state), ..Shown::of_status(clinic, &status) });
    }
    if args.clean_up {
        let empty = if args.drop_empty_tables { EmptyTables::Drop } else { EmptyTables::Keep };
        let cleaned = adopter.clean_up(clinic, &args.archive_into, empty, scope).await?;
        let rows = cleaned.tables.iter().map(|table| table.rows).sum();
        return Ok(Shown {
            slug: clinic.slug.clone(),
            state: Some(State::Cleaned),
            rows,
            misfit_rows: 0,
            pause_ms: None,
            error: None,
            details: Some(Details::Cleaned(Box::new(cleaned))),
        });
    }
    let bar = output.progress_of("rows");
    let done = {
        let mut told = Told { bar: &bar, output, slug: &clinic.slug, rows: 0, read: 0 };
        let seen = |event| told.hear(event);
        if args.dry_run {
            adopter.preview(clinic, scope, seen).await
        } else {
            ensure(platform, clinic, scope).await?;
            let until = match (args.cut_over, args.writers_stopped) {
                (false, _) => Until::Copied,
                (true, false) => Until::Switched,
                (true, true) => Until::SwitchedUnwatched,
            };
            adopter.adopt(clinic, until, scope, seen).await
        }
    };
    bar.finish();
    let adopted = done?;
    if adopted.state == Some(State::Switched)
        && let Ok(tenant) = registry::get_by_slug(&platform.app, &clinic.slug).await
    {
        platform.resolver.invalidate(&tenant).await;
    }
    let fit = adopted.tables.iter().map(|table| table.fit).sum();
    Ok(Shown {
        slug: clinic.slug.clone(),
        state: adopted.state,
        rows: fit,
        misfit_rows: adopted.misfit_rows(),
        pause_ms: adopted.pause_ms,
        error: None,
        details: Some(Details::Adopted(Box::new(adopted))),
    })
}

impl Shown {
    fn failed(clinic: &TenantMapping, error: String) -> Self {
        Self {
            slug: clinic.slug.clone(),
            state: None,
            rows: 0,
            misfit_rows: 0,
            pause_ms: None,
            error: Some(error),
            details: None,
        }
    }

    fn of_status(clinic: &TenantMapping, status: &Status) -> Self {
        Self {
            slug: clinic.slug.clone(),
            state: Some(status.state),
            rows: u64::try_from(status.rows).unwrap_or_default(),
            misfit_rows: 0,
            pause_ms: status.pause_ms,
            error: None,
            details: None,
        }
    }
}

/// Shows how far a clinic is.
struct Told<'a> {
    bar: &'a Progress,
    output: &'a Output,
    slug: &'a TenantSlug,
    rows: u64,
    read: u64,
}

impl Told<'_> {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Rows(rows) => (self.rows, self.read) = (rows, 0),
            Event::Read(rows) => {
                self.read += rows;
                self.bar.reach(self.read, self.rows.max(self.read));
            }
            Event::Step(what) => {
                if !self.output.is_json() {
                    self.output.progress(&format!("{}: {what}", self.slug));
                }
            }
        }
    }
}

/// Makes the tenant of a clinic, closed, unless it is there.
async fn ensure(
    platform: &Platform,
    clinic: &TenantMapping,
    scope: &PlatformScope,
) -> Result<(), AdoptionError> {
    if registry::find_by_slug(&platform.app, &clinic.slug).await?.is_some() {
        return Ok(());
    }
    let draft = TenantDraft {
        slug: clinic.slug.to_string(),
        name: clinic.name.clone(),
        modules: clinic.modules.clone(),
        time_zone: clinic.time_zone.clone(),
        currency: clinic.currency.clone(),
        locale: clinic.locale.clone(),
        plan: clinic.plan.clone(),
        ..TenantDraft::default()
    };
    let admin = NewAccount {
        email: &clinic.admin_email,
        full_name: &clinic.admin_name,
        password: None,
        is_operator: false,
    };
    let made = provision::create_closed(platform, scope, draft, admin).await;
    made.map(drop).map_err(|error| AdoptionError::NotMade(format!("{:#}", said(error))))
}

async fn status(platform: &Platform, args: &AdoptArgs, output: &Output) -> Result<Outcome, Failed> {
    let all = Adopter::list(platform.tenancy()?.control()).await?;
    let wanted =
        |one: &Status| args.only.is_empty() || args.only.iter().any(|slug| slug.as_str() == one.slug);
    let all: Vec<Status> = all.into_iter().filter(wanted).collect();
    output.many(
        &all,
        &["slug", "legacy", "state", "rows", "misfits", "pause_ms", "verified_at", "switched_at", "error"],
    );
    Ok(Outcome::Done)
}

fn read(args: &AdoptArgs) -> Result<Mapping, Failed> {
    let path = args.mapping.clone().unwrap_or_default();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failed::usage(anyhow::anyhow!("can't read {}: {error}", path.display())))?;
    Mapping::parse(&text).map_err(|error| Failed::usage(anyhow::anyhow!("{}: {error}", path.display())))
}

fn chosen(mapping: &Mapping, args: &AdoptArgs) -> Result<Vec<TenantMapping>, Failed> {
    let known = |slug: &TenantSlug| mapping.tenants.iter().any(|clinic| &clinic.slug == slug);
    if let Some(unknown) = args.only.iter().find(|slug| !known(slug)) {
        return Err(Failed::usage(anyhow::anyhow!("the mapping has no tenant {unknown}")));
    }
    let wanted = |clinic: &&TenantMapping| args.only.is_empty() || args.only.contains(&clinic.slug);
    Ok(mapping.tenants.iter().filter(wanted).cloned().collect())
}

fn adopter(platform: &Platform, mapping: Mapping, args: &AdoptArgs) -> Result<Adopter, Failed> {
    let reader = url(&mapping.reader_url_env)?.ok_or_else(|| {
        let text = format!(
            "the variable {} is not set; it must hold the URL of a login that can only read the old tables",
            mapping.reader_url_env
        );
        Failed::usage(anyhow::anyhow!(text))
    })?;
    let owner = if args.writers_stopped { None } else { url(&mapping.owner_url_env)? };
    if owner.is_none() && (args.clean_up || (args.cut_over && !args.writers_stopped)) {
        let text = format!(
            "the variable {} is not set; it must hold the URL of the login that owns the old tables",
            mapping.owner_url_env
        );
        return Err(Failed::usage(anyhow::anyhow!(text)));
    }
    Ok(Adopter {
        tenancy: platform.tenancy()?.clone(),
        cluster: platform.cluster.clone(),
        keyring: platform.keyring.clone(),
        mapping: Arc::new(mapping),
        reader,
        owner,
        max_pause: args.max_pause.unwrap_or(MAX_PAUSE),
    })
}

/// Reads a URL from a variable. What is wrong with it is not shown: it may hold a password.
fn url(variable: &str) -> Result<Option<PgConnectOptions>, Failed> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    let parsed = text.parse().map_err(|_| {
        Failed::usage(anyhow::anyhow!(
            "{variable} is not a PostgreSQL URL: postgres://user:password@host:port/database"
        ))
    });
    parsed.map(Some)
}

fn confirm(args: &AdoptArgs, output: &Output, clinics: &[TenantMapping], what: &str) -> Result<(), Failed> {
    if args.yes {
        return Ok(());
    }
    let slugs: Vec<&str> = clinics.iter().map(|clinic| clinic.slug.as_str()).collect();
    let word = slugs.join(" ");
    output.confirm(&format!("{what} ({word})"), "the slugs, with spaces between", &word)
}

/// Says what went wrong with one clinic, in one line.
fn told(error: AdoptionError) -> String {
    match error {
        AdoptionError::Tenancy(error) => format!("{:#}", said(error)),
        error => format!("{:#}", anyhow::Error::new(error)),
    }
}

/// Shows what has come of all clinics.
fn show(all: &[Shown], output: &Output) -> Result<Outcome, Failed> {
    output.many(all, &["slug", "state", "rows", "misfit_rows", "pause_ms", "error"]);
    if !output.is_json() {
        for one in all {
            show_details(one, output);
        }
    }
    let failed = all.iter().filter(|one| one.error.is_some()).count();
    let left_behind = all.iter().any(|one| one.misfit_rows > 0);
    match failed {
        0 if !left_behind => Ok(Outcome::Done),
        failed if failed == all.len() => {
            Err(Failed::message("no clinic came further; mend it and run the same again"))
        }
        _ => Ok(Outcome::Partly),
    }
}

fn show_details(one: &Shown, output: &Output) {
    match &one.details {
        Some(Details::Adopted(adopted)) if !adopted.misfits.is_empty() => {
            output.note(&format!("{}: what does not fit", one.slug));
            output.many::<Misfits>(&adopted.misfits, &["table", "field", "rule", "rows", "keys"]);
        }
        Some(Details::Cleaned(cleaned)) => {
            output.note(&format!("{}: archived in {}", one.slug, cleaned.archive.display()));
        }
        _ => {}
    }
}
