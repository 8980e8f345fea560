//! Pages by key: the rows after the last one of the page before, in the order of an index.

use clinicx_types::page::CursorKey;
use sea_orm::{
    IntoSimpleExpr, Value,
    sea_query::{Expr, ExprTrait},
};

use crate::error::CoreError;

/// The condition that a row comes after a key, column by column: `(a, b) > ($1, $2)`.
pub fn after<C: IntoSimpleExpr, const N: usize>(columns: [C; N], values: [Value; N]) -> Expr {
    Expr::tuple(columns.map(IntoSimpleExpr::into_simple_expr)).gt(Expr::tuple(values.map(Expr::value)))
}

/// Takes a cursor apart into as many texts as the list's order has columns.
pub fn parts<const N: usize>(key: &CursorKey) -> Result<&[String; N], CoreError> {
    key.0.as_slice().try_into().map_err(|_| malformed())
}

/// Reads one part of a cursor.
pub fn part<T: std::str::FromStr>(text: &str) -> Result<T, CoreError> {
    text.parse().map_err(|_| malformed())
}

/// The refusal of a cursor that is none of the list's.
pub fn malformed() -> CoreError {
    CoreError::invalid("?cursor", "malformed_cursor", "must be a cursor that this list has given")
}
