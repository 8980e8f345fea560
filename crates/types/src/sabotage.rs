//! Defects planted on purpose, one at a time, to see that a test notices each.
//!
//! With the feature `sabotage`, which only `.ci/leak-report` turns on, the variable `SABOTAGE` names the one defect of the
//! process. Without it [`planted`] is a constant `false`, and nothing of a defect is left in the program.

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!("the feature `sabotage` plants leaks between tenants; it is for debug builds of tests alone");

/// A defect by which one tenant would see or touch what is another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A connection that served another tenant is used as it is.
    NoReset,
    /// A connection counts as a tenant's before the server has acknowledged that.
    TagTooEarly,
    /// A connection goes back to the pool with a transaction open on it.
    ParkedWhileBusy,
    /// `public` stands before the tenant's schema on the search path.
    PublicOnPath,
    /// Temporary tables stand before the tenant's schema on the search path.
    TemporaryFirst,
    /// Row-level security does not hold for the owner of a table.
    RowSecurityNotForced,
    /// Everybody may still call `set_config`.
    MissingRevoke,
    /// The tenant of a request is cached under a key without the tenant.
    CacheWithoutTenant,
    /// What a job writes is not held against the tenant that it runs for.
    JobWithoutTenant,
    /// An idempotency key is looked up whoever sent it.
    UnscopedIdempotencyKey,
    /// A cursor opens in every tenant.
    CursorWithoutTenant,
}

impl Bug {
    /// Every defect.
    pub const ALL: [Self; 11] = [
        Self::NoReset,
        Self::TagTooEarly,
        Self::ParkedWhileBusy,
        Self::PublicOnPath,
        Self::TemporaryFirst,
        Self::RowSecurityNotForced,
        Self::MissingRevoke,
        Self::CacheWithoutTenant,
        Self::JobWithoutTenant,
        Self::UnscopedIdempotencyKey,
        Self::CursorWithoutTenant,
    ];

    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoReset => "no_reset",
            Self::TagTooEarly => "tag_too_early",
            Self::ParkedWhileBusy => "parked_while_busy",
            Self::PublicOnPath => "public_on_path",
            Self::TemporaryFirst => "temporary_first",
            Self::RowSecurityNotForced => "row_security_not_forced",
            Self::MissingRevoke => "missing_revoke",
            Self::CacheWithoutTenant => "cache_without_tenant",
            Self::JobWithoutTenant => "job_without_tenant",
            Self::UnscopedIdempotencyKey => "unscoped_idempotency_key",
            Self::CursorWithoutTenant => "cursor_without_tenant",
        }
    }
}

/// Tells whether this defect is planted in the process.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub const fn planted(_: Bug) -> bool {
    false
}

/// Tells whether this defect is planted in the process.
///
/// # Panics
/// When the variable `SABOTAGE` names no defect: a report of a defect that was not there would be worth nothing.
#[cfg(feature = "sabotage")]
pub fn planted(bug: Bug) -> bool {
    static PLANTED: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    #[expect(clippy::panic, reason = "never in a program that anybody uses")]
    let planted = PLANTED.get_or_init(|| {
        let name = std::env::var("SABOTAGE").ok()?;
        let found = Bug::ALL.into_iter().find(|bug| bug.name() == name);
        Some(found.unwrap_or_else(|| panic!("SABOTAGE names no defect: {name}")))
    });
    *planted == Some(bug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_defect_has_a_line_of_its_own_in_the_report() {
        let report = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/leak-report");
        let report = std::fs::read_to_string(report).unwrap();
        let list = report.split_once("leaks=(").unwrap().1.split_once("\n)").unwrap().0;
        let listed = list.lines().filter_map(|line| line.trim().strip_prefix('\'')?.split(' ').next());
        let names = Bug::ALL.map(Bug::name);
        assert_eq!(listed.collect::<Vec<_>>(), names);
    }
}
