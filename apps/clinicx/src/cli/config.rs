//! `clinicx config`: values of the platform that change while it runs.

use clap::Subcommand;
use clinicx_tenancy::{
    PlatformScope,
    configuration::{
        Setting,
        service::{self, NewValue},
    },
};
use serde_json::{Value, json};

use super::{Failed, Outcome, Output};
use crate::{config::Config, said::said, wiring::Platform};

/// What can be done with configurations.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// List every configuration and what it is now
    List,
    /// Show a configuration
    Show {
        /// Its key
        key: String,
    },
    /// Set a configuration; running services see it within seconds
    Set {
        /// Its key
        key: String,
        /// The value: `true`, `5`, `12.50`, `30s`, a text, or JSON
        value: String,
        /// A note about it
        #[arg(long)]
        description: Option<String>,
    },
    /// Take a configuration back to its default
    Unset {
        /// Its key
        key: String,
    },
}

/// Carries it out.
///
/// # Errors
/// There is no such key, the value is not of its type, or the database refuses.
pub async fn run(config: Config, command: ConfigCommand, output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(&config).await?;
    let done = carry_out(&platform, command, output).await;
    platform.close().await;
    done
}

async fn carry_out(platform: &Platform, command: ConfigCommand, output: &Output) -> Result<Outcome, Failed> {
    match command {
        ConfigCommand::List => {
            let all = service::list(&platform.app, &platform.modules).await.map_err(said)?;
            let all: Vec<_> = all.iter().map(shown).collect();
            output.many(&all, &["key", "type", "value", "default", "description"]);
        }
        ConfigCommand::Show { key } => {
            let found = service::get(&platform.app, &platform.modules, &key).await.map_err(said)?;
            output.one(&shown(&found));
        }
        ConfigCommand::Set { key, value, description } => {
            let value = read(platform, &key, value);
            let scope = PlatformScope::system("config set");
            let new = NewValue { value, description };
            let set = platform.tenancy()?.set_configuration(&key, new, None, &scope).await.map_err(said)?;
            output.one(&shown(&set));
        }
        ConfigCommand::Unset { key } => {
            let scope = PlatformScope::system("config unset");
            platform.tenancy()?.unset_configuration(&key, None, &scope).await.map_err(said)?;
            let found = service::get(&platform.app, &platform.modules, &key).await.map_err(said)?;
            output.one(&shown(&found));
        }
    }
    Ok(Outcome::Done)
}

/// Reads what was typed as JSON where the type allows it, else as a text.
fn read(platform: &Platform, key: &str, typed: String) -> Value {
    let declared = platform.modules.configurations().find(|declared| declared.key() == key);
    let fits = |value: &Value| declared.is_none_or(|declared| declared.check(value).is_ok());
    let text = Value::String(typed.clone());
    let is_text = declared.is_some_and(|declared| declared.type_name() != "json") && fits(&text);
    match serde_json::from_str::<Value>(&typed) {
        Ok(value) if !is_text => value,
        _ => text,
    }
}

fn shown(setting: &Setting) -> Value {
    json!({
        "key": setting.key,
        "type": setting.type_name,
        "value": setting.value,
        "default": setting.default,
        "min": setting.min,
        "max": setting.max,
        "description": setting.description,
        "version": setting.version,
        "updated_at": setting.updated_at,
    })
}
