//! What is set on a connection before it serves somebody: always everything, always literals.

use std::{fmt::Write, time::Duration};

use clinicx_types::{
    id::TenantId,
    name::{DatabaseName, RoleName},
    sabotage::{Bug, planted},
};

use crate::{options::Timeouts, target::TenantTarget};

/// PostgreSQL cuts an application name to this many bytes.
const MAX_APPLICATION_NAME_BYTES: usize = 63;

/// Whom a connection serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// One tenant.
    Tenant(TenantTarget),
    /// The system schema.
    System,
}

/// How far a setting reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Until it is set again.
    Session,
    /// As [`Reach::Session`], on a connection whose server has acknowledged the same terms before; what would
    /// only be said again is left out.
    SessionOnSameTerms,
    /// Until the transaction ends.
    Transaction,
}

/// The limits and the role that apply whoever is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// Time limits of statements.
    pub(crate) timeouts: Timeouts,
    /// See [`crate::ClusterOptions::session_authorization`].
    pub(crate) session_authorization: Option<RoleName>,
}

impl Subject {
    /// Returns the database that it lives in; `None` means the cluster's own.
    pub(crate) fn database(&self) -> Option<&DatabaseName> {
        match self {
            Self::Tenant(target) => target.database.as_ref(),
            Self::System => None,
        }
    }

    /// Returns the tenant, if it is one.
    pub(crate) fn tenant_id(&self) -> Option<TenantId> {
        match self {
            Self::Tenant(target) => Some(target.tenant_id),
            Self::System => None,
        }
    }

    /// Returns the comment that makes each tenant's statements its own, one set for each version of its schema.
    pub(crate) fn comment(&self) -> String {
        match self {
            Self::Tenant(target) => format!("/*{}.v{}*/ ", target.schema.as_str(), target.schema_version),
            Self::System => String::new(),
        }
    }

    /// Returns the statements that apply it; the role comes last, for it takes the right to what stands before.
    pub(crate) fn settings(&self, reach: Reach, terms: &Terms) -> String {
        let mut sql = Settings { text: String::with_capacity(400), reach };
        if let (Reach::Transaction, Some(role)) = (reach, &terms.session_authorization) {
            sql.set(format_args!("SESSION AUTHORIZATION {}", role.quoted()));
        }
        match self {
            Self::Tenant(target) => {
                sql.set(format_args!("search_path TO {}", path(&target.schema.quoted())));
                sql.set(format_args!("app.current_tenant TO '{}'", target.tenant_id));
                sql.limits(&terms.timeouts);
                let name = format!("clinicx:{}", target.schema.as_str());
                let name = name.get(..MAX_APPLICATION_NAME_BYTES).unwrap_or(&name);
                sql.set(format_args!("application_name TO '{name}'"));
                match &target.role {
                    Some(role) => sql.set(format_args!("ROLE {}", role.quoted())),
                    None => sql.set(format_args!("ROLE NONE")),
                }
            }
            Self::System => {
                sql.set(format_args!("search_path TO {SYSTEM_SEARCH_PATH}"));
                sql.limits(&terms.timeouts);
                sql.set(format_args!("application_name TO 'clinicx:system'"));
            }
        }
        sql.text
    }

    /// Returns a query that fails when role, tenant or search path are no longer those that were applied; `None` where
    /// no tenant is. The name that it asks for then can be no setting's, so that the error is one of ours (42704).
    pub(crate) fn proof(&self) -> Option<String> {
        let Self::Tenant(target) = self else { return None };
        let role = target.role.as_ref().map_or("none", |role| role.as_str());
        Some(format!(
            "SELECT CASE WHEN pg_catalog.current_setting('role') OPERATOR(pg_catalog.=) '{role}' \
             AND pg_catalog.current_setting('app.current_tenant') OPERATOR(pg_catalog.=) '{}' \
             AND pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.=) '{}' \
             THEN '' ELSE pg_catalog.current_setting('changed hands') END",
            target.tenant_id,
            path(target.schema.as_str())
        ))
    }
}

/// Writes a tenant's search path. PostgreSQL shows it as it was set, without the quotes that a schema's name needs not.
fn path(schema: &str) -> String {
    if planted(Bug::PublicOnPath) {
        format!("public, {schema}, pg_temp")
    } else if planted(Bug::TemporaryFirst) {
        format!("pg_temp, {schema}")
    } else {
        format!("{schema}, pg_temp")
    }
}

/// `pg_catalog` comes first unless it is named; `pg_temp` last, or a temporary table would answer for another.
pub(crate) const SYSTEM_SEARCH_PATH: &str = "public, pg_temp";

