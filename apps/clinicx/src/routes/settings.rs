//! The platform's configurations and feature flags, and what is on for a tenant.

use chrono::{DateTime, Utc};
use clinicx_tenancy::{
    configuration::{self, Setting, service::NewValue},
    feature_flag::{self, Flag, Override, service::NewFlag},
};
use clinicx_types::page::Page;
use clinicx_web::{
    Access, ApiError, Body, CallerCx, HttpModule, IfMatch, List, Operation, Path, Reply, TenantCx,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use validator::Validate;

use super::platform_tenants::{scope, slug};
use crate::wiring::Slot;

/// The operations on settings.
pub fn module(slot: &Slot) -> HttpModule {
    HttpModule::new("settings", "What is set for the whole platform, and what is on for whom")
        .operations(configurations(slot))
        .operations(flags(slot))
        .operations(overrides(slot))
}

fn keyed(operation: Operation) -> Operation {
    let schema =
        json!({"type": "string", "pattern": "^[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)+$", "maxLength": 100});
    operation.access(Access::Operator).path_param("key", schema).errors(&["not_found"])
}

fn configurations(slot: &Slot) -> [Operation; 4] {
    let (all, one, set, unset) = (slot.clone(), slot.clone(), slot.clone(), slot.clone());
    [
        Operation::get("/platform/configurations", "list_configurations")
            .summary("List the platform's configurations")
            .description("Every one that the program knows, set or not, by its key.")
            .access(Access::Operator)
            .answers_page::<ConfigurationBody>()
            .handler(move |_: CallerCx, list: List<Nothing>| list_configurations(all.clone(), list)),
        keyed(Operation::get("/platform/configurations/{key}", "get_configuration"))
            .summary("Show a configuration")
            .answers::<ConfigurationBody>(200)
            .handler(move |_: CallerCx, key: Path<String>| get_configuration(one.clone(), key)),
        keyed(Operation::put("/platform/configurations/{key}", "set_configuration"))
            .summary("Set a configuration")
            .description(
                "The value has the declared type. `\"0\"` is the version of one that nobody has set.",
            )
            .answers::<ConfigurationBody>(200)
            .handler(move |cx: CallerCx, key: Path<String>, body: Body<SetConfiguration>| {
                set_configuration(set.clone(), cx, key, body)
            }),
        keyed(Operation::delete("/platform/configurations/{key}", "unset_configuration"))
            .summary("Take a configuration back to its default")
            .answers_empty(204)
            .handler(move |cx: CallerCx, key: Path<String>| unset_configuration(unset.clone(), cx, key)),
    ]
}

fn flags(slot: &Slot) -> [Operation; 5] {
    let (all, one, set, unset, on) = (slot.clone(), slot.clone(), slot.clone(), slot.clone(), slot.clone());
    [
        Operation::get("/platform/feature-flags", "list_feature_flags")
            .summary("List the feature flags")
            .description("Every one that the program knows, set or not, by its key.")
            .access(Access::Operator)
            .answers_page::<FlagBody>()
            .handler(move |_: CallerCx, list: List<Nothing>| list_flags(all.clone(), list)),
        keyed(Operation::get("/platform/feature-flags/{key}", "get_feature_flag"))
            .summary("Show a feature flag")
            .answers::<FlagBody>(200)
            .handler(move |_: CallerCx, key: Path<String>| get_flag(one.clone(), key)),
        keyed(Operation::put("/platform/feature-flags/{key}", "set_feature_flag"))
            .summary("Say for how many tenants a feature flag is on")
            .description(
                "A tenant that a percentage has reached stays reached while it grows. `\"0\"` is the version of one \
                 that nobody has set.",
            )
            .answers::<FlagBody>(200)
            .handler(move |cx: CallerCx, key: Path<String>, body: Body<SetFlag>| {
                set_flag(set.clone(), cx, key, body)
            }),
        keyed(Operation::delete("/platform/feature-flags/{key}", "unset_feature_flag"))
            .summary("Take a feature flag back to its default, without overrides")
            .answers_empty(204)
            .handler(move |cx: CallerCx, key: Path<String>| unset_flag(unset.clone(), cx, key)),
        Operation::get("/feature-flags", "list_own_feature_flags")
            .summary("List which features are on for the clinic")
            .access(Access::AnyTenantMember)
            .shows_no_patient()
            .answers_page::<OwnFlagBody>()
            .handler(move |cx: TenantCx, list: List<Nothing>| own_flags(on.clone(), cx, list)),
    ]
}

fn overrides(slot: &Slot) -> [Operation; 3] {
    let slugged = |operation| {
        let schema = json!({"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength": 40});
        keyed(operation).path_param("slug", schema)
    };
    let (all, set, unset) = (slot.clone(), slot.clone(), slot.clone());
    [
        keyed(Operation::get("/platform/feature-flags/{key}/overrides", "list_feature_flag_overrides"))
            .summary("List the tenants for which a feature flag is overridden")
            .answers_page::<OverrideBody>()
            .handler(move |_: CallerCx, key: Path<String>, list: List<Nothing>| {
                list_overrides(all.clone(), key, list)
            }),
        slugged(Operation::put("/platform/feature-flags/{key}/overrides/{slug}", "override_feature_flag"))
            .summary("Switch a feature flag on or off for one tenant")
            .description("A change of the flag: `If-Match` is the flag's, and so is the answer.")
            .answers::<FlagBody>(200)
            .handler(move |cx: CallerCx, path: Path<(String, String)>, body: Body<SetOverride>| {
                let Body(SetOverride { enabled }) = body;
                override_flag(set.clone(), cx, path, Some(enabled))
            }),
        slugged(Operation::delete(
            "/platform/feature-flags/{key}/overrides/{slug}",
            "remove_feature_flag_override",
        ))
        .summary("Let a feature flag be for a tenant what it is for all")
        .if_match(IfMatch::Accepted)
        .answers::<FlagBody>(200)
        .handler(move |cx: CallerCx, path: Path<(String, String)>| {
            override_flag(unset.clone(), cx, path, None)
        }),
    ]
}

/// These lists have no filter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A configuration of the platform.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConfigurationBody {
    /// Its key again.
    id: &'static str,
    key: &'static str,
    /// What it changes.
    description: String,
    /// `boolean`, `integer`, `decimal`, `text`, `json` or `duration`.
    #[serde(rename = "type")]
    type_: &'static str,
    /// What it is now.
    value: Value,
    /// What it is as long as nobody sets it.
    default: Value,
    /// The least that it may be.
    min: Option<Value>,
    /// The most that it may be; of a text, characters.
    max: Option<Value>,
    /// 0 as long as nobody has set it.
    version: i64,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl From<Setting> for ConfigurationBody {
    fn from(setting: Setting) -> Self {
        let Setting {
            key,
            description,
            type_name,
            value,
            default,
            min,
            max,
            version,
            created_at,
            updated_at,
        } = setting;
        Self {
            id: key,
            key,
            description,
            type_: type_name,
            value,
            default,
            min,
            max,
            version,
            created_at,
            updated_at,
        }
    }
}

/// A value for a configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct SetConfiguration {
    /// The value, of the declared type: a duration as `30s`, a decimal as `"12.50"`.
    value: Value,
    /// A note about it, instead of the description that the program has.
    #[schemars(length(max = 500))]
    description: Option<String>,
}

