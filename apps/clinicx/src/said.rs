//! What a domain error says on the command line: what happened and, where it is known, what to do next.

use std::fmt;

use clinicx_types::error::{DomainError, ErrorKind};

/// One line, and whether the command line was wrong.
#[derive(Debug)]
pub struct Said {
    text: String,
    /// The caller has to say something else.
    pub is_usage: bool,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Says what a domain error says to its caller, with the wrong parts; its causes stay behind it.
pub fn said<E: DomainError>(error: E) -> anyhow::Error {
    let fields = error.fields();
    let text = match fields.is_empty() {
        true => error.detail(),
        false => {
            let parts = fields.iter().map(|field| format!("{} {}", words(&field.pointer), field.detail));
            parts.collect::<Vec<_>>().join("; ")
        }
    };
    let text = match next_step(&error) {
        Some(step) => format!("{text}; {step}"),
        None => text,
    };
    let is_usage = error.kind() == ErrorKind::Invalid;
    anyhow::Error::new(error).context(Said { text, is_usage })
}

/// Says what a domain error says about values of a section of the configuration.
pub fn said_of<E: DomainError>(section: &str, error: E) -> anyhow::Error {
    let fields = error.fields();
    let text = match fields.is_empty() {
        true => format!("{section}: {}", error.detail()),
        false => {
            let parts = fields
                .iter()
                .map(|field| format!("{section}{}: {}", field.pointer.replace('/', "."), field.detail));
            parts.collect::<Vec<_>>().join("; ")
        }
    };
    let is_usage = error.kind() == ErrorKind::Invalid;
    anyhow::Error::new(error).context(Said { text, is_usage })
}

/// Says which part of the configuration is wrong, and why: the name alone would leave everybody to guess.
pub fn wrong_setting(part: &str, error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::anyhow!("{part}: {:#}", error.into())
}

/// Makes words of a JSON Pointer: nobody at a command line has written JSON.
fn words(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace(['/', '_'], " ")
}

/// Says what to do about a refusal, by its code.
fn next_step(error: &impl DomainError) -> Option<String> {
    let step = match error.code() {
        "slug_taken" if error.detail() == "the slug is taken" => {
            "choose another: a slug stays taken when its tenant has been purged"
        }
        "slug_taken" => "choose another slug, or a PostgreSQL server of this installation's own",
        "not_found" => match error.detail().as_str() {
            "no such tenant" => "`clinicx tenant list` shows them",
            "no such setting" => "`clinicx config list` and `clinicx flag list` show them",
            _ => return None,
        },
        "transition_refused" if error.allowed().is_empty() => "nothing leads on from there",
        "transition_refused" => return Some(format!("it can become {}", error.allowed().join(" or "))),
        "email_taken" => "`clinicx user grant` gives it roles in a tenant",
        "retention_not_over" => "--force does not wait for that",
        "not_configured" => "set database.migrator_url",
        "tenant_maintenance" => "try again in a moment",
        "tenant_upgrade_required" => "`clinicx fleet migrate` does that",
        _ => return None,
    };
    Some(step.to_owned())
}

#[cfg(test)]
mod tests {
    use clinicx_identity::IdentityError;

    use super::*;

    #[test]
    fn a_wrong_value_is_said_with_its_key() {
        let short = IdentityError::invalid("/password", "too_short", "must have at least 8 characters");
        let error = said_of("bootstrap", short);
        assert_eq!(error.to_string(), "bootstrap.password: must have at least 8 characters");
        assert!(error.downcast_ref::<Said>().unwrap().is_usage);
        let error = said_of("bootstrap", IdentityError::Busy);
        assert_eq!(error.to_string(), "bootstrap: the service is busy checking passwords");
    }
}
