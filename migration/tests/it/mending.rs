//! Whatever somebody changes by hand is found, and the command that is named for it mends it.

use std::time::Duration;

use clinicx_embedded_postgres::TestServer;
use clinicx_migration::{
    fence, mend,
    system::{self, RoleNames, SystemRole},
};
use clinicx_persistence::{SystemConnection, SystemOptions, Timeouts};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};

/// A server of its own: roles and settings belong to all databases of one.
struct Subject {
    server: TestServer,
    superuser: PgConnection,
    names: RoleNames,
}

impl Subject {
    async fn start() -> Self {
        let server = TestServer::start().unwrap();
        let superuser = PgConnection::connect(&server.superuser_url("postgres")).await.unwrap();
        let subject = Self { server, superuser, names: RoleNames::default() };
        subject.migrate().await;
        subject
    }

    async fn migrate(&self) {
        system::migrate(&self.options(None), &self.names).await.unwrap();
    }

    fn options(&self, role: Option<SystemRole>) -> PgConnectOptions {
        let url = match role {
            Some(role) => self.server.url(self.names.of(role).as_str(), "postgres"),
            None => self.server.superuser_url("postgres"),
        };
        url.parse().unwrap()
    }

    async fn run(&mut self, statement: &str) {
        let ran = self.superuser.execute(sqlx::AssertSqlSafe(statement)).await;
        ran.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Asks as the application, on a connection that begins with what was set by then.
    async fn gaps(&self) -> Vec<fence::Gap> {
        let app = SystemConnection::connect(SystemOptions {
            connect: self.options(Some(SystemRole::App)),
            session_authorization: None,
            max_connections: 1,
            acquire_timeout: Duration::from_secs(20),
            timeouts: Timeouts::SYSTEM,
        });
        let app = app.await.unwrap();
        let gaps = fence::check_system(&app, &self.names).await.unwrap();
        app.close().await;
        gaps
    }

    /// Tears something, and does what is said about it until nothing is found any more.
    async fn check(&mut self, tear: &str, expected: &str) {
        self.run(tear).await;
        let gaps = self.gaps().await;
        let found = gaps.iter().any(|gap| gap.to_string().starts_with(expected));
        assert!(found, "{tear}: {gaps:?}");
        // What is made anew may need its rights anew, which the next look tells.
        for _ in 0..2 {
            for gap in self.gaps().await {
                match mend::command(&gap, &self.names).split_once("in psql: ") {
                    Some((_, statement)) => self.run(&statement.to_owned()).await,
                    None => self.migrate().await,
                }
            }
        }
        assert_eq!(self.gaps().await, Vec::new(), "after {tear}");
    }
}

#[tokio::test]
async fn a_function_that_was_replaced() {
    let mut subject = Subject::start().await;
    assert_eq!(subject.gaps().await, Vec::new());
    let drop = "public.drop_tenant_schema: provisioning_function";
    for (tear, gap) in [
        (
            "CREATE OR REPLACE FUNCTION public.drop_tenant_schema(p_tenant_id varchar, p_schema_name varchar) \
             RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS \
             'BEGIN PERFORM provisioning.drop_tenant(p_schema_name); END'",
            drop,
        ),
        ("ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) SET row_security TO off", drop),
        ("ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) RESET ALL", drop),
        ("ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) SECURITY INVOKER", drop),
        (
            "CREATE OR REPLACE FUNCTION provisioning.check_name(p_schema_name varchar) RETURNS void LANGUAGE sql \
             SET search_path = pg_catalog, pg_temp AS ''",
            "provisioning.check_name: provisioning_function",
        ),
        (
            "CREATE OR REPLACE FUNCTION public.tenant_id_of(p_role text) RETURNS uuid LANGUAGE plpgsql STABLE STRICT \
             SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS \
             'BEGIN RETURN (SELECT t.id FROM public.tenants AS t WHERE t.database_schema = p_role); END'",
            "public.tenant_id_of: provisioning_function",
        ),
        ("ALTER FUNCTION public.tenant_id_of(text) IMMUTABLE", "public.tenant_id_of: provisioning_function"),
        (
            "ALTER FUNCTION public.set_current_tenant(uuid) CALLED ON NULL INPUT",
            "public.set_current_tenant: provisioning_function",
        ),
        (
            "ALTER FUNCTION public.set_current_tenant(uuid) OWNER TO postgres",
            "public.set_current_tenant: provisioning_function",
        ),
        (
            "ALTER FUNCTION public.refuse_truncate() OWNER TO clinicx_registrar",
            "public.refuse_truncate: provisioning_function",
        ),
        (
            "DROP FUNCTION public.drop_tenant_schema(varchar, varchar); \
             CREATE FUNCTION public.drop_tenant_schema(p_tenant_id varchar, p_schema_name varchar) RETURNS boolean \
             LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN true; END'; \
             ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) OWNER TO clinicx_registrar",
            "public.drop_tenant_schema: function",
        ),
        (
            "CREATE FUNCTION public.drop_tenant_schema(p_id integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = pg_catalog, pg_temp AS 'BEGIN END'; \
             ALTER FUNCTION public.drop_tenant_schema(integer) OWNER TO clinicx_registrar",
            "public.drop_tenant_schema: function (p_id integer)",
        ),
        (
            "GRANT EXECUTE ON FUNCTION public.set_current_tenant(uuid) TO PUBLIC",
            "public.set_current_tenant: function_grant (PUBLIC)",
        ),
        (
            "GRANT EXECUTE ON FUNCTION public.tenant_audit_logs(uuid, uuid, text, text, uuid, timestamptz, timestamptz, \
             timestamptz, uuid, integer) TO clinicx_control WITH GRANT OPTION",
            "public.tenant_audit_logs: function_grant (clinicx_control)",
        ),
    ] {
        subject.check(tear, gap).await;
    }
}
