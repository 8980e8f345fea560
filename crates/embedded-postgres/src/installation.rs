//! Finding the PostgreSQL binaries on this machine.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{error::PostgresError, package_manager};

/// The oldest major version that serves.
pub const OLDEST_MAJOR: u32 = 15;

/// A folder with the binaries of one PostgreSQL version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The folder that holds `postgres` and `initdb`.
    pub bin: PathBuf,
    /// The major version.
    pub major: u32,
    /// The whole version, such as `17.6`.
    pub version: String,
}

/// A place that was looked at, and what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// How the place was come upon, such as `PATH`.
    pub source: &'static str,
    /// The folder, or a pattern of folders when none matched.
    pub folder: PathBuf,
    /// What was there.
    pub finding: Finding,
}

/// What was at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A PostgreSQL that serves.
    Usable(Installation),
    /// `postgres` or `initdb` is missing.
    Missing,
    /// A version that is too old.
    TooOld(String),
    /// `postgres --version` could not be run or understood.
    Unusable(String),
}

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Only this folder, when given.
    pub configured: Option<PathBuf>,
    /// Looks at the places where systems install PostgreSQL.
    pub system: SystemPlaces,
    /// A folder that holds builds fetched earlier.
    pub fetched: Option<PathBuf>,
}

/// Whether the places where systems install PostgreSQL are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SystemPlaces {
    /// They are.
    #[default]
    Included,
    /// They are not: only the configured folder and fetched builds count.
    Excluded,
}

impl Search {
    /// Looks where `CLINICX_POSTGRES_BIN` says when it is set, else at the system's places.
    #[must_use]
    pub fn from_environment() -> Self {
        let configured =
            env::var_os("CLINICX_POSTGRES_BIN").filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { configured, ..Self::default() }
    }
}

/// Finds the first PostgreSQL that serves.
///
/// # Errors
/// [`PostgresError::ConfiguredBinaries`] when the configured folder does not serve,
/// [`PostgresError::NoBinaries`] when no place does.
pub fn find(search: &Search) -> Result<Installation, PostgresError> {
    find_matching(search, None)
}

/// Finds the first PostgreSQL that serves and, when given, has this major version.
pub(crate) fn find_matching(
    search: &Search,
    major: Option<(u32, &Path)>,
) -> Result<Installation, PostgresError> {
    let mut looked = Vec::new();
    for (source, folder) in candidates(search) {
        if looked.iter().any(|place: &Place| place.folder == folder) {
            continue;
        }
        let finding = look(&folder);
        match (&finding, major) {
            (Finding::Usable(found), None) => return Ok(found.clone()),
            (Finding::Usable(found), Some((wanted, _))) if found.major == wanted => return Ok(found.clone()),
            _ => looked.push(Place { source, folder, finding }),
        }
    }
    let usable: Vec<&str> = looked
        .iter()
        .filter_map(|place| match &place.finding {
            Finding::Usable(found) => Some(found.version.as_str()),
            _ => None,
        })
        .collect();
    if let (Some((data, folder)), false) = (major, usable.is_empty()) {
        return Err(PostgresError::OtherVersion {
            folder: folder.to_owned(),
            data,
            found: usable.join(", "),
        });
    }
    if search.configured.is_some()
        && let Some(place) = looked.pop()
    {
        return Err(PostgresError::ConfiguredBinaries { place, oldest: OLDEST_MAJOR });
    }
    Err(PostgresError::NoBinaries {
        oldest: OLDEST_MAJOR,
        looked,
        install: package_manager::install_command(),
    })
}

