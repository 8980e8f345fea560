//! What a tenant's own transaction writes about the run that it belongs to.

use clinicx_types::{id::TenantId, uuid::Uuid, version::SchemaVersion};

/// Who writes the audit rows.
pub(crate) const JOB: &str = "fleet migration";

/// The run to which a tenant's migration belongs. Its row says `done` in the transaction that makes it so, and only
/// there: after a crash either both are there or neither is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The run.
    pub run: Uuid,
}

impl Mark {
    /// Writes the row of the run and, when anything was changed, an audit row that the tenant can see.
    pub(crate) fn done(
        &self,
        tenant: TenantId,
        (from, to): (SchemaVersion, SchemaVersion),
        attempts: u32,
        changed: bool,
    ) -> String {
        let run = self.run;
        let mut script = format!(
            "UPDATE public.migration_run_tenants SET state = 'done', attempts = attempts + {attempts}, \
             from_version = COALESCE(from_version, '{from}'), to_version = '{to}', error = NULL, finished_at = now() \
             WHERE run_id = '{run}' AND tenant_id = '{tenant}'"
        );
        if changed {
            script.push_str(&format!(
                "; INSERT INTO public.audit_logs \
                 (tenant_id, actor_kind, actor_job, action, entity, entity_id, before, after) \
                 VALUES ('{tenant}', 'system', '{JOB}', 'tenant.migrated', 'tenant', '{tenant}', \
                 jsonb_build_object('schema_version', '{from}'), \
                 jsonb_build_object('schema_version', '{to}', 'run', '{run}'))"
            ));
        }
        script
    }
}
