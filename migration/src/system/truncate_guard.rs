//! The guard that stands before every tenant's tables: TRUNCATE heeds neither row-level security nor a CHECK.

use super::{SystemMigration, script::SystemScript};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0011_truncate_guard",
    up,
    irreversible: "every tenant's tables have a trigger with it",
};

/// Nobody may call it; what a trigger runs needs no right.
pub(super) const REFUSE_TRUNCATE: &str = "\
CREATE FUNCTION refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    RAISE EXCEPTION 'a tenant''s table is not truncated; DELETE heeds row-level security'
        USING ERRCODE = 'insufficient_privilege';
END
$fn$";

fn up(script: &mut SystemScript<'_>) {
    script.sql(REFUSE_TRUNCATE);
}
