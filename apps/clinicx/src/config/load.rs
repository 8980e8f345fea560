//! Reads the configuration: defaults < file < environment < flags.

use std::{collections::BTreeSet, ffi::OsString, path::Path};

use figment::{
    Figment, Profile as FigmentProfile, Provider, Source,
    error::Kind,
    providers::{Format, Serialized, Toml},
    value::{Dict, Map, Value},
};

use super::Config;

const PREFIX: &str = "CLINICX_";
const DEFAULT_FILE: &str = "clinicx.toml";
/// Variables with the prefix that are flags' and not keys of the configuration.
const NOT_KEYS: &[&str] = &["CLINICX_CONFIG"];
/// Keys whose value is text even when it looks like a number; a password may be all digits.
const TEXT_KEYS: &[&str] = &[
    "url",
    "admin_url",
    "migrator_url",
    "control_url",
    "backup_url",
    "password",
    "email",
    "token_key",
    "previous_token_key",
    "master_key",
    "token_key_file",
    "master_key_file",
    "provider",
    "address",
    "mount",
    "key",
    "namespace",
    "token",
    "token_file",
    "ca_file",
    "signing_key",
    "signing_key_file",
    "log_name",
    "role_prefix",
    "cluster",
    "region",
    "base_domain",
    "filter",
    "state_dir",
    "postgres_bin",
    "host",
    "from",
    "public_url",
    "folder",
    "username",
];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named is not there.
    #[error("there is no configuration file {0}")]
    NoFile(String),
    /// A key that nobody knows.
    #[error("unknown configuration key {key}{}", nearest.as_ref().map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
    UnknownKey {
        /// The key, with its section.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A value of the wrong kind, or a file that is no TOML.
    #[error("the configuration is not right: {0}")]
    Wrong(String),
    /// A variable of the environment whose value, or name, is no text.
    #[error("the environment variable {0} is not valid UTF-8")]
    NotText(String),
    /// Values that do not fit together.
    #[error("{0}")]
    Unfit(String),
}

/// Loads the configuration from the named file (or `clinicx.toml`, if there is one) and the environment.
///
/// # Errors
/// [`ConfigError`]; each is one line that says what to mend.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    if file.is_some() && !path.is_file() {
        return Err(ConfigError::NoFile(path.display().to_string()));
    }
    let environment = Environment::read(std::env::vars_os())?;
    let overrides =
        if path.is_file() { Figment::new().merge(Toml::file_exact(path)) } else { Figment::new() };
    let overrides = overrides.merge(environment);
    let given: Value = overrides.extract().map_err(wrong)?;
    let known = known_keys();
    for key in keys_of(&given) {
        let is_section = known.iter().any(|name| name.starts_with(&format!("{key}.")));
        if !known.contains(&key) && !is_section {
            return Err(ConfigError::UnknownKey { nearest: nearest(&key, &known), key });
        }
    }
    Figment::from(Serialized::defaults(Config::default())).merge(overrides).extract().map_err(wrong)
}

/// Says in one line which value is wrong and where it stands. A value is not shown: it may be a secret.
fn wrong(error: figment::Error) -> ConfigError {
    let place = match error.metadata.as_ref().and_then(|metadata| metadata.source.as_ref()) {
        Some(Source::File(path)) => {
            format!(" in {}", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
        }
        _ => String::new(),
    };
    let what = match &error.kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("must be {}", in_words(expected))
        }
        Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
        // A parser shows the line beside what is wrong with it; the line may hold a secret.
        Kind::Message(text) => {
            let mut lines = text.lines().filter(|line| !line.trim().is_empty());
            match (lines.next().unwrap_or_default(), lines.next_back()) {
                (first, Some(last)) => format!("{first}: {last}"),
                (only, None) => only.to_owned(),
            }
        }
        other => other.to_string(),
    };
    let key = error.path.join(".");
    let separator = if key.is_empty() { "" } else { " " };
    ConfigError::Wrong(format!("{key}{separator}{what}{place}"))
}

/// Says for people what a program calls by the name of a type.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number",
        "f64" => "a number",
        _ if expected.starts_with("struct ") => "a section",
        _ if expected.starts_with("enum ") => "a word",
        other => other,
    }
}

/// Every key that there is, with its section.
fn known_keys() -> BTreeSet<String> {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut keys = BTreeSet::new();
    collect_json(&defaults, String::new(), &mut keys);
    keys
}

fn collect_json(value: &serde_json::Value, path: String, keys: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect_json(field, path, keys);
            }
        }
        _ => {
            keys.insert(path);
        }
    }
}

fn keys_of(value: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, keys: &mut Vec<String>) {
        match value {
            Value::Dict(_, fields) => {
                for (name, field) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(field, &path, keys);
                }
            }
            _ => keys.push(path.to_owned()),
        }
    }
    let mut keys = Vec::new();
    walk(value, "", &mut keys);
    keys
}

