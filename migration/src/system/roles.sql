-- Creates or repairs the roles, the schemas and the rights that only an administrator can give.
-- {owner} and its like stand for role names, which admit no character that needs quoting.
BEGIN;

-- An administrator runs this, and the schema public is the owner role's: nothing may be found there by its bare name.
SET LOCAL search_path TO pg_catalog, pg_temp;

-- Roles belong to the whole cluster, and so does this lock: an advisory one would hold in one database only.
LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE;

DO $do$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY
        ARRAY['{owner}', '{provisioner}', '{registrar}', '{migrator}', '{app}', '{backup}', '{control}']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', v_role);
        END IF;
    END LOOP;
END
$do$;

ALTER ROLE "{owner}" NOLOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
-- On PostgreSQL 15 CREATEROLE amounts to superuser: nobody logs in as this role and nobody is a member of it.
ALTER ROLE "{provisioner}" NOLOGIN INHERIT NOSUPERUSER NOCREATEDB CREATEROLE NOREPLICATION NOBYPASSRLS;
-- Reads and writes the owner's tables for the provisioner, which never touches what the owner can change.
ALTER ROLE "{registrar}" NOLOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE "{migrator}" LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE "{app}" LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE "{backup}" LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS;
ALTER ROLE "{control}" LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- A login may change its own defaults, and they would hold for every connection to come.
DO $do$
DECLARE
    v_left record;
BEGIN
    FOR v_left IN
        SELECT pg_catalog.quote_ident(r.rolname) AS role,
               CASE s.setdatabase WHEN 0 THEN ''
                   ELSE pg_catalog.format(' IN DATABASE %I', d.datname) END AS place
        FROM pg_catalog.pg_db_role_setting AS s
        JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
        LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
        WHERE r.rolname IN ('{owner}', '{provisioner}', '{registrar}', '{migrator}', '{app}', '{backup}', '{control}')
            OR EXISTS (
                SELECT FROM pg_catalog.pg_auth_members AS m
                WHERE m.roleid = r.oid AND pg_catalog.pg_get_userbyid(m.member) = '{app}')
    LOOP
        EXECUTE pg_catalog.format('ALTER ROLE %s%s RESET ALL', v_left.role, v_left.place);
    END LOOP;
END
$do$;

-- A connection to which nothing was applied finds no table by its bare name.
ALTER ROLE "{app}" SET search_path TO '';
ALTER ROLE "{control}" SET search_path TO '';
ALTER ROLE "{migrator}" SET search_path TO '';
ALTER ROLE "{migrator}" SET lock_timeout TO '5s';
ALTER ROLE "{backup}" SET default_transaction_read_only TO on;

DO $do$
DECLARE
    -- Since 16 a membership says for itself whether it inherits; before, the member's attribute says it.
    v_modern CONSTANT boolean := pg_catalog.current_setting('server_version_num')::int >= 160000;
    v_reserve CONSTANT int := 10;
    v_extra record;
