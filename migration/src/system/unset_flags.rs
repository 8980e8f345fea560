//! Flags of which nobody says anything any more: they follow their declared default, and keep their version.

use super::{SystemMigration, script::SystemScript};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0012_unset_flags",
    up,
    irreversible: "a flag that is as it is declared has no value that could be written down",
};

fn up(script: &mut SystemScript<'_>) {
    script.sql("ALTER TABLE feature_flags ALTER enabled DROP NOT NULL");
    script.sql("COMMENT ON COLUMN feature_flags.enabled IS 'NULL: as the flag is declared'");
    script.sql("COMMENT ON COLUMN system_configurations.value IS 'null: as the configuration is declared'");
}