fn nearest(key: &str, known: &BTreeSet<String>) -> Option<String> {
    let score = |name: &&String| {
        let whole = strsim::jaro_winkler(key, name);
        let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
        let alike = strsim::normalized_damerau_levenshtein(&last(key), &last(name));
        // The same word in the section that was named is what was meant, not the one in another section.
        let same_section = key.split('.').next() == name.split('.').next();
        whole.max(if same_section { alike } else { alike * 0.95 })
    };
    // Of two that end alike, the one that ends in all that was said, then the one with the fewest sections where none
    // was named, then the one whose section is the more like.
    let ends = |name: &str| name.strip_suffix(key).is_some_and(|before| before.ends_with('.'));
    let sections = |name: &str| if key.contains('.') { 0 } else { name.matches('.').count() };
    let whole = |name: &&String| strsim::jaro_winkler(key, name);
    known
        .iter()
        .max_by(|a, b| {
            score(a)
                .total_cmp(&score(b))
                .then_with(|| ends(a).cmp(&ends(b)))
                .then_with(|| sections(b).cmp(&sections(a)))
                .then_with(|| whole(a).total_cmp(&whole(b)))
        })
        .filter(|name| score(name) > 0.6)
        .cloned()
}

/// The environment as a figment provider that leaves text alone.
struct Environment(Dict);

impl Environment {
    /// Reads the variables with the prefix; what others hold, and whether it is text, is none of our business.
    fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let mut root = Dict::new();
        for (name, text) in variables {
            let name = name.to_string_lossy();
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            if NOT_KEYS.contains(&name.as_ref()) {
                continue;
            }
            let Ok(text) = text.into_string() else { return Err(ConfigError::NotText(name.into_owned())) };
            let key = key.to_ascii_lowercase();
            let path: Vec<&str> = key.split("__").collect();
            let is_text = path.last().is_some_and(|last| TEXT_KEYS.contains(last));
            let value =
                if is_text { Value::from(text) } else { text.parse().unwrap_or_else(|_| Value::from(text)) };
            insert(&mut root, &path, value);
        }
        Ok(Self(root))
    }
}

fn insert(dict: &mut Dict, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            dict.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let section = dict.entry((*first).to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, section) = section {
                insert(section, rest, value);
            }
        }
    }
}

impl Provider for Environment {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named("environment variable")
            .interpolater(|_, keys| format!("{PREFIX}{}", keys.join("__").to_ascii_uppercase()))
    }

    fn data(&self) -> Result<Map<FigmentProfile, Dict>, figment::Error> {
        Ok(FigmentProfile::Default.collect(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_configuration_has_known_keys_only() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/clinicx.toml");
        let config = load(Some(&sample)).unwrap();
        assert_eq!(config.profile, crate::config::Profile::Production);
        // Its first lines say what differs from the defaults.
        let defaults = serde_json::to_value(Config::default()).unwrap();
        let sample = serde_json::to_value(config).unwrap();
        let differs = |key: &String| {
            let pointer = format!("/{}", key.replace('.', "/"));
            defaults.pointer(&pointer) != sample.pointer(&pointer)
        };
        let differing: Vec<String> = known_keys().into_iter().filter(differs).collect();
        let others = differing.iter().filter(|key| !key.starts_with("limits."));
        assert_eq!(
            others.collect::<Vec<_>>(),
            ["http.host", "keys.provider", "log.format", "profile", "state_dir"]
        );
    }

    #[test]
    fn unknown_keys_name_the_nearest_known_one() {
        let known = known_keys();
        let check =
            |key: &str, expected: &str| assert_eq!(nearest(key, &known).as_deref(), Some(expected), "{key}");
        check("database.pool.max_conections", "database.pool.max_connections");
        check("http.prot", "http.port");
        check("htpp.port", "http.port");
        check("database.max_connections", "database.pool.max_connections");
        // What Kubernetes gives every container beside a service called clinicx.
        check("port", "http.port");
        check("smtp.port", "mail.smtp.port");
    }

    #[test]
    fn only_our_own_variables_have_to_be_text() {
        use std::os::unix::ffi::OsStringExt;
        let rubbish = || OsString::from_vec(vec![0xff]);
        let read = |name: OsString| Environment::read([(name, rubbish())]).map(|found| found.0.len());
        assert_eq!(read(OsString::from("FOO")).unwrap(), 0);
        assert_eq!(read(rubbish()).unwrap(), 0);
        let error = read(OsString::from("CLINICX_STATE_DIR")).unwrap_err();
        assert_eq!(error.to_string(), "the environment variable CLINICX_STATE_DIR is not valid UTF-8");
    }
}
