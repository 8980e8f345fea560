//! What an operator says of an issuer, and what of it makes sense.

use std::{fmt, time::Duration};

use clinicx_types::name::TenantSlug;
use jsonwebtoken::Algorithm;
use url::Url;

use super::{
    claim::{ClaimPath, OperatorRule, RoleRule},
    key::Family,
};
use crate::email::EmailAddress;

/// The longest life of a token that can be allowed.
const MAX_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// Whose tenants an issuer's people work in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantRule {
    /// The issuer belongs to this tenant: nobody comes to another one through it.
    Fixed(TenantSlug),
    /// The issuer is the platform's, and this claim has the slugs of a person's tenants.
    Claim(ClaimPath),
    /// The issuer is the platform's and says who somebody is; where they work is what their memberships say.
    Memberships,
}

/// What is configured of an issuer. Its `Debug` text does not show the secret.
#[derive(Clone)]
pub struct ProviderSettings {
    /// Its name in paths and metrics: lower-case letters, digits, hyphens.
    pub name: String,
    /// Its name for people.
    pub label: String,
    /// The issuer's URL, exactly as its tokens have it.
    pub issuer: String,
    /// The name by which the issuer knows this service.
    pub client_id: String,
    /// The secret that goes with it; without one the code flow rests on PKCE alone.
    pub client_secret: Option<String>,
    /// The audiences of access tokens that are taken as a bearer's; without one none is.
    pub audiences: Vec<String>,
    /// The clients, besides `client_id`, whose access tokens are taken.
    pub authorized_parties: Vec<String>,
    /// The algorithms that may sign, of one family of keys.
    pub algorithms: Vec<String>,
    /// What the code flow asks for; `openid` is always among them.
    pub scopes: Vec<String>,
    /// Where the code flow may lead back to, each exactly; none of another issuer.
    pub redirect_uris: Vec<String>,
    /// The hosts besides the issuer's own on which its endpoints may be.
    pub endpoint_hosts: Vec<String>,
    /// Whose tenants its people work in.
    pub tenant: TenantRule,
    /// Which claims give which roles; without it memberships are given by hand.
    pub roles: Option<RoleRule>,
    /// Which claims make an operator of the platform.
    pub operator: Option<OperatorRule>,
    /// Whether a person without an account here gets the one that has the same address, when the issuer has verified it.
    pub link_by_verified_email: bool,
    /// The domains of which the issuer may say that an address is somebody's: mail of theirs is read by its people alone.
    /// Empty, a tenant's own issuer speaks for no address, and one of the platform's for all.
    pub email_domains: Vec<String>,
    /// Whether a person without an account gets a new one.
    pub create_users: bool,
    /// The longest life of a token, from its making to its end.
    pub max_token_lifetime: Duration,
    /// After how long somebody who came by the code flow has to come that way again.
    pub session_ttl: Duration,
}

/// Why an issuer can't be configured so; the texts name the keys of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{provider}: {key} {reason}")]
pub struct ProviderError {
    /// The name of the issuer.
    pub provider: String,
    /// The key that is wrong.
    pub key: &'static str,
    /// What it must be.
    pub reason: &'static str,
}

/// An issuer whose settings were checked.
pub(crate) struct Provider {
    pub(crate) settings: ProviderSettings,
    pub(crate) issuer_url: Url,
    pub(crate) family: Family,
    pub(crate) algorithms: Vec<Algorithm>,
    /// Whether plain HTTP to the machine itself is allowed.
    loopback: bool,
}

