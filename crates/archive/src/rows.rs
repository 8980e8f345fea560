//! The rows that COPY writes as text: one a line, fields between tabs, `\N` for NULL.
//!
//! Text and not binary: a row's fields can be told apart and replaced without knowing their types, and the form is the
//! same for all versions of PostgreSQL. A line break within a value is written as two signs, so that a line is a row.

use sha2::{Digest, Sha256};

/// How NULL is written.
pub(crate) const NULL: &[u8] = b"\\N";
/// What a value of `bytea` begins with, its hexadecimal digits follow.
const BYTES: &[u8] = b"\\\\x";

/// Cuts a stream of bytes into rows.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes bytes and hands on every row that is whole, without its line break.
    pub(crate) fn push<E>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (row, rest) = bytes.split_at(end);
            if self.begun.is_empty() {
                each(row)?;
            } else {
                self.begun.extend_from_slice(row);
                each(&self.begun)?;
                self.begun.clear();
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    /// Tells whether no row was left unended.
    pub(crate) fn is_at_an_end(&self) -> bool {
        self.begun.is_empty()
    }
}

/// How many rows there are, and a hash over them that does not depend on their order: the sum of the rows' hashes under
/// a key of the archive. Without the key it tells nothing about them.
///
/// It tells whether two tables hold the same; that nobody has changed an archive is for its MAC and its sealed chunks.
#[derive(Clone, Debug)]
pub struct TableSum {
    keyed: Sha256,
    rows: u64,
    sum: [u8; 32],
}

impl TableSum {
    /// Begins with no rows.
    pub fn new(key: &[u8; 32]) -> Self {
        Self { keyed: Sha256::new().chain_update(key), rows: 0, sum: [0; 32] }
    }

    /// Adds a row, without its line break.
    pub fn add(&mut self, row: &[u8]) {
        let hash = self.keyed.clone().chain_update(row).finalize();
        let mut carry = 0_u16;
        for (byte, more) in self.sum.iter_mut().zip(hash) {
            let added = u16::from(*byte) + u16::from(more) + carry;
            let [high, low] = added.to_be_bytes();
            (*byte, carry) = (low, u16::from(high));
        }
        self.rows += 1;
    }

    /// Returns how many rows there were.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the hash as hexadecimal digits.
    pub fn hash(&self) -> String {
        hex(&self.sum)
    }
}

/// Writes bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a value of `bytea`.
pub(crate) fn read_bytes(field: &[u8]) -> Option<Vec<u8>> {
    let digits = field.strip_prefix(BYTES)?;
    if digits.len() % 2 != 0 {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?)).collect()
}

/// Writes a value of `bytea`.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(BYTES);
    for byte in bytes {
        let digit = |four: u8| DIGITS.get(usize::from(four)).copied().unwrap_or_default();
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn rows_are_found_wherever_the_pieces_are_cut() {
        let text = b"a\tb\n\nlong row\\n\tx\n";
        for size in 1..=text.len() {
            let (mut lines, mut rows) = (Lines::default(), Vec::new());
            for piece in text.chunks(size) {
                let keep = |row: &[u8]| -> Result<(), Infallible> {
                    rows.push(row.to_vec());
                    Ok(())
                };
                lines.push(piece, keep).unwrap();
            }
            assert_eq!(rows, [b"a\tb".to_vec(), Vec::new(), b"long row\\n\tx".to_vec()]);
            assert!(lines.is_at_an_end());
        }
        let mut lines = Lines::default();
        lines.push(b"cut", |_| Ok::<(), Infallible>(())).unwrap();
        assert!(!lines.is_at_an_end());
    }

    #[test]
    fn the_sum_forgets_the_order_and_nothing_else() {
        let sum = |key: u8, rows: &[&str]| {
            let mut sum = TableSum::new(&[key; 32]);
            rows.iter().for_each(|row| sum.add(row.as_bytes()));
            (sum.rows(), sum.hash())
        };
        assert_eq!(sum(1, &["a", "b", "c"]), sum(1, &["c", "a", "b"]));
        for other in [&["a", "b"][..], &["a", "b", "d"], &["a", "b", "c", "c"], &["ab", "c", ""]] {
            assert_ne!(sum(1, &["a", "b", "c"]), sum(1, other));
        }
        assert_ne!(sum(1, &["a"]).1, sum(2, &["a"]).1);
    }

    #[test]
    fn bytes_are_read_as_they_are_written() {
        let mut out = Vec::new();
        write_bytes(&[0, 1, 0xab, 0xff], &mut out);
        assert_eq!(out, b"\\\\x0001abff");
        assert_eq!(read_bytes(&out).unwrap(), [0, 1, 0xab, 0xff]);
        for bad in [&b"\\\\x0"[..], b"\\x00", b"", b"\\\\xzz"] {
            assert_eq!(read_bytes(bad), None);
        }
    }
}
