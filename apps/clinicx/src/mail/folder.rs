//! Puts mail into a folder, a file for each.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use clinicx_identity::{Mail, MailError, Mailer};
use clinicx_types::clock::{IdSource, RandomIds};
use lettre::message::Mailbox;

use super::message;

/// A folder that only its owner can read, and so are the files in it.
pub(super) struct Folder {
    path: PathBuf,
    from: Mailbox,
}

impl Folder {
    pub(super) fn new(path: PathBuf, from: Mailbox) -> Self {
        Self { path, from }
    }
}

#[async_trait]
impl Mailer for Folder {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let bytes = message(mail, &self.from)?.formatted();
        let folder = self.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&folder, &bytes)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(error.kind = %error.kind(), "mail can't be written into its folder");
                Err(MailError::Unavailable)
            }
            Err(_) => Err(MailError::Unavailable),
        }
    }
}

/// Writes under another name first, so that whoever looks for `.eml` files finds whole ones.
fn write(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let name = RandomIds.next().to_string();
    let (unfinished, finished) = (folder.join(format!("{name}.part")), folder.join(format!("{name}.eml")));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(unfinished, finished)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_mail_becomes_a_file_that_only_its_owner_reads() {
        let path = std::env::temp_dir().join(format!("clinicx-mail-{}", RandomIds.next()));
        let folder = Folder::new(path.clone(), "ClinicX <no-reply@clinics.example>".parse().unwrap());
        let mail = Mail {
            to: "سارة@example.org".to_owned(),
            subject: "دعوة".to_owned(),
            text: "one\ntwo\n".to_owned(),
            language: "ar".to_owned(),
        };
        folder.send(&mail).await.unwrap();
        let files: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap()).collect();
        let [file] = files.as_slice() else { panic!("{} files", files.len()) };
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.contains("Auto-Submitted: auto-generated") && text.contains("one\r\ntwo"));
        std::fs::remove_dir_all(path).unwrap();
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_for_good() {
        let folder = Folder::new(std::env::temp_dir(), "a@b.example".parse().unwrap());
        let mail = Mail {
            to: "a@b.example\r\nBcc: c@d.example".to_owned(),
            subject: String::new(),
            text: String::new(),
            language: String::new(),
        };
        assert_eq!(folder.send(&mail).await, Err(MailError::Refused));
    }
}
