//! `clinicx user`: accounts and what they may.

use std::io::Read;

use anyhow::Context;
use clap::Subcommand;
use clinicx_identity::{IdentityError, IdentityScope, LastOwner, NewAccount, Password, user};
use clinicx_tenancy::registry;
use clinicx_types::{name::TenantSlug, permission::Role};
use serde_json::json;

use super::{Failed, Outcome, Output};
use crate::{config::Config, said::said, wiring::Platform};

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create an account
    Create {
        /// The address
        email: String,
        /// The person's name
        #[arg(long)]
        name: String,
        /// Make an operator of the platform
        #[arg(long)]
        operator: bool,
        /// The variable that holds the password; without it nobody can log in until one is set
        #[arg(long, value_name = "VARIABLE")]
        password_env: Option<String>,
    },
    /// Give an account roles in a tenant, in place of those that it has there
    Grant {
        /// The address
        email: String,
        /// The tenant's slug
        tenant: TenantSlug,
        /// A role; may be repeated
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// Give them also when the tenant is left without an owner who can log in
        #[arg(long)]
        force: bool,
    },
    /// Print a link with which an account's owner sets a new password, once and within 30 minutes
    ResetPassword {
        /// The address
        email: String,
        /// Read the new password from the standard input and set it at once
        #[arg(long)]
        password_stdin: bool,
    },
    /// Take the second factor of an account away whose owner has lost it; its sessions end
    ResetTotp {
        /// The address
        email: String,
    },
}

/// Carries it out.
///
/// # Errors
/// The input is wrong, the account or tenant is not there, or the database refuses.
pub async fn run(config: Config, command: UserCommand, output: &Output) -> Result<Outcome, Failed> {
    let platform = Platform::open_current(&config).await?;
    let done = carry_out(&platform, command, output).await;
    platform.close().await;
    done
}

async fn carry_out(platform: &Platform, command: UserCommand, output: &Output) -> Result<Outcome, Failed> {
    match command {
        UserCommand::Create { email, name, operator, password_env } => {
            let password = match password_env {
                Some(variable) => Some(Password::new(std::env::var(&variable).map_err(|_| {
                    Failed::usage(anyhow::anyhow!(
                        "the variable {variable} is not set; it must hold the password"
                    ))
                })?)),
                None => None,
            };
            let account = NewAccount {
                email: &email,
                full_name: &name,
                password: password.as_ref(),
                is_operator: operator,
            };
            let scope = IdentityScope::system("user create");
            let made = platform.identity.create_user(&scope, account).await.map_err(said)?;
            output.one(&json!({"id": made.id, "email": made.email, "operator": made.is_operator}));
        }
        UserCommand::Grant { email, tenant, roles, force } => {
            let scope = IdentityScope::system("user grant");
            let found = user::find_by_email(&platform.app, &email).await.map_err(said)?;
            let user = found.ok_or_else(|| {
                Failed::message("there is no account with this address; create it with `clinicx user create`")
            })?;
            let tenant = registry::find_by_slug(&platform.app, &tenant).await?.ok_or_else(|| {
                Failed::message(format!("there is no tenant {tenant}; see `clinicx tenant list`"))
            })?;
            let last_owner = if force { LastOwner::MayGo } else { LastOwner::Stays };
            let place = (tenant.id, user.id);
            let granted = platform.identity.grant_roles(&scope, place, &roles, last_owner).await;
            let granted = granted.map_err(|error| match error {
                IdentityError::LastOwner => Failed::message(format!(
                    "{email} is the last owner of {} who can log in; give somebody else `--role owner` first, or say \
                     `--force`",
                    tenant.slug
                )),
                other => said(other).into(),
            })?;
            output.one(&json!({"email": email, "tenant": tenant.slug, "roles": granted.roles}));
        }
        UserCommand::ResetPassword { email, password_stdin: false } => {
            let scope = IdentityScope::system("user reset-password");
            let token = platform.identity.issue_password_reset(&scope, &email).await.map_err(no_account)?;
            let base = platform.config.mail.public_url.as_deref().map(|base| base.trim_end_matches('/'));
            let link = base.map(|base| format!("{base}/reset-password#token={}", token.expose()));
            output
                .one(&json!({"email": email, "token": token.expose(), "link": link, "good_for_minutes": 30}));
        }
        UserCommand::ResetPassword { email, password_stdin: true } => {
            let scope = IdentityScope::system("user reset-password");
            let found = user::find_by_email(&platform.app, &email).await.map_err(said)?;
            let user = found.ok_or(IdentityError::NotFound { thing: "user" }).map_err(no_account)?;
            let password = typed()?;
            platform.identity.set_password(&scope, user.id, &password, None).await.map_err(said)?;
            output.one(&json!({"email": email, "password": "set", "sessions": "ended"}));
        }
        UserCommand::ResetTotp { email } => {
            let scope = IdentityScope::system("user reset-totp");
            let found = user::find_by_email(&platform.app, &email).await.map_err(said)?;
            let user = found.ok_or(IdentityError::NotFound { thing: "user" }).map_err(no_account)?;
            platform.identity.reset_totp(&scope, user.id).await.map_err(said)?;
            output.one(&json!({"email": email, "totp": "removed", "sessions": "ended"}));
        }
    }
    Ok(Outcome::Done)
}

/// Says what to do when there is no such account.
fn no_account(error: IdentityError) -> Failed {
    match error {
        IdentityError::NotFound { .. } => Failed::message(
            "there is no enabled account with this address; create it with `clinicx user create`",
        ),
        other => said(other).into(),
    }
}

/// Reads a password from the standard input: all of it, without the end of its last line.
fn typed() -> Result<Password, Failed> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("read the password from the standard input")?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(Password::new(text))
}
