//! One `clinicx dev` a folder, for its whole life.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::Context;

/// The file whose lock is held; it says who holds it.
const FILE: &str = "dev.lock";

/// The folder is ours until this is dropped or the process ends in whatever way.
#[derive(Debug)]
pub(super) struct Claim(File);

impl Claim {
    /// Claims the folder and makes it when it is not there. A second process would be left without a database as
    /// soon as the first ended: the server is the first one's.
    ///
    /// # Errors
    /// Another process has it: one line that says which and where; the folder can't be written.
    pub(super) fn take(state_dir: &Path) -> anyhow::Result<Self> {
        let shown = state_dir.display();
        fs::create_dir_all(state_dir).with_context(|| format!("cannot make the folder {shown}"))?;
        let path = state_dir.join(FILE);
        let cannot = || format!("cannot lock {}; check who owns the folder", path.display());
        let open = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path);
        let mut file = open.with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => anyhow::bail!("{}", taken(&mut file, state_dir)),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        file.set_len(0).with_context(cannot)?;
        writeln!(file, "{}", std::process::id()).with_context(cannot)?;
        Ok(Self(file))
    }

    /// Says where it serves, for whoever wants the folder too.
    pub(super) fn serves_at(&mut self, url: &str) {
        // Only for the words of a refusal.
        let _ = writeln!(self.0, "{url}");
    }
}

/// Says who has the folder, as far as the file tells.
fn taken(file: &mut File, state_dir: &Path) -> String {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let mut lines = text.lines();
    let process = lines.next().map(|pid| format!(" (process {pid})")).unwrap_or_default();
    let place = lines.next().map_or_else(|| "is starting".to_owned(), |url| format!("runs at {url}"));
    format!(
        "another `clinicx dev`{process} {place} with the folder {}; end it with Ctrl-C, or set CLINICX_STATE_DIR to \
         another folder",
        state_dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_who_is_named() {
        let folder = std::env::temp_dir().join(format!("clinicx-claim-{}", std::process::id()));
        let refused = || Claim::take(&folder).unwrap_err().to_string();
        let mut first = Claim::take(&folder).unwrap();
        assert!(refused().contains(&format!("(process {}) is starting", std::process::id())));
        first.serves_at("http://127.0.0.1:8080");
        assert!(refused().contains("runs at http://127.0.0.1:8080 with"), "{}", refused());
        drop(first);
        drop(Claim::take(&folder).unwrap());
        fs::remove_dir_all(&folder).unwrap();
    }
}