BEGIN
    -- Nobody else is a member of these roles, whoever made them one, nor are they members of others.
    FOR v_extra IN
        SELECT of.rolname AS of_role, member.rolname AS member, grantor.rolname AS grantor,
               -- What it may have stays, but it hands nothing on.
               CASE WHEN wanted.yes AND m.admin_option THEN 'ADMIN OPTION FOR ' ELSE '' END AS only
        FROM pg_auth_members AS m
        JOIN pg_roles AS of ON of.oid = m.roleid
        JOIN pg_roles AS member ON member.oid = m.member
        LEFT JOIN pg_roles AS grantor ON grantor.oid = m.grantor
        CROSS JOIN LATERAL (
            SELECT (member.rolname = '{app}' AND of.rolname LIKE 'tenant\_%')
                OR (member.rolname = '{backup}' AND of.rolname = 'pg_read_all_data') AS yes
        ) AS wanted
        WHERE of.rolname IN ('{provisioner}', '{registrar}', '{migrator}', '{app}', '{backup}', '{control}')
            OR (of.rolname = '{owner}' AND member.rolname NOT IN ('{provisioner}', '{migrator}'))
            OR (of.rolname = '{owner}' AND m.admin_option)
            OR (wanted.yes AND m.admin_option)
            OR (member.rolname IN ('{owner}', '{registrar}', '{migrator}', '{app}', '{backup}', '{control}')
                AND NOT wanted.yes AND NOT (member.rolname = '{migrator}' AND of.rolname = '{owner}'))
            -- PostgreSQL itself makes whoever creates a role its member from 16 on.
            OR (member.rolname = '{provisioner}' AND of.rolname NOT IN ('{owner}', 'pg_signal_backend')
                AND of.rolname NOT LIKE 'tenant\_%')
    LOOP
        EXECUTE format('REVOKE %s%I FROM %I', v_extra.only, v_extra.of_role, v_extra.member)
            || CASE WHEN v_modern THEN format(' GRANTED BY %I', v_extra.grantor) ELSE '' END || ' CASCADE';
    END LOOP;
    EXECUTE 'GRANT "{owner}" TO "{provisioner}"' || CASE WHEN v_modern THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END;
    EXECUTE 'GRANT "{owner}" TO "{migrator}"' || CASE WHEN v_modern THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
    GRANT pg_read_all_data TO "{backup}";
    -- To end what still runs for a tenant that has just been fenced.
    GRANT pg_signal_backend TO "{provisioner}";
    -- A tenant's role is what the provisioner made it, and the application's login alone becomes it.
    FOR v_extra IN
        SELECT r.rolname AS role, other.rolname AS other, m.roleid = r.oid AS has_member, grantor.rolname AS grantor
        FROM pg_roles AS r
        JOIN pg_auth_members AS m ON r.oid IN (m.roleid, m.member)
        JOIN pg_roles AS other ON other.oid = CASE m.roleid WHEN r.oid THEN m.member ELSE m.roleid END
        LEFT JOIN pg_roles AS grantor ON grantor.oid = m.grantor
        WHERE r.rolname LIKE 'tenant\_%' AND pg_has_role('{app}', r.oid, 'MEMBER')
            AND NOT (m.roleid = r.oid AND other.rolname IN ('{app}', '{provisioner}'))
    LOOP
        EXECUTE CASE WHEN v_extra.has_member THEN format('REVOKE %I FROM %I', v_extra.role, v_extra.other)
                     ELSE format('REVOKE %I FROM %I', v_extra.other, v_extra.role) END
            || CASE WHEN v_modern THEN format(' GRANTED BY %I', v_extra.grantor) ELSE '' END || ' CASCADE';
    END LOOP;
    FOR v_extra IN
        SELECT r.rolname AS role
        FROM pg_roles AS r
        JOIN pg_auth_members AS m ON m.roleid = r.oid AND pg_get_userbyid(m.member) = '{app}'
        WHERE r.rolname LIKE 'tenant\_%'
            AND (r.rolcanlogin OR r.rolinherit OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolbypassrls
                 OR r.rolreplication)
    LOOP
        EXECUTE format('ALTER ROLE %I NOLOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
            v_extra.role);
    END LOOP;
    -- The other logins still get in when the application has taken all that it may.
    EXECUTE pg_catalog.format(
        'ALTER ROLE "{app}" CONNECTION LIMIT %s',
        GREATEST(pg_catalog.current_setting('max_connections')::int - v_reserve, v_reserve));
END
$do$;

-- What follows belongs to this database.
{database}
CREATE SCHEMA IF NOT EXISTS extensions;
ALTER SCHEMA extensions OWNER TO CURRENT_USER;
GRANT USAGE ON SCHEMA extensions TO PUBLIC;
DO $do$
DECLARE
    v_extension text;
BEGIN
    FOREACH v_extension IN ARRAY ARRAY['btree_gist', 'pg_trgm'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = v_extension) THEN
            EXECUTE pg_catalog.format('CREATE EXTENSION %I SCHEMA extensions', v_extension);
        ELSIF NOT EXISTS (
            SELECT FROM pg_catalog.pg_extension
            WHERE extname = v_extension AND extnamespace = 'extensions'::pg_catalog.regnamespace)
        THEN
            EXECUTE pg_catalog.format('ALTER EXTENSION %I SET SCHEMA extensions', v_extension);
        END IF;
    END LOOP;
END
$do$;

ALTER SCHEMA public OWNER TO "{owner}";
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- What runs with the provisioner's rights lives here, where the owner role can neither put nor replace anything.
CREATE SCHEMA IF NOT EXISTS provisioning;
ALTER SCHEMA provisioning OWNER TO CURRENT_USER;

-- The functions that make and end a tenant's schema, in two layers. Those in `public` run as the registrar: they
-- look at the registry, whose tables are the owner's, so that a policy or a trigger that somebody plants there runs
-- as the registrar at most. Those in `provisioning` run as the provisioner: they check their arguments by
-- themselves and use nothing but the system's catalog. Both have a search path of their own, on which pg_temp comes
-- last, or a temporary table of the caller would answer for one of the catalog's.