impl Provider {
    /// Checks settings; `loopback` allows an issuer on this machine without TLS, for development and tests.
    pub(crate) fn check(mut settings: ProviderSettings, loopback: bool) -> Result<Self, ProviderError> {
        let provider = settings.name.clone();
        let wrong = |key, reason| ProviderError { provider: provider.clone(), key, reason };
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if settings.name.is_empty() || settings.name.len() > 40 || !settings.name.chars().all(word) {
            return Err(wrong("name", "must be 1 to 40 lower-case letters, digits and hyphens"));
        }
        let issuer_url = Url::parse(&settings.issuer).ok().filter(|url| is_secure(url, loopback));
        let issuer_url = issuer_url.filter(|url| url.query().is_none()).ok_or_else(|| {
            wrong("issuer", "must be an https URL without a query; http only on this machine, in development")
        })?;
        if settings.client_id.is_empty() {
            return Err(wrong("client_id", "must not be empty"));
        }
        if settings.audiences.iter().any(|audience| audience.is_empty() || *audience == settings.client_id) {
            return Err(wrong("audiences", "must not have client_id: that is the audience of ID tokens"));
        }
        let (family, algorithms) = algorithms(&settings.algorithms)
            .ok_or_else(|| wrong("algorithms", "must be asymmetric and of one family of keys"))?;
        if settings.operator.is_some() && matches!(settings.tenant, TenantRule::Fixed(_)) {
            return Err(wrong("operator", "a tenant's own issuer makes no operators of the platform"));
        }
        if settings.roles.is_some() && settings.tenant == TenantRule::Memberships {
            return Err(wrong("roles", "needs a tenant, or a claim that names one"));
        }
        let Some(email_domains) = settings.email_domains.iter().map(|text| domain_of(text)).collect() else {
            return Err(wrong("email_domains", "must be domains as addresses have them behind the @"));
        };
        settings.email_domains = email_domains;
        let own = matches!(settings.tenant, TenantRule::Fixed(_));
        if own && settings.link_by_verified_email && settings.email_domains.is_empty() {
            return Err(wrong("link_by_verified_email", "needs email_domains for a tenant's own issuer"));
        }
        let redirects = &settings.redirect_uris;
        let good = |text: &String| Url::parse(text).is_ok_and(|url| is_secure(&url, loopback));
        if !redirects.iter().all(good) {
            return Err(wrong("redirect_uris", "must be https URLs without a fragment"));
        }
        if settings.max_token_lifetime.is_zero() || settings.max_token_lifetime > MAX_LIFETIME {
            return Err(wrong("max_token_lifetime", "must be up to 7 days"));
        }
        if settings.session_ttl < Duration::from_secs(60) {
            return Err(wrong("session_ttl", "must be at least a minute"));
        }
        Ok(Self { settings, issuer_url, family, algorithms, loopback })
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Tells whether the issuer's word that an address is somebody's counts.
    ///
    /// What a tenant configures as its own must not take an address that nobody has used yet from its owner: whoever
    /// is invited with it elsewhere would be led to an account in the hands of that tenant.
    pub(crate) fn speaks_for(&self, email: &EmailAddress) -> bool {
        let domains = &self.settings.email_domains;
        if domains.is_empty() {
            return self.tenant().is_none();
        }
        domains.iter().any(|domain| domain == email.domain())
    }

    /// Returns where the code flow may lead back to.
    pub(crate) fn redirects(&self) -> impl Iterator<Item = Url> {
        self.settings.redirect_uris.iter().filter_map(|text| Url::parse(text).ok())
    }

    /// Tells whether it belongs to one tenant.
    pub(crate) fn tenant(&self) -> Option<&TenantSlug> {
        match &self.settings.tenant {
            TenantRule::Fixed(slug) => Some(slug),
            TenantRule::Claim(_) | TenantRule::Memberships => None,
        }
    }

    /// Reads a URL from the issuer's own description: on its host or on one that is configured, so that a tenant's
    /// issuer can't send this service to an address inside its own network.
    pub(crate) fn endpoint(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|url| is_secure(url, self.loopback))?;
        let here = url.host_str() == self.issuer_url.host_str()
            && url.port_or_known_default() == self.issuer_url.port_or_known_default();
        let named = self.settings.endpoint_hosts.contains(&authority(&url));
        (here || named).then_some(url)
    }
}

/// Reads a domain as addresses have it.
fn domain_of(text: &str) -> Option<String> {
    EmailAddress::parse(&format!("x@{text}")).ok().map(|email| email.domain().to_owned())
}

/// Returns the host, with the port when it is not the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Tells whether a URL is one that secrets may be sent to.
fn is_secure(url: &Url, loopback: bool) -> bool {
    let here = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback && here);
    scheme
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

/// Reads the names of algorithms, which must all belong to keys of one family; HMAC has no public key and no place.
fn algorithms(names: &[String]) -> Option<(Family, Vec<Algorithm>)> {
    let read: Option<Vec<(Family, Algorithm)>> = names.iter().map(|name| Family::algorithm(name)).collect();
    let read = read?;
    let (family, _) = *read.first()?;
    let one_family = read.iter().all(|(other, _)| *other == family);
    one_family.then(|| (family, read.into_iter().map(|(_, algorithm)| algorithm).collect()))
}