/// A feature flag.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FlagBody {
    /// Its key again.
    id: &'static str,
    key: &'static str,
    /// What is different when it is on.
    description: String,
    /// Whether it is on for tenants that the roll-out has reached and that have no override.
    enabled: bool,
    /// How many tenants in a hundred the roll-out reaches.
    rollout_percent: i16,
    /// How many tenants have an override.
    override_count: i64,
    /// 0 as long as nobody has set it.
    version: i64,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl From<Flag> for FlagBody {
    fn from(flag: Flag) -> Self {
        let Flag { key, description, enabled, rollout_percent, overrides, version, created_at, updated_at } =
            flag;
        Self {
            id: key,
            key,
            description,
            enabled,
            rollout_percent,
            override_count: overrides,
            version,
            created_at,
            updated_at,
        }
    }
}

/// What a feature flag is to be.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct SetFlag {
    /// Whether it is on for tenants that the roll-out reaches and that have no override.
    enabled: bool,
    /// How many tenants in a hundred the roll-out reaches; all unless said otherwise.
    #[serde(default = "everybody")]
    #[validate(range(min = 0, max = 100))]
    rollout_percent: i16,
    /// A note about it, instead of the description that the program has.
    #[schemars(length(max = 500))]
    description: Option<String>,
}

fn everybody() -> i16 {
    100
}

/// What a feature flag is to be for one tenant.
#[derive(Clone, Debug, Deserialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
struct SetOverride {
    /// Whether it is on.
    enabled: bool,
}

/// What holds for one tenant whatever the flag says.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct OverrideBody {
    /// The tenant.
    slug: String,
    /// Whether the flag is on for it.
    enabled: bool,
    created_at: DateTime<Utc>,
}

impl From<&Override> for OverrideBody {
    fn from(one: &Override) -> Self {
        Self { slug: one.slug.to_string(), enabled: one.enabled, created_at: one.created_at }
    }
}

/// A feature, for a clinic.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct OwnFlagBody {
    key: &'static str,
    /// Whether it is on.
    enabled: bool,
}

/// Cuts a page out of a short list that is there as a whole, sorted by key.
fn page<T>(mut all: Vec<T>, list: &List<Nothing>, key: impl Fn(&T) -> &'static str) -> Page<T> {
    let total = list.page.count.then(|| u64::try_from(all.len()).unwrap_or_default());
    if let Some(after) = list.page.after.as_ref().and_then(|key| key.0.first()) {
        all.retain(|one| key(one) > after.as_str());
    }
    Page::from_rows(all, &list.page, total, |one| vec![key(one).to_owned()])
}