/// Looks at one folder.
pub(crate) fn look(bin: &Path) -> Finding {
    if !bin.join("postgres").is_file() || !bin.join("initdb").is_file() {
        return Finding::Missing;
    }
    let output = Command::new(bin.join("postgres")).arg("--version").stdin(Stdio::null()).output();
    let text = match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => {
            return Finding::Unusable(crate::error::last_line(&String::from_utf8_lossy(&output.stderr)));
        }
        Err(error) => return Finding::Unusable(error.to_string()),
    };
    // "postgres (PostgreSQL) 17.6 (Debian 17.6-1)"; a test version reads "18beta1".
    let version = text.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<u32>() {
        Ok(major) if major >= OLDEST_MAJOR => {
            Finding::Usable(Installation { bin: bin.to_owned(), major, version })
        }
        Ok(_) => Finding::TooOld(version),
        Err(_) => Finding::Unusable("it does not tell its version".to_owned()),
    }
}

fn candidates(search: &Search) -> Vec<(&'static str, PathBuf)> {
    if let Some(configured) = &search.configured {
        return vec![("configured", configured.clone())];
    }
    let mut found = Vec::new();
    if search.system == SystemPlaces::Included {
        found.extend(pg_config().map(|folder| ("pg_config", folder)));
        let path = env::var_os("PATH").unwrap_or_default();
        found.extend(
            env::split_paths(&path)
                .filter(|folder| folder.join("postgres").is_file())
                .map(|folder| ("PATH", folder)),
        );
        for (source, root, prefix, bin) in [
            ("Debian", "/usr/lib/postgresql", "", "bin"),
            ("RPM", "/usr", "pgsql-", "bin"),
            ("Homebrew", "/opt/homebrew/opt", "postgresql@", "bin"),
            ("Homebrew", "/usr/local/opt", "postgresql@", "bin"),
            ("Alpine", "/usr/libexec", "postgresql", ""),
            ("openSUSE", "/usr/lib", "postgresql", "bin"),
            ("Postgres.app", "/Applications/Postgres.app/Contents/Versions", "", "bin"),
        ] {
            let folders = newest_first(Path::new(root), prefix, bin);
            if folders.is_empty() {
                found.push((source, Path::new(root).join(format!("{prefix}*")).join(bin)));
            }
            found.extend(folders.into_iter().map(|folder| (source, folder)));
        }
        found.push(("source build", PathBuf::from("/usr/local/pgsql/bin")));
    }
    if let Some(fetched) = &search.fetched {
        found.extend(
            newest_first(fetched, "postgresql-", "bin").into_iter().map(|folder| ("fetched", folder)),
        );
    }
    found
}

fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    let folder = folder.trim();
    (output.status.success() && !folder.is_empty()).then(|| PathBuf::from(folder))
}

/// The folders `<root>/<prefix><version>/<bin>`, the highest version first.
fn newest_first(root: &Path, prefix: &str, bin: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.trim_start_matches('-');
            let numbers: Option<Vec<u32>> = version.split('.').map(|number| number.parse().ok()).collect();
            // Alpine has a folder without a number, for the default version.
            let numbers = if version.is_empty() && bin.is_empty() { Vec::new() } else { numbers? };
            let folder = entry.path();
            Some((numbers, if bin.is_empty() { folder } else { folder.join(bin) }))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

impl Place {
    /// Every place in one line.
    pub(crate) fn list(places: &[Self]) -> String {
        if places.is_empty() {
            return "nowhere to look".to_owned();
        }
        let places: Vec<String> = places.iter().map(Self::to_string).collect();
        format!("looked at {}", places.join("; "))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.folder.display(), self.finding)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usable(found) => write!(f, "version {}", found.version),
            Self::Missing => f.write_str("not there"),
            Self::TooOld(version) => write!(f, "version {version} is too old"),
            Self::Unusable(reason) => write!(f, "unusable, {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for name in
            ["postgresql-9.6", "postgresql-15.2.0", "postgresql-17.6.0", "postgresql-next", "other-18"]
        {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let found = newest_first(root.path(), "postgresql-", "bin");
        let names: Vec<_> = found.iter().map(|folder| folder.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(
            names,
            ["postgresql-17.6.0/bin", "postgresql-15.2.0/bin", "postgresql-9.6/bin"].map(Path::new).to_vec()
        );
    }
}
