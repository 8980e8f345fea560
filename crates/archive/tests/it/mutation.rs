//! Archives that were changed: every one is refused before anything of it is used.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clinicx_archive::{ArchiveError, Backup, Target, Watch, check};
use clinicx_testing::database::keys;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::support::Clinic;

/// How many archives are changed in each way that chance has a part in.
const FLIPS: usize = 320;
const CUTS: usize = 100;
const ADDITIONS: usize = 60;
const SWAPS: usize = 60;

struct Bench {
    clinic: Clinic,
    backup: Backup,
    folder: PathBuf,
    random: StdRng,
    refused: usize,
}

impl Bench {
    async fn open() -> Self {
        let clinic = Clinic::open().await;
        let backup = clinic.back_up().await;
        let folder = folder(&clinic, &backup);
        Self { clinic, backup, folder, random: StdRng::seed_from_u64(7), refused: 0 }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn any_file(&mut self) -> PathBuf {
        let files = self.files();
        files[self.random.random_range(0..files.len())].clone()
    }

    async fn check(&self) -> Result<(), ArchiveError> {
        let store = self.clinic.store();
        check::check(store.as_ref(), self.backup.place(), &keys(), &Watch::default()).await.map(drop)
    }

    /// Changes a file, sees the archive refused, and puts the file back.
    async fn change(&mut self, file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let whole = fs::read(file).unwrap();
        let mut changed = whole.clone();
        change(&mut changed);
        assert_ne!(changed, whole, "nothing was changed");
        fs::write(file, changed).unwrap();
        let refused = self.check().await;
        assert!(refused.is_err(), "{} was changed, and the archive was not refused", file.display());
        fs::write(file, whole).unwrap();
        self.refused += 1;
    }

    /// Changes a word of the manifest, as somebody would who does not have the key.
    async fn edit(&mut self, edit: impl FnOnce(&mut serde_json::Value)) {
        let file = self.folder.join("manifest");
        self.change(&file, |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let lines: Vec<&str> = text.splitn(3, '\n').collect();
            let mut manifest: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
            edit(&mut manifest);
            *bytes = format!("{}\n{}\n{manifest:#}", lines[0], lines[1]).into_bytes();
        })
        .await;
    }
}

fn folder(clinic: &Clinic, backup: &Backup) -> PathBuf {
    clinic.folder.path().join(backup.tenant_id.to_string()).join(backup.id.to_string())
}

#[tokio::test]
async fn every_changed_archive_is_refused() {
    let mut bench = Bench::open().await;
    bench.check().await.unwrap();
    for _ in 0..FLIPS {
        let file = bench.any_file();
        let (place, bit) = (bench.random.random::<u32>(), bench.random.random_range(0..8));
        bench
            .change(&file, |bytes| {
                let at = usize::try_from(place).unwrap() % bytes.len();
                bytes[at] ^= 1 << bit;
            })
            .await;
    }
    for _ in 0..CUTS {
        let (file, place) = (bench.any_file(), bench.random.random::<u32>());
        bench.change(&file, |bytes| bytes.truncate(usize::try_from(place).unwrap() % bytes.len())).await;
    }
    for number in 0..ADDITIONS {
        let (file, byte) = (bench.any_file(), bench.random.random::<u8>());
        bench.change(&file, |bytes| bytes.extend(vec![byte; 1 + number % 40])).await;
    }
    for _ in 0..SWAPS {
        let (one, two) = (bench.any_file(), bench.any_file());
        if one == two {
            continue;
        }
        let (first, second) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());
        fs::write(&one, &second).unwrap();
        bench.change(&two, |bytes| *bytes = first.clone()).await;
        fs::write(&one, &first).unwrap();
    }
    for file in bench.files() {
        let whole = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(bench.check().await.is_err());
        fs::write(&file, whole).unwrap();
        bench.refused += 1;
    }
    edited_manifests(&mut bench).await;
    foreign_files(&mut bench).await;
    bench.check().await.unwrap();
    assert!(bench.refused >= 600, "only {} archives were changed", bench.refused);
    println!("archives that were changed, all refused: {}", bench.refused);
}

/// Counts, hashes, names and whatever else somebody would like to have otherwise.
async fn edited_manifests(bench: &mut Bench) {
    let tables = 12;
    for at in 0..tables {
        bench.edit(|manifest| manifest["tables"][at]["rows"] = 1_000_000.into()).await;
        bench.edit(|manifest| manifest["tables"][at]["hash"] = "0".repeat(64).into()).await;
        bench.edit(|manifest| manifest["tables"][at]["table"]["name"] = "pg_authid".into()).await;
        bench.edit(|manifest| drop(manifest["tables"].as_array_mut().unwrap().remove(at))).await;
    }
    bench.edit(|manifest| manifest["tenant"]["slug"] = "other".into()).await;
    bench.edit(|manifest| manifest["tenant"]["modules"] = serde_json::json!(["core"])).await;
    bench.edit(|manifest| manifest["schema_version"] = "1.1.1".into()).await;
    bench
        .edit(|manifest| {
            manifest["members"] =
                serde_json::json!([{"user_id": "0197f5a0-0000-7000-8000-000000000000", "roles": ["owner"]}])
        })
        .await;
    bench.edit(|manifest| manifest["keys"] = serde_json::json!([])).await;
    bench.edit(|manifest| manifest["migrations"][0]["checksum"] = "0".repeat(64).into()).await;
    bench.edit(|manifest| manifest["more"] = true.into()).await;
    bench.edit(|manifest| manifest["lsn"] = "0/0".into()).await;
}

/// Files and manifests of other archives, of the same tenant and of another one.
async fn foreign_files(bench: &mut Bench) {
    let own = bench.clinic.back_up().await;
    let other = Clinic::of(bench.clinic.tenant.another().await, Arc::clone(&bench.clinic.folder));
    other.patient("Stranger").await;
    let foreign = other.back_up().await;
    for (clinic, backup) in [(&bench.clinic, &own), (&other, &foreign)] {
        let from = folder(clinic, backup);
        for file in bench.files() {
            let Ok(bytes) = fs::read(from.join(file.file_name().unwrap())) else { continue };
            let whole = fs::read(&file).unwrap();
            fs::write(&file, bytes).unwrap();
            assert!(bench.check().await.is_err(), "{} of another archive was taken", file.display());
            fs::write(&file, whole).unwrap();
            bench.refused += 1;
        }
    }
    // All of the files of another archive of the tenant, and all of another tenant's.
    for from in [folder(&bench.clinic, &own), folder(&other, &foreign)] {
        let kept = bench.folder.with_extension("kept");
        fs::rename(&bench.folder, &kept).unwrap();
        fs::rename(&from, &bench.folder).unwrap();
        assert!(bench.check().await.is_err());
        fs::rename(&bench.folder, &from).unwrap();
        fs::rename(&kept, &bench.folder).unwrap();
        bench.refused += 1;
    }
}

#[tokio::test]
async fn a_restore_refuses_before_it_makes_anything() {
    let bench = Bench::open().await;
    let file = bench.folder.join("patients.rows");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (clinic, into) = (&bench.clinic, format!("x{}", &bench.clinic.tenant.tenant.slug.as_str()[1..]));
    let refused = clinic
        .archivist()
        .restore_into(&bench.backup, &Target::new(&into, &clinic.by), &clinic.by, &Watch::default())
        .await
        .unwrap_err();
    assert!(matches!(refused, ArchiveError::Refused(_)), "{refused:?}");
    assert_eq!(clinic.left_of(&into).await, 0);
}