CREATE OR REPLACE FUNCTION provisioning.check_name(p_schema_name varchar(63))
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    IF p_schema_name IS NULL OR p_schema_name !~ '^tenant_[a-z0-9_]+$' OR octet_length(p_schema_name) > 63 THEN
        RAISE EXCEPTION 'a tenant''s schema name must match ^tenant_[a-z0-9_]+$ and have at most 63 bytes'
            USING ERRCODE = 'invalid_name';
    END IF;
END
$fn$;

CREATE OR REPLACE FUNCTION provisioning.make_tenant(p_schema_name varchar(63))
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
    v_modern CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
BEGIN
    PERFORM provisioning.check_name(p_schema_name);
    IF EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname = p_schema_name) THEN
        RAISE EXCEPTION 'the schema % exists already', p_schema_name USING ERRCODE = 'duplicate_schema';
    END IF;
    IF EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = p_schema_name) THEN
        RAISE EXCEPTION 'the role % exists already', p_schema_name USING ERRCODE = 'duplicate_object';
    END IF;
    EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', p_schema_name);
    EXECUTE format('CREATE SCHEMA %I AUTHORIZATION "{owner}"', p_schema_name);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', p_schema_name, p_schema_name);
    EXECUTE format('GRANT %I TO "{app}"', p_schema_name)
        || CASE WHEN v_modern THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
END
$fn$;

CREATE OR REPLACE FUNCTION provisioning.fence_tenant(p_schema_name varchar(63), p_fenced boolean)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    PERFORM provisioning.check_name(p_schema_name);
    IF p_fenced THEN
        EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM %I', p_schema_name, p_schema_name);
    ELSE
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', p_schema_name, p_schema_name);
    END IF;
END
$fn$;

-- Waits for the transactions of the service that have touched a tenant's tables, ends those that take too long, and
-- returns how many are left. A backend of a superuser can't be ended, only waited for.
CREATE OR REPLACE FUNCTION provisioning.end_transactions(p_schema_name varchar(63))
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
    v_patience CONSTANT interval := '1 second';
    v_limit CONSTANT interval := '5 seconds';
    v_began CONSTANT timestamptz := clock_timestamp();
    v_pids integer[];
BEGIN
    PERFORM provisioning.check_name(p_schema_name);
    LOOP
        PERFORM pg_stat_clear_snapshot();
        SELECT array_agg(DISTINCT a.pid) INTO v_pids
        FROM pg_locks AS l
        JOIN pg_class AS c ON c.oid = l.relation
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_stat_activity AS a ON a.pid = l.pid
        WHERE n.nspname = p_schema_name AND l.locktype = 'relation' AND a.datname = current_database()
            AND l.database = a.datid AND l.pid <> pg_backend_pid()
            AND (a.usename = '{app}' OR a.application_name LIKE 'clinicx:%');
        IF v_pids IS NULL OR clock_timestamp() - v_began > v_limit THEN
            RETURN COALESCE(cardinality(v_pids), 0);
        END IF;
        IF clock_timestamp() - v_began > v_patience THEN
            BEGIN
                PERFORM pg_terminate_backend(b.pid) FROM unnest(v_pids) AS b (pid);
            EXCEPTION WHEN insufficient_privilege THEN
                NULL;
            END;
        END IF;
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$fn$;

CREATE OR REPLACE FUNCTION provisioning.drop_tenant(p_schema_name varchar(63))
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    PERFORM provisioning.check_name(p_schema_name);
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', p_schema_name);
    IF EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = p_schema_name) THEN
        -- A right or an object that was given to the role elsewhere must not keep it; only a member may drop those.
        EXECUTE format('GRANT %I TO "{provisioner}"', p_schema_name);
        EXECUTE format('DROP OWNED BY %I CASCADE', p_schema_name);
        EXECUTE format('DROP ROLE %I', p_schema_name);
    END IF;
END
$fn$;

