//! The command that installs PostgreSQL on this system.

use std::{env, ffi::OsStr, fs, path::Path};

/// The command that installs PostgreSQL with the package manager that is here.
pub fn install_command() -> String {
    let command = command_for(&|program| is_in_path(program), &os_release());
    let root = nix::unistd::Uid::effective().is_root();
    match command {
        Some(command) if root || command.starts_with("brew") => command.to_owned(),
        Some(command) => format!("sudo {command}"),
        None => {
            "your package manager (package `postgresql`, see https://www.postgresql.org/download/)".to_owned()
        }
    }
}

fn command_for(has: &dyn Fn(&str) -> bool, os_release: &str) -> Option<&'static str> {
    if has("apt-get") {
        return Some("apt-get install -y postgresql");
    }
    if has("dnf") {
        // The default of release 8 and 9 is older than what is needed; a newer one is a module there.
        return Some(if is_old_red_hat(os_release) {
            "dnf module install -y postgresql:16/server"
        } else {
            "dnf install -y postgresql-server"
        });
    }
    [
        ("apk", "apk add postgresql"),
        ("pacman", "pacman -S --noconfirm postgresql"),
        ("zypper", "zypper install -y postgresql-server"),
        ("brew", "brew install postgresql@17"),
    ]
    .into_iter()
    .find_map(|(program, command)| has(program).then_some(command))
}

fn is_old_red_hat(os_release: &str) -> bool {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_default()
            .trim_matches('"')
    };
    let family = format!("{} {}", value("ID"), value("ID_LIKE"));
    let major = value("VERSION_ID").split('.').next().and_then(|major| major.parse::<u32>().ok());
    family.split_whitespace().any(|id| id == "rhel") && major.is_some_and(|major| major <= 9)
}

fn os_release() -> String {
    fs::read_to_string("/etc/os-release").unwrap_or_default()
}

fn is_in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let standard = [OsStr::new("/usr/bin"), OsStr::new("/opt/homebrew/bin"), OsStr::new("/usr/local/bin")];
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
        || standard.iter().any(|folder| Path::new(folder).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_gets_its_own_command() {
        let check = |program: &str, release: &str, expected: Option<&str>| {
            assert_eq!(command_for(&|asked| asked == program, release), expected, "{program}");
        };
        check("apt-get", "", Some("apt-get install -y postgresql"));
        check("apk", "", Some("apk add postgresql"));
        check("pacman", "", Some("pacman -S --noconfirm postgresql"));
        check("brew", "", Some("brew install postgresql@17"));
        check("dnf", "ID=fedora\nVERSION_ID=42\n", Some("dnf install -y postgresql-server"));
        check(
            "dnf",
            "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n",
            Some("dnf module install -y postgresql:16/server"),
        );
        check("winget", "", None);
    }
}
