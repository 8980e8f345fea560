//! The form of a table's file: chunks of rows, each compressed and sealed for its place.
//!
//! ```text
//! "clinicx rows 1\n"
//! then for each chunk: four bytes with the length of what follows, then AES-256-GCM over zstd over at most a mebibyte
//! ```
//!
//! The key is derived for the one table of the one archive, the nonce is the chunk's number and whether it is the last
//! (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015, as age has it), and tenant, archive and
//! table are authenticated beside. A chunk that was changed, moved, repeated, left out or brought from elsewhere does
//! not open, and a file that was cut off has no last one.

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, KeyInit, Payload, consts::U12},
};
use clinicx_keys::ArchiveKey;
use clinicx_types::id::TenantId;

use crate::{
    ArchiveId,
    error::{ArchiveError, Refusal},
};

/// What every file begins with.
pub const HEAD: &[u8] = b"clinicx rows 1\n";
/// The most bytes of rows in a chunk.
pub const CHUNK_BYTES: usize = 1 << 20;
/// The most bytes that a sealed chunk can have: what does not compress grows by a little.
const MOST_SEALED: usize = CHUNK_BYTES + CHUNK_BYTES / 128 + 1024;
const LENGTH_BYTES: usize = 4;
/// zstd's fastest ordinary level: rows come from the database hardly faster than it writes.
const LEVEL: i32 = 1;

/// Which table's rows a file holds.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// Whose archive it is.
    pub tenant: TenantId,
    /// The archive.
    pub archive: ArchiveId,
    /// The table.
    pub table: &'a str,
}

struct Sealer {
    aead: Aes256Gcm,
    beside: Vec<u8>,
    next: u32,
}

impl Sealer {
    fn new(key: &ArchiveKey, stream: Stream<'_>) -> Result<Self, ArchiveError> {
        let table = stream.table.as_bytes();
        let key = key.derive(&[b"rows of a table", table])?;
        let aead = Aes256Gcm::new_from_slice(key.as_slice()).map_err(|_| refused(stream.table))?;
        let beside =
            [stream.tenant.uuid().as_bytes(), stream.archive.uuid().as_bytes().as_slice(), table].concat();
        Ok(Self { aead, beside, next: 0 })
    }

    fn nonce(&mut self, is_last: bool) -> Option<Nonce<U12>> {
        let mut nonce = [0_u8; 12];
        nonce.iter_mut().skip(7).zip(self.next.to_be_bytes()).for_each(|(to, from)| *to = from);
        if let Some(last) = nonce.last_mut() {
            *last = u8::from(is_last);
        }
        self.next = self.next.checked_add(1)?;
        Some(nonce.into())
    }
}

/// Writes a table's file.
pub struct ChunkWriter {
    sealer: Sealer,
    compressor: zstd::bulk::Compressor<'static>,
    table: String,
    waiting: Vec<u8>,
}

impl ChunkWriter {
    /// Begins a file; `out` receives what stands at its head.
    ///
    /// # Errors
    /// The key can't be used.
    pub fn new(key: &ArchiveKey, stream: Stream<'_>, out: &mut Vec<u8>) -> Result<Self, ArchiveError> {
        out.extend_from_slice(HEAD);
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(|_| refused(stream.table))?;
        let table = stream.table.to_owned();
        Ok(Self {
            sealer: Sealer::new(key, stream)?,
            compressor,
            table,
            waiting: Vec::with_capacity(CHUNK_BYTES),
        })
    }

    /// Takes rows; `out` receives the chunks that are full.
    ///
    /// # Errors
    /// The table has more than four thousand tebibytes.
    pub fn push(&mut self, mut rows: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError> {
        while self.waiting.len() + rows.len() > CHUNK_BYTES {
            let (fits, rest) = rows.split_at_checked(CHUNK_BYTES - self.waiting.len()).unwrap_or((rows, &[]));
            self.waiting.extend_from_slice(fits);
            self.seal(false, out)?;
            rows = rest;
        }
        self.waiting.extend_from_slice(rows);
        Ok(())
    }

    /// Ends the file; `out` receives the last chunk.
    ///
    /// # Errors
    /// As [`ChunkWriter::push`].
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), ArchiveError> {
        self.seal(true, out)
    }

    fn seal(&mut self, is_last: bool, out: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let failed = || refused(&self.table);
        let plain = self.compressor.compress(&self.waiting).map_err(|_| failed())?;
        let nonce = self.sealer.nonce(is_last).ok_or_else(failed)?;
        let payload = Payload { msg: &plain, aad: &self.sealer.beside };
        let sealed = self.sealer.aead.encrypt(&nonce, payload).map_err(|_| failed())?;
        let length = u32::try_from(sealed.len()).map_err(|_| failed())?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&sealed);
        self.waiting.clear();
        Ok(())
    }
}

/// Reads a table's file from pieces of any size, and gives no byte that was not authenticated.
pub struct ChunkReader {
    sealer: Sealer,
    decompressor: zstd::bulk::Decompressor<'static>,
    table: String,
    waiting: Vec<u8>,
    has_head: bool,
    has_ended: bool,
}

impl ChunkReader {
    /// Begins to read.
    ///
    /// # Errors
    /// The key can't be used.
    pub fn new(key: &ArchiveKey, stream: Stream<'_>) -> Result<Self, ArchiveError> {
        Ok(Self {
            sealer: Sealer::new(key, stream)?,
            decompressor: zstd::bulk::Decompressor::new().map_err(|_| refused(stream.table))?,
            table: stream.table.to_owned(),
            waiting: Vec::new(),
            has_head: false,
            has_ended: false,
        })
    }

