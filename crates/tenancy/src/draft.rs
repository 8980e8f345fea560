//! What a new tenant and a change of one must look like.

use std::collections::BTreeSet;

use clinicx_types::{
    error::FieldError,
    id::TenantId,
    money::Currency,
    name::{ClusterName, ModuleName, NameError, TenantSlug},
};

use crate::{limits::TenantLimits, module::ModuleRegistry, service::ClusterEntry, tenant::Isolation};

/// The longest name of a tenant, in characters.
const MAX_NAME_CHARS: usize = 200;
/// The longest plan or region, in bytes.
const MAX_WORD_BYTES: usize = 63;

/// A new tenant as the caller describes it, not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantDraft {
    /// See [`NewTenant::slug`].
    pub slug: String,
    /// See [`NewTenant::name`].
    pub name: String,
    /// See [`NewTenant::modules`]; what these require comes with them.
    pub modules: Vec<String>,
    /// See [`NewTenant::time_zone`].
    pub time_zone: String,
    /// See [`NewTenant::currency`].
    pub currency: String,
    /// See [`NewTenant::locale`].
    pub locale: String,
    /// See [`NewTenant::plan`].
    pub plan: Option<String>,
    /// See [`NewTenant::isolation`]; a schema of its own unless it says otherwise.
    pub isolation: Option<String>,
    /// See [`NewTenant::cluster`]; the registry's own unless it says otherwise.
    pub cluster: Option<String>,
    /// See [`NewTenant::region`].
    pub region: Option<String>,
}

/// A new tenant, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTenant {
    /// Names it for ever; chosen by the caller, so that statements about it can be prepared.
    pub id: TenantId,
    /// Names it in URLs and host names; its schema is named after it.
    pub slug: TenantSlug,
    /// Names it for people.
    pub name: String,
    /// Its modules, with those that they require.
    pub modules: BTreeSet<ModuleName>,
    /// The clinic's time zone (IANA).
    pub time_zone: chrono_tz::Tz,
    /// The clinic's currency (ISO 4217).
    pub currency: Currency,
    /// The clinic's locale (BCP 47).
    pub locale: String,
    /// What it subscribes to.
    pub plan: Option<String>,
    /// How far it is kept apart.
    pub isolation: Isolation,
    /// The cluster that will hold it.
    pub cluster: ClusterName,
    /// The region in which its data must stay.
    pub region: Option<String>,
    /// What becomes of a purged tenant's tombstone with the same slug.
    pub tombstone: Tombstone,
}

/// What a new tenant does with the tombstone of a purged one that had its slug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tombstone {
    /// It stands in the way: links and logs of the old tenant must not lead to the new one.
    #[default]
    Respect,
    /// It is removed; an operator has decided so.
    Remove,
}

/// A change of a tenant; `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantPatch {
    /// A new name.
    pub name: Option<String>,
    /// A new plan, or none.
    pub plan: Option<Option<String>>,
    /// New limits, which replace the old ones.
    pub limits: Option<TenantLimits>,
    /// A new time zone.
    pub time_zone: Option<String>,
}

/// Collects what is wrong with an input, part by part.
#[derive(Default)]
pub(crate) struct Findings(pub(crate) Vec<FieldError>);

impl Findings {
    fn add(&mut self, pointer: impl Into<String>, code: &str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, code, detail));
    }

    fn name<T>(&mut self, pointer: &str, parsed: Result<T, NameError>) -> Option<T> {
        parsed.map_err(|error| self.add(pointer, error.code(), error.to_string())).ok()
    }
}

impl TenantDraft {
    /// Checks every part and gives the tenant an id.
    ///
    /// # Errors
    /// Every part that is wrong, with its JSON Pointer.
    pub(crate) fn check(
        self,
        id: TenantId,
        modules: &ModuleRegistry,
        home: &ClusterEntry,
        others: &[ClusterEntry],
    ) -> Result<NewTenant, Vec<FieldError>> {
        let mut findings = Findings::default();
        let slug = findings.name("/slug", TenantSlug::parse(&self.slug));
        let name = check_name(&mut findings, &self.name);
        let modules = check_modules(&mut findings, &self.modules, modules);
        let time_zone = check_time_zone(&mut findings, &self.time_zone);
        let currency = Currency::in_use(&self.currency)
            .map_err(|error| findings.add("/currency", error.code(), error.to_string()))
            .ok();
        let locale = check_locale(&mut findings, &self.locale);
        check_word(&mut findings, "/plan", self.plan.as_deref());
        check_word(&mut findings, "/region", self.region.as_deref());
        let isolation = check_isolation(&mut findings, self.isolation.as_deref());
        let cluster =
            check_cluster(&mut findings, self.cluster.as_deref(), self.region.as_deref(), home, others);
        let checked = (|| {
            Some(NewTenant {
                id,
                slug: slug?,
                name: name?,
                modules,
                time_zone: time_zone?,
                currency: currency?,
                locale: locale?,
                plan: self.plan,
                isolation,
                cluster: cluster?,
                region: self.region,
                tombstone: Tombstone::default(),
            })
        })();
        checked.filter(|_| findings.0.is_empty()).ok_or(findings.0)
    }
}

