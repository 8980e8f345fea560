//! Whoever is the owner role puts code wherever it may; none of it ever runs with the right to make roles.

use clinicx_migration::system::SystemRole;
use clinicx_testing::{TestDatabase, tenant::unique_slug};
use sqlx::{Executor, PgConnection, types::Uuid};

/// Code that writes down as whom it runs, and tries to get further.
const SPY: &str = "
CREATE TABLE public.seen (who text NOT NULL);
GRANT INSERT ON public.seen TO PUBLIC;
CREATE FUNCTION public.spy() RETURNS boolean LANGUAGE plpgsql AS $fn$
DECLARE
    v_try text;
BEGIN
    INSERT INTO public.seen VALUES (current_user);
    FOREACH v_try IN ARRAY ARRAY[
        'SET ROLE clinicx_provisioner',
        'RESET ROLE',
        'ALTER ROLE clinicx_migrator SUPERUSER',
        'ALTER ROLE clinicx_migrator CREATEROLE',
        'GRANT clinicx_provisioner TO clinicx_owner',
        'CREATE OR REPLACE FUNCTION provisioning.check_name(varchar) RETURNS void LANGUAGE sql AS $x$ SELECT public.spy() $x$',
        'SELECT provisioning.make_tenant(''public'')',
        -- Stays after the function that it is called in, unlike SET LOCAL.
        'SET search_path TO public, pg_catalog'
    ] LOOP
        BEGIN
            EXECUTE v_try;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    RETURN true;
END
$fn$;
GRANT EXECUTE ON FUNCTION public.spy() TO PUBLIC;
CREATE FUNCTION public.spying_trigger() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN
    PERFORM public.spy();
    RETURN COALESCE(NEW, OLD);
END
$fn$;
GRANT EXECUTE ON FUNCTION public.spying_trigger() TO PUBLIC;
CREATE FUNCTION public.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS $fn$
BEGIN
    PERFORM public.spy();
    RETURN 'ALTER ROLE clinicx_migrator SUPERUSER';
END
$fn$;
GRANT EXECUTE ON FUNCTION public.format(text, VARIADIC text[]) TO PUBLIC;
CREATE FUNCTION public.lock_registered_tenant(varchar, varchar, text[]) RETURNS void LANGUAGE sql AS
    'SELECT public.spy()';
GRANT EXECUTE ON FUNCTION public.lock_registered_tenant(varchar, varchar, text[]) TO PUBLIC;
ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY spying ON public.tenants USING (public.spy()) WITH CHECK (public.spy());
CREATE TRIGGER spying BEFORE UPDATE ON public.tenants FOR EACH ROW EXECUTE FUNCTION public.spying_trigger();
CREATE TRIGGER spying_2 AFTER DELETE ON public.memberships
    FOR EACH STATEMENT EXECUTE FUNCTION public.spying_trigger();
CREATE TRIGGER spying_3 BEFORE DELETE ON public.sessions
    FOR EACH STATEMENT EXECUTE FUNCTION public.spying_trigger();
";

async fn run(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let result = connection.execute(sqlx::AssertSqlSafe(statement)).await;
    result.err().map(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
}

#[tokio::test]
async fn no_code_of_the_owners_runs_as_the_provisioner() {
    let database = TestDatabase::create().await;
    let slug = unique_slug();
    let (id, schema) = (Uuid::now_v7(), format!("tenant_{}", slug.replace('-', "_")));
    let mut superuser = database.superuser().await;
    let mut migrator = database.login(SystemRole::Migrator).await;
    migrator.execute("SET ROLE clinicx_owner").await.unwrap();
    for statement in [
        "SET ROLE clinicx_provisioner",
        "SET ROLE clinicx_registrar",
        "CREATE FUNCTION provisioning.mine() RETURNS void LANGUAGE sql AS ''",
        "DROP FUNCTION provisioning.make_tenant(varchar)",
        "ALTER SCHEMA provisioning OWNER TO clinicx_owner",
        "DROP SCHEMA provisioning CASCADE",
        "SELECT provisioning.make_tenant('tenant_x')",
        "CREATE OR REPLACE FUNCTION public.create_tenant_schema(p_tenant_id varchar, p_schema_name varchar) \
         RETURNS void LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION public.create_tenant_schema(varchar, varchar) SET search_path TO public",
        "CREATE FUNCTION extensions.mine() RETURNS void LANGUAGE sql AS ''",
    ] {
        assert_eq!(run(&mut migrator, statement).await.as_deref(), Some("42501"), "{statement}");
    }
    migrator.execute("SET search_path TO public").await.unwrap();
    migrator.execute(SPY).await.unwrap();
    migrator
        .execute(sqlx::AssertSqlSafe(format!(
            "INSERT INTO public.clusters (name) VALUES ('main') ON CONFLICT DO NOTHING; \
             INSERT INTO public.tenants (id, slug, name, database_schema, cluster, time_zone, currency, locale) \
             VALUES ('{id}', '{slug}', 'x', '{schema}', 'main', 'UTC', 'EUR', 'en')"
        )))
        .await
        .unwrap();
    for statement in [
        format!("SELECT public.create_tenant_schema('{id}', '{schema}')"),
        format!("UPDATE public.tenants SET status = 'active' WHERE id = '{id}'"),
        format!("SELECT public.change_tenant_status('{id}', '{schema}', 'suspended', now())"),
        format!("SELECT public.change_tenant_status('{id}', '{schema}', 'archived', now())"),
        format!("SELECT public.end_tenant_transactions('{id}', '{schema}')"),
        format!("SELECT public.drop_tenant_schema('{id}', '{schema}')"),
        // The schema is the owner's, and so it may drop what is in it: what it puts there is its own.
        "DROP FUNCTION public.create_tenant_schema(varchar, varchar)".to_owned(),
        "CREATE FUNCTION public.create_tenant_schema(varchar, varchar) RETURNS void LANGUAGE sql \
         SECURITY DEFINER AS 'SELECT public.spy()'"
            .to_owned(),
        format!("SELECT public.create_tenant_schema('{id}', '{schema}')"),
    ] {
        // The spy has reset it where nothing but SET ROLE stood in its way.
        migrator.execute("SET ROLE clinicx_owner").await.unwrap();
        assert_eq!(run(&mut migrator, &statement).await, None, "{statement}");
    }
    let seen: Vec<String> = sqlx::query_scalar("SELECT DISTINCT who FROM public.seen ORDER BY who")
        .fetch_all(&mut superuser)
        .await
        .unwrap();
    assert_eq!(seen, ["clinicx_owner", "clinicx_registrar"]);
    let elevated: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'clinicx%' \
         AND (rolsuper OR rolcreaterole AND rolname <> 'clinicx_provisioner')",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(elevated, 0);
}
