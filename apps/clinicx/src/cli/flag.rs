//! `clinicx flag`: features that are on for some tenants and off for others.

use clap::{Subcommand, ValueEnum};
use clinicx_tenancy::{
    PlatformScope,
    feature_flag::{
        Flag,
        service::{self, NewFlag},
    },
};
use clinicx_types::{name::TenantSlug, page::PageRequest};
use serde_json::{Value, json};

use super::{Failed, Outcome, Output};
use crate::{config::Config, said::said, wiring::Platform};

/// On or off.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

impl Switch {
    fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// What can be done with feature flags.
#[derive(Debug, Subcommand)]
pub enum FlagCommand {
    /// List every flag and for whom it is on
    List,
    /// Show a flag with its first overrides
    Show {
        /// Its key
        key: String,
    },
    /// Switch a flag on or off for all tenants, or on for some in a hundred
    Set {
        /// Its key
        key: String,
        /// On or off
        state: Switch,
        /// For how many tenants in a hundred
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i16).range(0..=100))]
        percent: i16,
        /// A note about it
        #[arg(long)]
        description: Option<String>,
    },
    /// Switch a flag on or off for one tenant, whatever holds for the others
    Override {
        /// Its key
        key: String,
        /// The tenant's slug
        tenant: TenantSlug,
        /// On or off
        state: Switch,
    },
    /// Take a flag back to its default, or its override away from one tenant
    Unset {
        /// Its key
        key: String,
        /// The slug of the tenant whose override goes
        #[arg(long)]
        tenant: Option<TenantSlug>,
    },
}

/// Carries it out.
///
/// # Errors
/// There is no such flag or tenant, or the database refuses.
pub async fn run(config: Config, command: FlagCommand, output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(&config).await?;
    let done = carry_out(&platform, command, output).await;
    platform.close().await;
    done
}

async fn carry_out(platform: &Platform, command: FlagCommand, output: &Output) -> Result<Outcome, Failed> {
    let scope = PlatformScope::system("flag");
    match command {
        FlagCommand::List => {
            let all = service::list(&platform.app, &platform.modules).await.map_err(said)?;
            let all: Vec<_> = all.iter().map(shown).collect();
            output.many(&all, &["key", "enabled", "rollout_percent", "override_count", "description"]);
        }
        FlagCommand::Show { key } => show(platform, &key, output).await?,
        FlagCommand::Set { key, state, percent, description } => {
            let new = NewFlag { enabled: state.is_on(), rollout_percent: percent, description };
            let set = platform.tenancy()?.set_flag(&key, new, None, &scope).await.map_err(said)?;
            output.one(&shown(&set));
        }
        FlagCommand::Override { key, tenant, state } => {
            let tenancy = platform.tenancy()?;
            let changed = tenancy.override_flag(&key, &tenant, Some(state.is_on()), None, &scope).await;
            output.one(&shown(&changed.map_err(said)?));
        }
        FlagCommand::Unset { key, tenant: Some(tenant) } => {
            let changed = platform.tenancy()?.override_flag(&key, &tenant, None, None, &scope).await;
            output.one(&shown(&changed.map_err(said)?));
        }
        FlagCommand::Unset { key, tenant: None } => {
            platform.tenancy()?.unset_flag(&key, None, &scope).await.map_err(said)?;
            show(platform, &key, output).await?;
        }
    }
    Ok(Outcome::Done)
}

async fn show(platform: &Platform, key: &str, output: &Output) -> Result<(), Failed> {
    let found = service::get(&platform.app, &platform.modules, key).await.map_err(said)?;
    let page = PageRequest::default();
    let first = service::list_overrides(&platform.app, &platform.modules, key, &page).await.map_err(said)?;
    let mut shown = shown(&found);
    if let Some(members) = shown.as_object_mut() {
        let overrides =
            first.items.iter().map(|one| (one.slug.to_string(), Value::from(one.enabled))).collect();
        members.insert("overrides".to_owned(), Value::Object(overrides));
    }
    output.one(&shown);
    Ok(())
}

fn shown(flag: &Flag) -> Value {
    json!({
        "key": flag.key,
        "enabled": flag.enabled,
        "rollout_percent": flag.rollout_percent,
        "override_count": flag.overrides,
        "description": flag.description,
        "version": flag.version,
        "updated_at": flag.updated_at,
    })
}