CREATE OR REPLACE FUNCTION provisioning.lock_tenant(
    p_tenant_id varchar(100), p_schema_name varchar(63), p_statuses text[]
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    PERFORM provisioning.check_name(p_schema_name);
    IF p_tenant_id IS NULL OR p_tenant_id !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        RAISE EXCEPTION 'a tenant''s id must be a UUID in lower case' USING ERRCODE = 'invalid_text_representation';
    END IF;
    PERFORM FROM public.tenants AS t
    WHERE t.id = p_tenant_id::uuid AND t.database_schema = p_schema_name AND t.status = ANY (p_statuses)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no tenant is registered with this id, this schema and one of the states %', p_statuses
            USING ERRCODE = 'undefined_object';
    END IF;
END
$fn$;

CREATE OR REPLACE FUNCTION public.create_tenant_schema(p_tenant_id varchar(100), p_schema_name varchar(63))
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    PERFORM provisioning.lock_tenant(p_tenant_id, p_schema_name, ARRAY['provisioning']);
    PERFORM provisioning.make_tenant(p_schema_name);
END
$fn$;

-- The one way to change the state of a tenant that stands: the registry and the fence change together.
CREATE OR REPLACE FUNCTION public.change_tenant_status(
    p_tenant_id varchar(100), p_schema_name varchar(63), p_status text, p_now timestamptz
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
    v_from CONSTANT text[] := CASE p_status
        WHEN 'active' THEN ARRAY['suspended', 'archived']
        WHEN 'suspended' THEN ARRAY['active']
        WHEN 'archived' THEN ARRAY['active', 'suspended']
    END;
BEGIN
    IF v_from IS NULL OR p_now IS NULL THEN
        RAISE EXCEPTION 'the state must be active, suspended or archived, and the time be given'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM provisioning.lock_tenant(p_tenant_id, p_schema_name, v_from);
    UPDATE public.tenants
    SET status = p_status, version = version + 1, updated_at = p_now,
        suspended_at = CASE p_status WHEN 'active' THEN NULL WHEN 'suspended' THEN p_now ELSE suspended_at END,
        archived_at = CASE p_status WHEN 'archived' THEN p_now END
    WHERE id = p_tenant_id::uuid;
    PERFORM provisioning.fence_tenant(p_schema_name, p_status <> 'active');
END
$fn$;

CREATE OR REPLACE FUNCTION public.end_tenant_transactions(p_tenant_id varchar(100), p_schema_name varchar(63))
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    PERFORM provisioning.lock_tenant(p_tenant_id, p_schema_name, ARRAY['suspended', 'archived']);
    RETURN provisioning.end_transactions(p_schema_name);
END
$fn$;

-- Ends an archived tenant: schema, role, members, sessions, data keys. Its row stays as a tombstone.
CREATE OR REPLACE FUNCTION public.drop_tenant_schema(p_tenant_id varchar(100), p_schema_name varchar(63))
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
    v_id uuid;
BEGIN
    PERFORM provisioning.lock_tenant(p_tenant_id, p_schema_name, ARRAY['archived']);
    v_id := p_tenant_id::uuid;
    UPDATE public.tenants
    SET status = 'purged', name = slug, plan = NULL, modules = '{}', limits = '{}', version = version + 1,
        updated_at = clock_timestamp(), purged_at = clock_timestamp()
    WHERE id = v_id AND archived_at IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the tenant has no time of its archiving' USING ERRCODE = 'undefined_object';
    END IF;
    DELETE FROM public.sessions WHERE tenant_id = v_id;
    DELETE FROM public.memberships WHERE tenant_id = v_id;
    DELETE FROM public.invitations WHERE tenant_id = v_id;
    DELETE FROM public.tenant_modules WHERE tenant_id = v_id;
    DELETE FROM public.feature_flag_overrides WHERE tenant_id = v_id;
    -- What was sealed is unreadable from here on, in every copy of the schema too.
    UPDATE public.tenant_keys SET state = 'destroyed', wrapped_key = NULL, destroyed_at = clock_timestamp()
    WHERE tenant_id = v_id AND state <> 'destroyed';
    PERFORM provisioning.drop_tenant(p_schema_name);
END
$fn$;

ALTER FUNCTION provisioning.check_name(varchar) OWNER TO "{provisioner}";
ALTER FUNCTION provisioning.make_tenant(varchar) OWNER TO "{provisioner}";
ALTER FUNCTION provisioning.fence_tenant(varchar, boolean) OWNER TO "{provisioner}";
ALTER FUNCTION provisioning.end_transactions(varchar) OWNER TO "{provisioner}";
ALTER FUNCTION provisioning.drop_tenant(varchar) OWNER TO "{provisioner}";
ALTER FUNCTION provisioning.lock_tenant(varchar, varchar, text[]) OWNER TO "{registrar}";
ALTER FUNCTION public.create_tenant_schema(varchar, varchar) OWNER TO "{registrar}";
ALTER FUNCTION public.change_tenant_status(varchar, varchar, text, timestamptz) OWNER TO "{registrar}";
ALTER FUNCTION public.end_tenant_transactions(varchar, varchar) OWNER TO "{registrar}";
ALTER FUNCTION public.drop_tenant_schema(varchar, varchar) OWNER TO "{registrar}";

-- Whatever anybody was given of these by hand is taken back before the rights are given. What migrations have made is
-- put back as the owner role afterwards, which has to own it for that.
DO $do$
DECLARE
    v_extra record;
BEGIN
    FOR v_extra IN
        SELECT p.oid::regprocedure::text AS what
        FROM pg_proc AS p
        WHERE p.pronamespace = 'public'::regnamespace AND pg_get_userbyid(p.proowner) <> '{owner}'
            AND p.proname IN ('set_current_tenant', 'tenant_id_of', 'tenant_audit_logs', 'refuse_truncate', 'destroy_tenant_key')
    LOOP
        EXECUTE format('ALTER ROUTINE %s OWNER TO "{owner}"', v_extra.what);
    END LOOP;
    FOR v_extra IN
        SELECT p.oid::regprocedure::text AS what,
               CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee
        FROM pg_proc AS p
        CROSS JOIN LATERAL aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) AS g
        WHERE g.grantee <> p.proowner
            AND (p.pronamespace = 'provisioning'::regnamespace
                OR (p.pronamespace = 'public'::regnamespace AND p.proname IN (
                    'create_tenant_schema', 'change_tenant_status', 'end_tenant_transactions', 'drop_tenant_schema'))
                OR (p.pronamespace = 'public'::regnamespace AND (
                    p.proname = 'refuse_truncate'
                    -- Everybody's, also for the moment before they are given to everybody again.
                    OR (p.proname IN ('tenant_id_of', 'tenant_audit_logs') AND g.grantee <> 0)
                    OR (p.proname = 'destroy_tenant_key'
                        AND (g.is_grantable OR g.grantee = 0 OR pg_get_userbyid(g.grantee) <> '{control}'))
                    OR (p.proname = 'set_current_tenant'
                        AND (g.is_grantable OR g.grantee = 0
                             OR pg_get_userbyid(g.grantee) NOT IN ('{app}', '{backup}', '{control}', '{migrator}')))))
                -- SET ROLE is no sandbox while any SELECT can call set_config('role', …).
                OR p.oid = 'set_config(text, text, boolean)'::regprocedure
                -- What a SELECT of one tenant would leave on the connection of the next, or tell whoever listens.
                OR (p.pronamespace = 'pg_catalog'::regnamespace
                    AND p.proname ~ '^(pg_notify|setseed|pg_(try_)?advisory_(lock|unlock).*)$')
                OR (p.pronamespace = 'extensions'::regnamespace AND p.proname = 'set_limit')
                -- A large object belongs to no schema: no fence stands around it, and its owner can't be dropped.
                OR (p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^lo(_|read$|write$)'))
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s CASCADE', v_extra.what, v_extra.grantee);
    END LOOP;
    FOR v_extra IN
        SELECT n.nspname, CASE g.privilege_type WHEN 'CREATE' THEN 'CREATE' ELSE 'USAGE' END AS privilege,
               CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee
        FROM pg_namespace AS n
        CROSS JOIN LATERAL aclexplode(n.nspacl) AS g
        WHERE g.grantee <> n.nspowner
            AND (n.nspname = 'provisioning'
                OR (n.nspname IN ('public', 'extensions') AND g.privilege_type = 'CREATE'))
    LOOP
        EXECUTE format('REVOKE %s ON SCHEMA %I FROM %s CASCADE', v_extra.privilege, v_extra.nspname, v_extra.grantee);
    END LOOP;
END
$do$;

GRANT EXECUTE ON FUNCTION set_config(text, text, boolean)
    TO "{owner}", "{provisioner}", "{migrator}", "{app}", "{backup}", "{control}";
GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint), pg_advisory_unlock(bigint), pg_try_advisory_lock(bigint)
    TO "{owner}", "{migrator}", "{control}";
GRANT EXECUTE ON FUNCTION pg_notify(text, text) TO "{owner}", "{migrator}", "{app}", "{control}";
GRANT USAGE ON SCHEMA provisioning TO "{registrar}", "{provisioner}";
GRANT EXECUTE ON FUNCTION
    provisioning.check_name(varchar),
    provisioning.make_tenant(varchar),
    provisioning.fence_tenant(varchar, boolean),
    provisioning.end_transactions(varchar),
    provisioning.drop_tenant(varchar)
    TO "{registrar}";
GRANT EXECUTE ON FUNCTION
    public.create_tenant_schema(varchar, varchar),
    public.change_tenant_status(varchar, varchar, text, timestamptz),
    public.end_tenant_transactions(varchar, varchar),
    public.drop_tenant_schema(varchar, varchar)
    TO "{owner}", "{migrator}", "{control}";

COMMIT;
