//! Makes one tenant's rows another's: the tenant's id in each, and what is sealed, anew under the other's key.

use clinicx_keys::{
    Field, FieldCipher,
    sealed::{BlindIndex, SealedColumn},
};
use clinicx_types::id::TenantId;
use uuid::Uuid;

use crate::{
    catalog::Table,
    error::{ArchiveError, Refusal},
    rows::{NULL, read_bytes, write_bytes},
};

/// From whom rows come, to whom they go, and which keys open and seal what is sealed in them.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) from: TenantId,
    pub(crate) to: TenantId,
    /// Without ciphers what is sealed stays as it is: under the same keys, for the same tenant.
    pub(crate) ciphers: Option<(FieldCipher, FieldCipher)>,
    /// Whether what was promised to the outside goes along: to the same tenant it does.
    pub(crate) takes_all: bool,
}

/// Rewrites the rows of one table.
pub(crate) struct Rewrite<'a> {
    transfer: &'a Transfer,
    table: &'a str,
    columns: usize,
    tenant: usize,
    id: Option<usize>,
    sealed: Vec<Place>,
    from: String,
    to: String,
}

/// A sealed column of the table.
struct Place {
    at: usize,
    field: Field,
    index: Option<(usize, BlindIndex)>,
}

impl<'a> Rewrite<'a> {
    /// Looks up what is to be rewritten.
    ///
    /// # Errors
    /// [`Refusal::Structure`]: a table without the tenant's id, or a sealed column in one without ids.
    pub(crate) fn new(
        transfer: &'a Transfer,
        table: &'a Table,
        sealed: &[SealedColumn],
    ) -> Result<Self, ArchiveError> {
        let name = table.name.as_str();
        let structure = || Refusal::Structure(name.to_owned());
        let mut places = Vec::new();
        if transfer.ciphers.is_some() {
            for column in sealed.iter().filter(|column| column.field.table == name) {
                // A column that a migration of later adds is not there yet.
                let Some(at) = table.place(column.field.column) else { continue };
                let index = match column.index {
                    Some(index) => Some((table.place(index.column).ok_or_else(structure)?, index)),
                    None => None,
                };
                places.push(Place { at, field: column.field, index });
            }
        }
        let id = table.place("id");
        if id.is_none() && !places.is_empty() {
            return Err(structure().into());
        }
        Ok(Self {
            transfer,
            table: name,
            columns: table.columns.len(),
            tenant: table.place("tenant_id").ok_or_else(structure)?,
            id,
            sealed: places,
            from: transfer.from.to_string(),
            to: transfer.to.to_string(),
        })
    }

    /// Adds the row as it is to be, without its line break.
    ///
    /// # Errors
    /// [`Refusal::Foreign`], [`Refusal::Sealed`], [`Refusal::Rows`].
    pub(crate) fn row(&self, row: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let fields: Vec<&[u8]> = row.split(|byte| *byte == b'\t').collect();
        if fields.len() != self.columns {
            return Err(Refusal::Rows(self.table.to_owned()).into());
        }
        if fields.get(self.tenant).copied() != Some(self.from.as_bytes()) {
            return Err(Refusal::Foreign(self.table.to_owned()).into());
        }
        let mut replaced: Vec<(usize, Vec<u8>)> = vec![(self.tenant, self.to.clone().into_bytes())];
        for place in &self.sealed {
            self.seal(&fields, place, &mut replaced)?;
        }
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                out.push(b'\t');
            }
            match replaced.iter().find(|(place, _)| *place == at) {
                Some((_, new)) => out.extend_from_slice(new),
                None => out.extend_from_slice(field),
            }
        }
        Ok(())
    }

    fn seal(
        &self,
        fields: &[&[u8]],
        place: &Place,
        replaced: &mut Vec<(usize, Vec<u8>)>,
    ) -> Result<(), ArchiveError> {
        let refused = || ArchiveError::from(Refusal::Sealed(self.table.to_owned()));
        let value = fields.get(place.at).copied().ok_or_else(refused)?;
        let Some((opening, sealing)) = &self.transfer.ciphers else { return Ok(()) };
        if value == NULL {
            return Ok(());
        }
        let id = self.id.and_then(|at| fields.get(at)).and_then(|id| Uuid::try_parse_ascii(id).ok());
        let id = id.ok_or_else(refused)?;
        let failed = |error| ArchiveError::sealed(self.table, error);
        let sealed = read_bytes(value).ok_or_else(refused)?;
        let plain = opening.open(self.transfer.from, place.field, id, &sealed).map_err(failed)?;
        let new = sealing.seal(self.transfer.to, place.field, id, &plain).map_err(failed)?;
        replaced.push((place.at, written(&new)));
        if let Some((at, index)) = place.index {
            let text = std::str::from_utf8(&plain).map_err(|_| refused())?;
            let folded = (index.fold)(text);
            let new = sealing.blind_index(self.transfer.to, place.field, &folded).map_err(failed)?;
            replaced.push((at, written(&new)));
        }
        Ok(())
    }
}

fn written(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + 2 * bytes.len());
    write_bytes(bytes, &mut out);
    out
}