    /// Takes a piece of the file, and returns the rows of the chunks that are whole by now.
    ///
    /// # Errors
    /// [`Refusal::Rows`].
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, ArchiveError> {
        self.waiting.extend_from_slice(piece);
        let mut rows = Vec::new();
        if !self.has_head {
            if self.waiting.len() < HEAD.len() {
                return Ok(rows);
            }
            let rest = self.waiting.strip_prefix(HEAD).ok_or_else(|| refused(&self.table))?;
            self.waiting = rest.to_vec();
            self.has_head = true;
        }
        let mut taken = 0;
        while let Some(sealed) = next(self.waiting.get(taken..).unwrap_or_default(), &self.table)? {
            let opened =
                open(&mut self.sealer, sealed, &mut self.has_ended).ok_or_else(|| refused(&self.table))?;
            let plain =
                self.decompressor.decompress(&opened, CHUNK_BYTES).map_err(|_| refused(&self.table))?;
            rows.extend_from_slice(&plain);
            taken += LENGTH_BYTES + sealed.len();
        }
        self.waiting.drain(..taken);
        Ok(rows)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Refusal::Rows`] when the file has no last chunk, or more after it.
    pub fn finish(self) -> Result<(), ArchiveError> {
        if self.has_ended && self.waiting.is_empty() { Ok(()) } else { Err(refused(&self.table)) }
    }
}

/// Returns the next chunk when all of it is there.
fn next<'a>(waiting: &'a [u8], table: &str) -> Result<Option<&'a [u8]>, ArchiveError> {
    let Some((length, rest)) = waiting.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| refused(table))?;
    if length > MOST_SEALED {
        return Err(refused(table));
    }
    Ok(rest.get(..length))
}

/// Opens a chunk as one in the middle or, failing that, as the last; after the last there is none.
fn open(sealer: &mut Sealer, sealed: &[u8], has_ended: &mut bool) -> Option<Vec<u8>> {
    if *has_ended {
        return None;
    }
    let number = sealer.next;
    for is_last in [false, true] {
        sealer.next = number;
        let nonce = sealer.nonce(is_last)?;
        if let Ok(opened) = sealer.aead.decrypt(&nonce, Payload { msg: sealed, aad: &sealer.beside }) {
            *has_ended = is_last;
            return Some(opened);
        }
    }
    None
}

fn refused(table: &str) -> ArchiveError {
    Refusal::Rows(table.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn stream(table: &str) -> Stream<'_> {
        Stream {
            tenant: TenantId::new(Uuid::from_u128(1)),
            archive: ArchiveId::new(Uuid::from_u128(2)),
            table,
        }
    }

    fn written(key: &ArchiveKey, rows: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = ChunkWriter::new(key, stream("patients"), &mut out).unwrap();
        rows.chunks(1000).for_each(|piece| writer.push(piece, &mut out).unwrap());
        writer.finish(&mut out).unwrap();
        out
    }

    fn read(key: &ArchiveKey, stream: Stream<'_>, file: &[u8], piece: usize) -> Option<Vec<u8>> {
        let mut reader = ChunkReader::new(key, stream).unwrap();
        let mut rows = Vec::new();
        for piece in file.chunks(piece) {
            rows.extend(reader.push(piece).ok()?);
        }
        reader.finish().ok()?;
        Some(rows)
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn what_was_written_is_read_in_pieces_of_any_size() {
        let key = ArchiveKey::random().unwrap();
        for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7] {
            let rows = noise(size);
            let file = written(&key, &rows);
            for piece in [4096, 70_000, file.len()] {
                assert_eq!(read(&key, stream("patients"), &file, piece).unwrap(), rows, "{size} {piece}");
            }
        }
    }

    #[test]
    fn chunks_open_at_their_place_alone() {
        let key = ArchiveKey::random().unwrap();
        let file = written(&key, &noise(3 * CHUNK_BYTES));
        let whole = file.len();
        let mut chunks = Vec::new();
        let mut rest = &file[HEAD.len()..];
        while let Some(sealed) = next(rest, "patients").unwrap() {
            chunks.push(&rest[..LENGTH_BYTES + sealed.len()]);
            rest = &rest[LENGTH_BYTES + sealed.len()..];
        }
        assert!(chunks.len() >= 3);
        let refused = |chunks: Vec<&[u8]>| {
            let file = [HEAD, &chunks.concat()].concat();
            assert_eq!(read(&key, stream("patients"), &file, whole), None);
        };
        let last = chunks.len() - 1;
        refused(chunks[..last].to_vec());
        refused(chunks[1..].to_vec());
        refused([&chunks[..], &chunks[last..]].concat());
        refused([&chunks[..1], &chunks[..]].concat());
        let mut swapped = chunks.clone();
        swapped.swap(0, 1);
        refused(swapped);
        refused(Vec::new());
        for cut in [0, 1, HEAD.len(), HEAD.len() + 3, whole / 2, whole - 1] {
            assert_eq!(read(&key, stream("patients"), &file[..cut], 4096), None, "{cut}");
        }
        let longer = [&file[..], b"x"].concat();
        assert_eq!(read(&key, stream("patients"), &longer, 4096), None);
    }

    #[test]
    fn a_file_is_its_archives_tenants_and_tables_alone() {
        let key = ArchiveKey::random().unwrap();
        let file = written(&key, b"rows\n");
        assert!(read(&key, stream("patients"), &file, 4096).is_some());
        assert_eq!(read(&ArchiveKey::random().unwrap(), stream("patients"), &file, 4096), None);
        for other in [
            stream("staff"),
            Stream { tenant: TenantId::new(Uuid::from_u128(9)), ..stream("patients") },
            Stream { archive: ArchiveId::new(Uuid::from_u128(9)), ..stream("patients") },
        ] {
            assert_eq!(read(&key, other, &file, 4096), None);
        }
    }
}
