-- Puts the fences up around everything in one tenant's schema, and leaves alone what is right already.
-- {schema}, {role} and {tenant_id} stand for the tenant's own, as literals; the owner role runs this. The other marks
-- stand for the predicates that the check uses too, and for what is written when anything was mended.
DO $fences$
DECLARE
    v_schema CONSTANT text := {schema};
    v_role CONSTANT text := {role};
    v_id CONSTANT text := '{tenant_id}';
    v_owner CONSTANT text := current_user;
    -- The setting and the role must both be this tenant's, so that a right that was given by mistake opens nothing.
    -- COALESCE keeps the planner's estimate at all rows; a plain comparison is estimated at 0.5 % of them.
    v_rule CONSTANT text := pg_catalog.format(
        'COALESCE(current_setting(''app.current_tenant'', true) = %L AND current_user IN (%L, %L), false)',
        v_id, v_role, v_owner);
    v_table record;
    v_extra record;
    v_mended integer := 0;
BEGIN
    FOR v_extra IN
        SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END
                   AS grantee
        FROM pg_catalog.pg_namespace AS n
        CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS g
        WHERE n.nspname = v_schema AND g.grantee <> n.nspowner
            AND (g.grantee = 0 OR pg_catalog.pg_get_userbyid(g.grantee) <> v_role OR g.privilege_type <> 'USAGE')
    LOOP
        EXECUTE pg_catalog.format('REVOKE %s ON SCHEMA %I FROM %s CASCADE',
            CASE v_extra.grantee WHEN pg_catalog.quote_ident(v_role) THEN 'CREATE' ELSE 'ALL' END,
            v_schema, v_extra.grantee);
        v_mended := v_mended + 1;
    END LOOP;

    FOR v_table IN
        SELECT c.oid, c.relname AS name, c.relkind IN ('r', 'p') AS is_table, c.relrowsecurity, c.relforcerowsecurity,
               c.relacl, c.relowner,
               {rights} AS rights
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = v_schema::pg_catalog.regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
            AND pg_catalog.pg_get_userbyid(c.relowner) = v_owner
    LOOP
        FOR v_extra IN
            SELECT g.privilege_type AS privilege,
                   CASE g.grantee WHEN 0 THEN 'PUBLIC'
                       ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS grantee
            FROM pg_catalog.aclexplode(v_table.relacl) AS g
            WHERE g.grantee <> v_table.relowner
                AND (g.grantee = 0 OR pg_catalog.pg_get_userbyid(g.grantee) <> v_role OR g.is_grantable
                     OR g.privilege_type <> ALL (v_table.rights))
            UNION ALL
            SELECT pg_catalog.format('%s (%I)', g.privilege_type, a.attname),
                   CASE g.grantee WHEN 0 THEN 'PUBLIC'
                       ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END
            FROM pg_catalog.pg_attribute AS a
            CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS g
            WHERE a.attrelid = v_table.oid AND g.grantee <> v_table.relowner
        LOOP
            EXECUTE pg_catalog.format('REVOKE %s ON %I.%I FROM %s CASCADE',
                v_extra.privilege, v_schema, v_table.name, v_extra.grantee);
            v_mended := v_mended + 1;
        END LOOP;
        CONTINUE WHEN NOT v_table.is_table;

        FOR v_extra IN
            SELECT w.privilege FROM pg_catalog.unnest(v_table.rights) AS w (privilege)
            WHERE NOT pg_catalog.has_table_privilege(v_role, v_table.oid, w.privilege)
        LOOP
            EXECUTE pg_catalog.format('GRANT %s ON %I.%I TO %I', v_extra.privilege, v_schema, v_table.name, v_role);
            v_mended := v_mended + 1;
        END LOOP;
        IF NOT v_table.relrowsecurity OR NOT v_table.relforcerowsecurity THEN
            EXECUTE pg_catalog.format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
                v_schema, v_table.name);
            v_mended := v_mended + 1;
        END IF;
        FOR v_extra IN
            SELECT p.polname AS name
            FROM pg_catalog.pg_policy AS p
            WHERE p.polrelid = v_table.oid AND {is_policy} IS NOT TRUE
        LOOP
            EXECUTE pg_catalog.format('DROP POLICY %I ON %I.%I', v_extra.name, v_schema, v_table.name);
            v_mended := v_mended + 1;
        END LOOP;
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = v_table.oid) THEN
            EXECUTE pg_catalog.format('CREATE POLICY tenant_isolation ON %I.%I USING (%s) WITH CHECK (%s)',
                v_schema, v_table.name, v_rule, v_rule);
            v_mended := v_mended + 1;
        END IF;
        IF NOT EXISTS (
            SELECT FROM pg_catalog.pg_attribute AS a
            JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = v_table.oid AND {is_tenant_id})
        THEN
            EXECUTE pg_catalog.format(
                'ALTER TABLE %I.%I ALTER tenant_id SET DEFAULT %L::uuid, ALTER tenant_id SET NOT NULL',
                v_schema, v_table.name, v_id);
            v_mended := v_mended + 1;
        END IF;
        IF NOT EXISTS (
            SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = v_table.oid AND {is_check})
        THEN
            -- One of its name that says something else, or was never held against the rows that are there.
            EXECUTE pg_catalog.format('ALTER TABLE %I.%I DROP CONSTRAINT IF EXISTS %I',
                v_schema, v_table.name, 'ck_' || v_table.name || '__tenant');
            v_mended := v_mended + 1;
            EXECUTE pg_catalog.format('ALTER TABLE %I.%I ADD CONSTRAINT %I CHECK (tenant_id = %L::uuid)',
                v_schema, v_table.name, 'ck_' || v_table.name || '__tenant', v_id);
            v_mended := v_mended + 1;
        END IF;
        -- TRUNCATE heeds no policy.
        FOR v_extra IN
            SELECT g.tgname AS name
            FROM pg_catalog.pg_trigger AS g
            WHERE g.tgrelid = v_table.oid AND NOT g.tgisinternal AND {is_guard} IS NOT TRUE
                AND (g.tgname = 'refuse_truncate'
                     OR g.tgfoid = 'public.refuse_truncate()'::pg_catalog.regprocedure)
        LOOP
            EXECUTE pg_catalog.format('DROP TRIGGER %I ON %I.%I', v_extra.name, v_schema, v_table.name);
            v_mended := v_mended + 1;
        END LOOP;
        IF NOT EXISTS (
            SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = v_table.oid AND {is_guard})
        THEN
            EXECUTE pg_catalog.format(
                'CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I.%I EXECUTE FUNCTION public.refuse_truncate()',
                v_schema, v_table.name);
            v_mended := v_mended + 1;
        END IF;
    END LOOP;
{record}END
$fences$
