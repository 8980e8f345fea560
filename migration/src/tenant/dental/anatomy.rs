//! What fits which tooth: surfaces, and what can become of it.

use super::constrain;
use crate::tenant::{Down, TenantMigration, script::Script};

/// Holds surfaces and states to the teeth that can have them.
pub(super) const FIT_TEETH: TenantMigration = TenantMigration {
    name: "m0016_fit_surfaces_and_states_to_teeth",
    up,
    down: Down::Script(|script| {
        for statement in [
            "ALTER TABLE tooth_findings DROP CONSTRAINT ck_tooth_findings__surfaces_of_tooth",
            "ALTER TABLE treatments DROP CONSTRAINT ck_treatments__surfaces_of_tooth",
            "ALTER TABLE treatments DROP CONSTRAINT ck_treatments__implant",
            "ALTER TABLE tooth_presence_events DROP CONSTRAINT ck_tooth_presence_events__state_of_tooth",
        ] {
            script.sql(statement);
        }
    }),
};

/// Holds bridges to permanent teeth.
pub(super) const KEEP_PONTICS_FROM_DECIDUOUS_TEETH: TenantMigration = TenantMigration {
    name: "m0020_keep_pontics_from_deciduous_teeth",
    up: keep_pontics,
    down: Down::Script(|script| script.sql("ALTER TABLE treatments DROP CONSTRAINT ck_treatments__pontic")),
};

fn keep_pontics(script: &mut Script) {
    constrain(
        script,
        "treatments",
        &[(
            "ck_treatments__pontic",
            // One that was recorded before can still be given up or become an error.
            "CHECK (effect IS DISTINCT FROM 'pontic' OR status IN ('not-done', 'stopped', 'entered-in-error') \
             OR array_to_string(teeth, ' ') !~ '(^| )[5-8]') NOT VALID",
        )],
    );
}

fn up(script: &mut Script) {
    // The front teeth are the first three of a quadrant; the others have an occlusal surface.
    constrain(
        script,
        "tooth_findings",
        &[(
            "ck_tooth_findings__surfaces_of_tooth",
            "CHECK (NOT surfaces && CASE WHEN tooth ~ '^.[1-3]$' THEN ARRAY['O', 'B'] ELSE ARRAY['I', 'V'] END)",
        )],
    );
    constrain(
        script,
        "treatments",
        &[
            (
                "ck_treatments__surfaces_of_tooth",
                "CHECK (cardinality(surfaces) = 0 OR (cardinality(teeth) = 1 AND NOT surfaces && \
                 CASE WHEN teeth[1] ~ '^.[1-3]$' THEN ARRAY['O', 'B'] ELSE ARRAY['I', 'V'] END))",
            ),
            // One that was recorded before can still become an error.
            (
                "ck_treatments__implant",
                "CHECK (effect IS DISTINCT FROM 'implant' OR status = 'entered-in-error' \
                 OR array_to_string(teeth, ' ') !~ '(^| )[5-8]') NOT VALID",
            ),
        ],
    );
    constrain(
        script,
        "tooth_presence_events",
        &[(
            "ck_tooth_presence_events__state_of_tooth",
            "CHECK (CASE WHEN state = 'exfoliated' THEN tooth ~ '^[5-8]' \
             WHEN state IN ('implant', 'pontic') THEN tooth ~ '^[1-4]' ELSE true END)",
        )],
    );
}
