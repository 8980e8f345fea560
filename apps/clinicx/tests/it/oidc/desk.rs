//! An issuer for tests of something else, at which somebody can log in as an operator at any time.

use std::sync::OnceLock;

use clinicx::config::{OidcConfig, OidcOperator};
use serde_json::{Value, json};
use url::Url;

use super::{flow, forge::Key, issuer::Issuer, world};

/// The name of the provider.
pub(crate) const NAME: &str = "desk";

fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| Issuer::start(Key::curve("desk-1")))
}

/// The configuration of the provider.
pub(crate) fn config() -> OidcConfig {
    let operator = OidcOperator { claim: "groups".to_owned(), values: vec!["operators".to_owned()] };
    OidcConfig {
        tenant_claim: Some("tenant".to_owned()),
        operator: Some(operator),
        algorithms: vec!["ES256".to_owned()],
        ..world::provider(NAME, &issuer().url)
    }
}

/// The body that begins a log-in.
pub(crate) fn begin() -> Value {
    json!({"redirect_uri": world::back(NAME)})
}

/// The body that finishes the log-in of this answer, at which the issuer has already been.
pub(crate) fn finish(begun: &Value) -> Value {
    let url = Url::parse(begun["authorization_url"].as_str().unwrap()).unwrap();
    let nonce = url.query_pairs().find(|(name, _)| name == "nonce").unwrap().1.into_owned();
    let mut claims = flow::id_claims(issuer(), &nonce);
    claims["sub"] = json!("operator");
    claims["groups"] = json!(["operators"]);
    let code = flow::code_for(issuer(), flow::id_token(&issuer().key, &claims));
    json!({
        "code": code, "state": begun["state"], "binding": begun["binding"], "redirect_uri": world::back(NAME),
    })
}
