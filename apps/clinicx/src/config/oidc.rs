//! The OpenID Connect issuers from which people may come.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use anyhow::Context;
use clinicx_identity::oidc::{ClaimPath, OperatorRule, ProviderSettings, RoleRule, TenantRule};
use clinicx_types::{name::TenantSlug, permission::Role};
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::said::wrong_setting;

/// One issuer: `[[auth.oidc]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcConfig {
    /// Its name in paths and metrics: lower-case letters, digits, hyphens.
    pub name: String,
    /// Its name for people; `name` when absent.
    pub label: Option<String>,
    /// The issuer's URL, exactly as its tokens have it.
    pub issuer: String,
    /// The name by which the issuer knows this service.
    pub client_id: String,
    /// The secret that goes with it; without one the code flow rests on PKCE alone.
    pub client_secret: Option<Secret>,
    /// A file that holds it.
    pub client_secret_file: Option<PathBuf>,
    /// The audiences of access tokens that are taken in `Authorization: Bearer`; without one none is.
    pub audiences: Vec<String>,
    /// The clients, besides `client_id`, whose access tokens are taken.
    pub authorized_parties: Vec<String>,
    /// The algorithms that may sign, of one family of keys.
    pub algorithms: Vec<String>,
    /// What the code flow asks for besides `openid`.
    pub scopes: Vec<String>,
    /// Where the code flow may lead back to, each exactly and no other issuer's; without one nobody logs in that way.
    pub redirect_uris: Vec<String>,
    /// The hosts besides the issuer's own on which its endpoints and keys may be.
    pub endpoint_hosts: Vec<String>,
    /// The tenant to which the issuer belongs.
    pub tenant: Option<TenantSlug>,
    /// The claim with the slugs of a person's tenants; without it and `tenant` memberships decide.
    pub tenant_claim: Option<String>,
    /// Which claims give which roles in those tenants.
    pub roles: Option<OidcRoles>,
    /// Which claims make an operator of the platform.
    pub operator: Option<OidcOperator>,
    /// Whether a person gets the account that has the same address, when the issuer has verified it.
    pub link_by_verified_email: bool,
    /// The domains of the addresses for which the issuer speaks; a tenant's own one speaks for no others, and without
    /// them for none.
    pub email_domains: Vec<String>,
    /// Whether a person without an account gets a new one.
    pub create_users: bool,
    /// The longest life of a token.
    #[serde(with = "humantime_serde")]
    pub max_token_lifetime: Duration,
    /// After how long somebody who came by the code flow has to come that way again.
    #[serde(with = "humantime_serde")]
    pub session_ttl: Duration,
}

/// Which claims give which roles.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcRoles {
    /// Where the values stand, as in `realm_access.roles`; a JSON pointer for names that have dots.
    pub claim: String,
    /// The roles of each value.
    pub map: BTreeMap<String, Vec<Role>>,
}

/// Which claims make an operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcOperator {
    /// Where the values stand.
    pub claim: String,
    /// One of them is enough.
    pub values: Vec<String>,
}

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            label: None,
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            audiences: Vec::new(),
            authorized_parties: Vec::new(),
            algorithms: vec!["RS256".to_owned()],
            scopes: vec!["profile".to_owned(), "email".to_owned()],
            redirect_uris: Vec::new(),
            endpoint_hosts: Vec::new(),
            tenant: None,
            tenant_claim: None,
            roles: None,
            operator: None,
            link_by_verified_email: false,
            email_domains: Vec::new(),
            create_users: true,
            max_token_lifetime: Duration::from_secs(86_400),
            session_ttl: Duration::from_secs(12 * 3600),
        }
    }
}

impl OidcConfig {
    /// Returns it as identity takes it, with the secret read.
    ///
    /// # Errors
    /// A claim that is none, a tenant that is named twice, a file that can't be read.
    pub fn settings(&self) -> anyhow::Result<ProviderSettings> {
        self.read().map_err(|error| wrong_setting(&format!("auth.oidc {}", self.name), error))
    }

    fn read(&self) -> anyhow::Result<ProviderSettings> {
        let tenant = match (&self.tenant, &self.tenant_claim) {
            (Some(_), Some(_)) => anyhow::bail!("tenant and tenant_claim exclude each other"),
            (Some(slug), None) => TenantRule::Fixed(slug.clone()),
            (None, Some(claim)) => TenantRule::Claim(path("tenant_claim", claim)?),
            (None, None) => TenantRule::Memberships,
        };
        let roles = match &self.roles {
            Some(roles) => {
                Some(RoleRule { claim: path("roles.claim", &roles.claim)?, values: roles.map.clone() })
            }
            None => None,
        };
        let operator = match &self.operator {
            Some(rule) => Some(OperatorRule {
                claim: path("operator.claim", &rule.claim)?,
                values: rule.values.clone(),
            }),
            None => None,
        };
        Ok(ProviderSettings {
            name: self.name.clone(),
            label: self.label.clone().unwrap_or_else(|| self.name.clone()),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.secret()?,
            audiences: self.audiences.clone(),
            authorized_parties: self.authorized_parties.clone(),
            algorithms: self.algorithms.clone(),
            scopes: self.scopes.clone(),
            redirect_uris: self.redirect_uris.clone(),
            endpoint_hosts: self.endpoint_hosts.clone(),
            tenant,
            roles,
            operator,
            link_by_verified_email: self.link_by_verified_email,
            email_domains: self.email_domains.clone(),
            create_users: self.create_users,
            max_token_lifetime: self.max_token_lifetime,
            session_ttl: self.session_ttl,
        })
    }

    fn secret(&self) -> anyhow::Result<Option<String>> {
        match (&self.client_secret, &self.client_secret_file) {
            (Some(secret), _) => Ok(Some(secret.expose().to_owned())),
            (None, Some(file)) => {
                let text = fs::read_to_string(file)
                    .with_context(|| format!("read client_secret_file {}", file.display()))?;
                Ok(Some(text.trim().to_owned()))
            }
            (None, None) => Ok(None),
        }
    }
}

fn path(key: &str, text: &str) -> anyhow::Result<ClaimPath> {
    ClaimPath::parse(text).with_context(|| format!("{key} must name a claim, as in realm_access.roles"))
}