impl fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSettings")
            .field("name", &self.name)
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    pub(crate) fn settings() -> ProviderSettings {
        ProviderSettings {
            name: "idp".to_owned(),
            label: "IdP".to_owned(),
            issuer: "https://idp.example/realms/x".to_owned(),
            client_id: "clinicx-console".to_owned(),
            client_secret: None,
            audiences: vec!["clinicx".to_owned()],
            authorized_parties: Vec::new(),
            algorithms: vec!["ES256".to_owned()],
            scopes: Vec::new(),
            redirect_uris: vec!["https://console.example/back".to_owned()],
            endpoint_hosts: vec!["keys.example".to_owned()],
            tenant: TenantRule::Memberships,
            roles: None,
            operator: None,
            link_by_verified_email: false,
            email_domains: Vec::new(),
            create_users: false,
            max_token_lifetime: Duration::from_secs(3600),
            session_ttl: Duration::from_secs(3600),
        }
    }

    fn refused(change: impl Fn(&mut ProviderSettings)) -> Option<&'static str> {
        let mut settings = settings();
        change(&mut settings);
        Provider::check(settings, false).err().map(|error| error.key)
    }

    #[test]
    fn what_would_open_a_door_is_refused() {
        assert_eq!(refused(|_| ()), None);
        assert_eq!(refused(|s| s.name = "Id P".to_owned()), Some("name"));
        for bad in
            ["http://idp.example", "https://u:p@idp.example", "https://idp.example/#x", "ftp://x", "idp", ""]
        {
            assert_eq!(refused(|s| s.issuer = bad.to_owned()), Some("issuer"), "{bad}");
        }
        assert_eq!(refused(|s| s.issuer = "http://127.0.0.1:9".to_owned()), Some("issuer"));
        assert_eq!(refused(|s| s.audiences = vec!["clinicx-console".to_owned()]), Some("audiences"));
        for bad in [&["HS256"][..], &["none"], &["RS256", "ES256"], &["ES256", "ES256K"], &[], &["rs256"]] {
            let bad: Vec<String> = bad.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(refused(|s| s.algorithms = bad.clone()), Some("algorithms"), "{bad:?}");
        }
        let operator = OperatorRule { claim: ClaimPath::parse("x").unwrap(), values: vec!["y".to_owned()] };
        let own = TenantRule::Fixed("clinic1".parse().unwrap());
        assert_eq!(
            refused(|s| (s.operator, s.tenant) = (Some(operator.clone()), own.clone())),
            Some("operator")
        );
        let own = TenantRule::Fixed("clinic1".parse().unwrap());
        assert_eq!(
            refused(|s| (s.link_by_verified_email, s.tenant) = (true, own.clone())),
            Some("link_by_verified_email")
        );
        for bad in ["", "@clinic.example", "a@b", "*.example", "clinic..example"] {
            assert_eq!(refused(|s| s.email_domains = vec![bad.to_owned()]), Some("email_domains"), "{bad}");
        }
        assert_eq!(
            refused(|s| s.redirect_uris = vec!["http://console.example".to_owned()]),
            Some("redirect_uris")
        );
        assert_eq!(refused(|s| s.max_token_lifetime = Duration::MAX), Some("max_token_lifetime"));
    }

    #[test]
    fn a_tenants_own_issuer_speaks_for_named_domains_and_the_platforms_for_all() {
        let check = |own: bool, domains: &[&str], email: &str, expected: bool| {
            let tenant = match own {
                true => TenantRule::Fixed("clinic1".parse().unwrap()),
                false => TenantRule::Memberships,
            };
            let email_domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
            let provider =
                Provider::check(ProviderSettings { tenant, email_domains, ..settings() }, false).unwrap();
            let email = EmailAddress::parse(email).unwrap();
            assert_eq!(provider.speaks_for(&email), expected, "{own} {domains:?} {email:?}");
        };
        check(false, &[], "ada@anywhere.example", true);
        check(false, &["clinic.example"], "ada@anywhere.example", false);
        check(true, &[], "ada@clinic.example", false);
        check(true, &["Clinic.example", "b.example"], "Ada@CLINIC.example", true);
        check(true, &["clinic.example"], "ada@mail.clinic.example", false);
        check(true, &["clinic.example"], "ada@notclinic.example", false);
    }

    #[test]
    fn endpoints_are_on_the_issuers_host_or_on_a_named_one() {
        let provider = Provider::check(settings(), false).unwrap();
        for good in ["https://idp.example/keys", "https://keys.example/x", "https://idp.example:443/a?b=c"] {
            assert!(provider.endpoint(good).is_some(), "{good}");
        }
        for bad in [
            "http://idp.example/keys",
            "https://evil.example/keys",
            "https://idp.example.evil.example/",
            "https://idp.example:8443/keys",
            "https://keys.example@evil.example/",
            "https://169.254.169.254/latest",
            "https://keys.example:1/x",
            "file:///etc/passwd",
            "/keys",
        ] {
            assert!(provider.endpoint(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut settings = settings();
        settings.client_secret = Some("hunter2".to_owned());
        settings.roles =
            Some(RoleRule { claim: ClaimPath::parse("roles").unwrap(), values: BTreeMap::new() });
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