pub(crate) fn check_name(findings: &mut Findings, text: &str) -> Option<String> {
    let name = text.trim();
    if name.is_empty() {
        findings.add("/name", "empty", "must not be empty");
    } else if name.chars().count() > MAX_NAME_CHARS {
        findings.add("/name", "too_long", "must have at most 200 characters");
    } else if name.chars().any(char::is_control) {
        findings.add("/name", "malformed", "must not have control characters");
    } else {
        return Some(name.to_owned());
    }
    None
}

pub(crate) fn check_time_zone(findings: &mut Findings, text: &str) -> Option<chrono_tz::Tz> {
    text.parse()
        .map_err(|_| {
            findings.add("/time_zone", "unknown_time_zone", "must be an IANA time zone such as Asia/Damascus")
        })
        .ok()
}

pub(crate) fn check_word(findings: &mut Findings, pointer: &str, text: Option<&str>) {
    let fits = |text: &str| {
        !text.is_empty()
            && text.len() <= MAX_WORD_BYTES
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    if text.is_some_and(|text| !fits(text)) {
        findings.add(pointer, "malformed", "must be 1 to 63 letters, digits, dots, dashes or underscores");
    }
}

pub(crate) fn check_limits(findings: &mut Findings, limits: &TenantLimits) {
    findings.0.extend(limits.findings());
}

fn check_modules(findings: &mut Findings, names: &[String], known: &ModuleRegistry) -> BTreeSet<ModuleName> {
    let mut modules = BTreeSet::new();
    for (place, text) in names.iter().enumerate() {
        match ModuleName::parse(text).ok().filter(|name| known.find(name.as_str()).is_some()) {
            Some(name) => {
                modules.insert(name);
            }
            None => {
                let all: Vec<&str> = known.names().map(ModuleName::as_str).collect();
                let detail = format!("must be one of {}", all.join(", "));
                findings.add(format!("/modules/{place}"), "unknown_module", detail);
            }
        }
    }
    known.with_required(modules)
}

fn check_locale(findings: &mut Findings, text: &str) -> Option<String> {
    match oxilangtag::LanguageTag::parse_and_normalize(text) {
        Ok(tag) => Some(tag.into_inner()),
        Err(_) => {
            findings.add("/locale", "unknown_locale", "must be a BCP 47 language tag such as ar-SY");
            None
        }
    }
}

fn check_isolation(findings: &mut Findings, text: Option<&str>) -> Isolation {
    match text.map(str::parse::<Isolation>) {
        None | Some(Ok(Isolation::Schema)) => {}
        Some(Ok(Isolation::Database)) => {
            findings.add(
                "/isolation",
                "not_supported",
                "a database of its own is not supported; use \"schema\"",
            );
        }
        Some(Err(_)) => findings.add("/isolation", "malformed", "must be \"schema\" or \"database\""),
    }
    Isolation::Schema
}

fn check_cluster(
    findings: &mut Findings,
    cluster: Option<&str>,
    region: Option<&str>,
    home: &ClusterEntry,
    others: &[ClusterEntry],
) -> Option<ClusterName> {
    if let Some(cluster) = cluster
        && cluster != home.name.as_str()
    {
        if others.iter().any(|other| other.name.as_str() == cluster) {
            findings.add(
                "/cluster",
                "not_supported",
                "tenants can only be made on the registry's own cluster",
            );
        } else {
            findings.add("/cluster", "unknown_cluster", "must be the name of a configured cluster");
        }
        return None;
    }
    if region.is_some() && region != home.region.as_deref() {
        findings.add("/region", "unknown_region", "no cluster of this region takes tenants");
        return None;
    }
    Some(home.name.clone())
}