async fn list_configurations(slot: Slot, list: List<Nothing>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let all = configuration::service::list(&platform.app, &platform.modules).await?;
    let all = all.into_iter().map(ConfigurationBody::from).collect();
    Ok(Reply::page(&list, &page(all, &list, |one: &ConfigurationBody| one.key)))
}

async fn get_configuration(slot: Slot, Path(key): Path<String>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let found = configuration::service::get(&platform.app, &platform.modules, &key).await?;
    Ok(Reply::ok(&ConfigurationBody::from(found)))
}

async fn set_configuration(
    slot: Slot,
    cx: CallerCx,
    Path(key): Path<String>,
    Body(SetConfiguration { value, description }): Body<SetConfiguration>,
) -> Result<Reply, ApiError> {
    let (scope, expected) = (scope(&cx), cx.expected_version());
    let (tenancy, configurations) = (slot.tenancy()?.clone(), slot.platform()?.configurations.clone());
    cx.perform(move || {
        Box::pin(async move {
            let new = NewValue { value, description };
            let set = tenancy.set_configuration(&key, new, expected, &scope).await?;
            configurations.forget();
            Ok(Reply::ok(&ConfigurationBody::from(set)))
        })
    })
    .await
}

async fn unset_configuration(slot: Slot, cx: CallerCx, Path(key): Path<String>) -> Result<Reply, ApiError> {
    let (scope, expected) = (scope(&cx), cx.expected_version());
    let (tenancy, configurations) = (slot.tenancy()?.clone(), slot.platform()?.configurations.clone());
    cx.perform(move || {
        Box::pin(async move {
            tenancy.unset_configuration(&key, expected, &scope).await?;
            configurations.forget();
            Ok(Reply::no_content())
        })
    })
    .await
}

async fn list_flags(slot: Slot, list: List<Nothing>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let all = feature_flag::service::list(&platform.app, &platform.modules).await?;
    let all = all.into_iter().map(FlagBody::from).collect();
    Ok(Reply::page(&list, &page(all, &list, |one: &FlagBody| one.key)))
}

async fn get_flag(slot: Slot, Path(key): Path<String>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    Ok(Reply::ok(&FlagBody::from(feature_flag::service::get(&platform.app, &platform.modules, &key).await?)))
}

async fn set_flag(
    slot: Slot,
    cx: CallerCx,
    Path(key): Path<String>,
    Body(input): Body<SetFlag>,
) -> Result<Reply, ApiError> {
    let (scope, expected) = (scope(&cx), cx.expected_version());
    let (tenancy, flags) = (slot.tenancy()?.clone(), slot.platform()?.flags.clone());
    cx.perform(move || {
        Box::pin(async move {
            let SetFlag { enabled, rollout_percent, description } = input;
            let new = NewFlag { enabled, rollout_percent, description };
            let set = tenancy.set_flag(&key, new, expected, &scope).await?;
            flags.forget();
            Ok(Reply::ok(&FlagBody::from(set)))
        })
    })
    .await
}

async fn unset_flag(slot: Slot, cx: CallerCx, Path(key): Path<String>) -> Result<Reply, ApiError> {
    let (scope, expected) = (scope(&cx), cx.expected_version());
    let (tenancy, flags) = (slot.tenancy()?.clone(), slot.platform()?.flags.clone());
    cx.perform(move || {
        Box::pin(async move {
            tenancy.unset_flag(&key, expected, &scope).await?;
            flags.forget();
            Ok(Reply::no_content())
        })
    })
    .await
}

async fn list_overrides(slot: Slot, Path(key): Path<String>, list: List<Nothing>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let found =
        feature_flag::service::list_overrides(&platform.app, &platform.modules, &key, &list.page).await?;
    Ok(Reply::page(&list, &found.map(|one| OverrideBody::from(&one))))
}

async fn override_flag(
    slot: Slot,
    cx: CallerCx,
    Path((key, text)): Path<(String, String)>,
    enabled: Option<bool>,
) -> Result<Reply, ApiError> {
    let (slug, scope, expected) = (slug(&text)?, scope(&cx), cx.expected_version());
    let (tenancy, flags) = (slot.tenancy()?.clone(), slot.platform()?.flags.clone());
    cx.perform(move || {
        Box::pin(async move {
            let changed = tenancy.override_flag(&key, &slug, enabled, expected, &scope).await?;
            flags.forget();
            Ok(Reply::ok(&FlagBody::from(changed)))
        })
    })
    .await
}

async fn own_flags(slot: Slot, cx: TenantCx, list: List<Nothing>) -> Result<Reply, ApiError> {
    let platform = slot.platform()?;
    let mut all = Vec::new();
    for flag in platform.modules.flags() {
        let enabled = platform.flags.is_enabled(cx.tenant().id, flag).await;
        all.push(OwnFlagBody { key: flag.key, enabled });
    }
    all.sort_by_key(|one| one.key);
    Ok(Reply::page(&list, &page(all, &list, |one: &OwnFlagBody| one.key)))
}
