//! A folder of this machine, or of one that is mounted here.
//!
//! `<folder>/<tenant>/<archive>/<file>`. An archive is written to `<archive>.partial`, every file and the folder are
//! flushed, and then it is renamed: after a crash it is there as a whole or it is partial, and what is partial is never
//! listed.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use clinicx_types::id::TenantId;
use futures_util::{StreamExt, stream};
use tokio::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{AsyncReadExt, AsyncWriteExt},
};

use super::{Draft, Pieces, Place, Store, StoreError};
use crate::ArchiveId;

const PARTIAL: &str = ".partial";
/// How much is read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Keeps archives in a folder, which only its owner can look into.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes one; the folder is made when the first archive is.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn tenant(&self, tenant: TenantId) -> PathBuf {
        self.root.join(tenant.to_string())
    }

    fn whole(&self, place: Place) -> PathBuf {
        self.tenant(place.tenant).join(place.archive.to_string())
    }

    fn partial(&self, place: Place) -> PathBuf {
        self.tenant(place.tenant).join(format!("{}{PARTIAL}", place.archive))
    }

    async fn names(&self, tenant: TenantId) -> Result<Vec<String>, StoreError> {
        let mut folder = match fs::read_dir(self.tenant(tenant)).await {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list archives", &error)),
        };
        let mut names = Vec::new();
        while let Some(entry) = folder.next_entry().await.map_err(|error| failed("list archives", &error))? {
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }
}

#[async_trait]
impl Store for Folder {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    async fn begin(&self, place: Place) -> Result<Box<dyn Draft>, StoreError> {
        let (partial, whole) = (self.partial(place), self.whole(place));
        let mut maker = DirBuilder::new();
        maker.recursive(true);
        #[cfg(unix)]
        maker.mode(0o700);
        maker.create(&partial).await.map_err(|error| failed("make the archive's folder", &error))?;
        Ok(Box::new(FolderDraft { partial, whole, file: None }))
    }

    async fn read(&self, place: Place, file: &str) -> Result<Pieces, StoreError> {
        require_plain(file)?;
        let opened = File::open(self.whole(place).join(file)).await;
        let opened = opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound => StoreError::Missing(file.to_owned()),
            _ => failed("open a file of the archive", &error),
        })?;
        let pieces = stream::try_unfold(opened, |mut file| async move {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece).await.map_err(|error| failed("read the archive", &error))?;
            piece.truncate(read);
            Ok((read > 0).then(|| (Bytes::from(piece), file)))
        });
        Ok(pieces.boxed())
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<ArchiveId>, StoreError> {
        let names = self.names(tenant).await?;
        let mut archives: Vec<ArchiveId> = names.iter().filter_map(|name| name.parse().ok()).collect();
        archives.sort();
        Ok(archives)
    }

    async fn remove(&self, place: Place) -> Result<(), StoreError> {
        let (partial, whole) = (self.partial(place), self.whole(place));
        // Half of an archive must never be listed: what is whole becomes partial before it is removed.
        gone(fs::rename(&whole, &partial).await, "remove the archive")?;
        gone(fs::remove_dir_all(&partial).await, "remove the archive")?;
        // Another archive of the tenant keeps its folder.
        let folder = self.tenant(place.tenant);
        match fs::remove_dir(&folder).await {
            Ok(()) => flush(&self.root).await,
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(_) => flush(&folder).await,
        }
    }

    async fn holds(&self, tenant: TenantId) -> Result<bool, StoreError> {
        fs::try_exists(self.tenant(tenant)).await.map_err(|error| failed("look for archives", &error))
    }
}

struct FolderDraft {
    partial: PathBuf,
    whole: PathBuf,
    file: Option<File>,
}

#[async_trait]
impl Draft for FolderDraft {
    async fn create(&mut self, file: &str) -> Result<(), StoreError> {
        require_plain(file)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let opened = options.open(self.partial.join(file)).await;
        self.file = Some(opened.map_err(|error| failed("write a file of the archive", &error))?);
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.file.as_mut().ok_or_else(none_begun)?;
        file.write_all(bytes).await.map_err(|error| failed("write the archive", &error))
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        let mut file = self.file.take().ok_or_else(none_begun)?;
        file.flush().await.map_err(|error| failed("write the archive", &error))?;
        file.sync_all().await.map_err(|error| failed("flush the archive", &error))
    }

    async fn publish(self: Box<Self>) -> Result<(), StoreError> {
        flush(&self.partial).await?;
        fs::rename(&self.partial, &self.whole)
            .await
            .map_err(|error| failed("give the archive its name", &error))?;
        match self.whole.parent() {
            Some(tenant) => flush(tenant).await,
            None => Ok(()),
        }
    }

    async fn abandon(self: Box<Self>) {
        drop(self.file);
        if let Err(error) = fs::remove_dir_all(&self.partial).await {
            tracing::warn!(error = %error, "what was begun of an archive can't be removed");
        }
    }
}

/// Flushes the names in a folder.
async fn flush(folder: &Path) -> Result<(), StoreError> {
    match File::open(folder).await {
        Ok(folder) => folder.sync_all().await.map_err(|error| failed("flush the archive's folder", &error)),
        Err(error) => Err(failed("flush the archive's folder", &error)),
    }
}

/// A name that is none of ours leads nowhere.
fn require_plain(file: &str) -> Result<(), StoreError> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'.';
    match !file.starts_with('.') && !file.is_empty() && file.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(StoreError::Missing("file of that name".to_owned())),
    }
}

fn gone(result: std::io::Result<()>, action: &str) -> Result<(), StoreError> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(action, &error)),
        _ => Ok(()),
    }
}

fn failed(action: &str, error: &std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
            StoreError::Unusable(format!("{action}: {error}"))
        }
        _ => StoreError::Unavailable(format!("{action}: {error}")),
    }
}

fn none_begun() -> StoreError {
    StoreError::Unusable("no file was begun".to_owned())
}