struct Settings {
    text: String,
    reach: Reach,
}

impl Settings {
    fn set(&mut self, what: std::fmt::Arguments<'_>) {
        let separator = if self.text.is_empty() { "" } else { "; " };
        let local = if self.reach == Reach::Transaction { "LOCAL " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{separator}SET {local}{what}");
    }

    fn limits(&mut self, timeouts: &Timeouts) {
        if self.reach != Reach::SessionOnSameTerms {
            self.limit("statement_timeout", timeouts.statement);
            self.limit("lock_timeout", timeouts.lock);
            self.limit("idle_in_transaction_session_timeout", timeouts.idle_in_transaction);
        }
    }

    fn limit(&mut self, name: &str, limit: Duration) {
        let most = u128::from(i32::MAX.unsigned_abs());
        self.set(format_args!("{name} TO {}", limit.as_millis().min(most)));
    }
}

#[cfg(test)]
mod tests {
    use clinicx_types::{
        name::{ClusterName, SchemaName},
        version::SchemaVersion,
    };

    use super::*;

    fn tenant(schema: &str) -> Subject {
        let schema = SchemaName::parse(schema).unwrap();
        Subject::Tenant(TenantTarget {
            tenant_id: TenantId::new(uuid::Uuid::from_u128(1)),
            cluster: ClusterName::parse("main").unwrap(),
            database: None,
            role: Some(schema.role()),
            schema,
            schema_version: SchemaVersion { core: 12, modules: 3 },
        })
    }

    #[test]
    fn settings_name_everything_and_the_role_last() {
        let terms = Terms { timeouts: Timeouts::default(), session_authorization: None };
        assert_eq!(
            tenant("tenant_x").settings(Reach::Session, &terms),
            "SET search_path TO \"tenant_x\", pg_temp; \
             SET app.current_tenant TO '00000000-0000-0000-0000-000000000001'; SET statement_timeout TO 20000; \
             SET lock_timeout TO 10000; SET idle_in_transaction_session_timeout TO 30000; \
             SET application_name TO 'clinicx:tenant_x'; SET ROLE \"tenant_x\""
        );
    }

    #[test]
    fn what_the_server_has_acknowledged_is_not_said_again() {
        let terms = Terms { timeouts: Timeouts::default(), session_authorization: None };
        assert_eq!(
            tenant("tenant_x").settings(Reach::SessionOnSameTerms, &terms),
            "SET search_path TO \"tenant_x\", pg_temp; \
             SET app.current_tenant TO '00000000-0000-0000-0000-000000000001'; \
             SET application_name TO 'clinicx:tenant_x'; SET ROLE \"tenant_x\""
        );
    }

    #[test]
    fn settings_of_a_transaction_are_all_local() {
        let terms = Terms {
            timeouts: Timeouts::default(),
            session_authorization: Some(RoleName::parse("clinicx_app").unwrap()),
        };
        let text = tenant("tenant_x").settings(Reach::Transaction, &terms);
        assert!(text.starts_with("SET LOCAL SESSION AUTHORIZATION \"clinicx_app\"; "));
        assert!(text.split("; ").all(|part| part.starts_with("SET LOCAL ")), "{text}");
    }

    #[test]
    fn a_proof_names_role_tenant_and_path() {
        let proof = tenant("tenant_x").proof().unwrap();
        for part in
            ["'tenant_x' AND", "'00000000-0000-0000-0000-000000000001' AND", "'tenant_x, pg_temp' THEN"]
        {
            assert!(proof.contains(part), "{proof}");
        }
        assert_eq!(Subject::System.proof(), None);
    }

    #[test]
    fn the_system_schema_has_its_limits_too() {
        let terms = Terms { timeouts: Timeouts::SYSTEM, session_authorization: None };
        assert_eq!(
            Subject::System.settings(Reach::Session, &terms),
            "SET search_path TO public, pg_temp; SET statement_timeout TO 10000; SET lock_timeout TO 5000; \
             SET idle_in_transaction_session_timeout TO 30000; SET application_name TO 'clinicx:system'"
        );
    }

    #[test]
    fn a_long_application_name_is_cut() {
        let text = tenant(&format!("tenant_{}", "x".repeat(56))).settings(Reach::Session, &Terms::default());
        let name = text.split("application_name TO '").nth(1).unwrap().split('\'').next().unwrap();
        assert_eq!(name.len(), MAX_APPLICATION_NAME_BYTES);
    }

    #[test]
    fn the_comment_carries_schema_and_version() {
        assert_eq!(tenant("tenant_x").comment(), "/*tenant_x.v1.12.3*/ ");
    }
}
