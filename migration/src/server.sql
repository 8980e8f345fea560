-- One row for each gap in what stands around the system: settings, rights, roles and objects of the server and of
-- other schemas.
-- $1 to $7: the owner, provisioner, migrator, application, backup, control and registrar roles.
WITH RECURSIVE system_role (name) AS (
    VALUES ($1::text), ($2), ($3), ($4), ($5), ($6), ($7)
),
-- As whom a statement of the service can run: what these may do, it may do. Roles that the server or another
-- installation brings are not among them.
ours (id, name) AS (
    SELECT CAST(0 AS oid), 'PUBLIC'
    UNION ALL
    SELECT r.oid, CAST(r.rolname AS text)
    FROM pg_catalog.pg_roles AS r
    WHERE r.rolname IN (SELECT s.name FROM system_role AS s)
        OR (r.rolname LIKE 'tenant\_%' AND EXISTS (
            SELECT FROM pg_catalog.pg_auth_members AS m
            WHERE m.roleid = r.oid AND pg_catalog.pg_get_userbyid(m.member) = $4))
),
-- The schemas whose objects these can name, and who can.
usable (namespace, name) AS (
    SELECT n.oid, o.name
    FROM pg_catalog.pg_namespace AS n
    CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS g
    JOIN ours AS o ON o.id = g.grantee
    WHERE g.privilege_type = 'USAGE'
),
-- What a writer of an audit row does not say, the database does.
audit_default (name, expression, required) AS (
    VALUES ('id', 'gen_random_uuid()', true),
           ('recorded_at', 'clock_timestamp()', true),
           ('tenant_id', 'tenant_id_of((CURRENT_USER)::text)', false),
           ('database_role', 'CURRENT_USER', true),
           ('transaction_id', 'pg_current_xact_id()', true)
),
-- Views that read a table of a tenant or of the system, also by way of other views.
view_over (id) AS (
    SELECT w.ev_class
    FROM pg_catalog.pg_rewrite AS w
    JOIN pg_catalog.pg_depend AS d
        ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass
    JOIN pg_catalog.pg_class AS c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p')
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' OR n.nspname LIKE 'tenant\_%'
    UNION
    SELECT w.ev_class
    FROM view_over AS v
    JOIN pg_catalog.pg_depend AS d
        ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = v.id
        AND d.classid = 'pg_catalog.pg_rewrite'::regclass
    JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
)

-- Every session begins with these. Those that choose a plan, a format or a time limit do no harm.
SELECT 'public' AS schema, CAST(NULL AS text) AS relation,
       CASE s.setdatabase WHEN 0 THEN 'setting_of_all_roles' ELSE 'database_setting' END AS gap,
       x.name || CASE s.setdatabase WHEN 0 THEN '' ELSE ' ' || pg_catalog.current_database() END AS detail
FROM pg_catalog.pg_db_role_setting AS s
CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c (setting)
CROSS JOIN LATERAL (SELECT pg_catalog.split_part(c.setting, '=', 1) AS name) AS x
WHERE s.setrole = 0
    AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database AS d
                              WHERE d.datname = pg_catalog.current_database()))
    AND NOT pg_catalog.lower(x.name) ~ ('^((enable|cpu|parallel|max_parallel|min_parallel|jit|geqo|effective|track|lc|tcp'
        '|vacuum|gin)_.*|jit|geqo|.*work_mem|.*_timeout|.*_page_cost|.*_collapse_limit|temp_buffers|temp_file_limit'
        '|hash_mem_multiplier|plan_cache_mode|default_statistics_target|constraint_exclusion|cursor_tuple_fraction'
        '|recursive_worktable_factor|timezone|datestyle|intervalstyle|client_encoding|client_min_messages'
        '|extra_float_digits|default_text_search_config|default_toast_compression|compute_query_id)$')
    -- Settings that the server doesn't know are an application's own, which means nothing to this one.
    AND (pg_catalog.strpos(x.name, '.') = 0 OR pg_catalog.lower(x.name) ~ '^(app\.current_tenant$|auto_explain\.|plpgsql\.)')

-- Neither foreign keys nor the guards against TRUNCATE hold then.
UNION ALL
SELECT 'public', NULL, 'server_setting', s.name
FROM pg_catalog.pg_settings AS s
WHERE s.name = 'session_replication_role' AND s.source = 'configuration file' AND s.reset_val <> 'origin'

UNION ALL
SELECT 'public', NULL, 'parameter_grant', CAST(p.parname AS text) || ' ' || o.name
FROM pg_catalog.pg_parameter_acl AS p
CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) AS g
JOIN ours AS o ON o.id = g.grantee

-- The backup login is the only one. Of another installation on the server it is let be while it can't get in here.
UNION ALL
SELECT 'public', NULL, 'role_bypasses_row_security', CAST(r.rolname AS text)
FROM pg_catalog.pg_roles AS r
WHERE r.rolbypassrls AND NOT r.rolsuper AND r.rolname NOT IN (SELECT s.name FROM system_role AS s)
    AND (r.rolcanlogin OR EXISTS (
        SELECT FROM pg_catalog.pg_roles AS l
        WHERE l.rolcanlogin AND NOT l.rolsuper AND pg_catalog.pg_has_role(l.oid, r.oid, 'MEMBER')))
    AND NOT (
        r.rolname LIKE '%\_backup'
        AND NOT pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT')
        AND (SELECT count(*) = 6 FROM pg_catalog.pg_roles AS other
             WHERE other.rolname IN (
                 SELECT pg_catalog.regexp_replace(CAST(r.rolname AS text), 'backup$', k.kind)
                 FROM (VALUES ('owner'), ('provisioner'), ('registrar'), ('migrator'), ('app'), ('control')) AS k (kind))))

UNION ALL
SELECT 'public', NULL, 'connection_limit_missing', CAST(r.rolname AS text)
FROM pg_catalog.pg_roles AS r
WHERE r.rolname = $4 AND r.rolconnlimit < 0

UNION ALL
SELECT 'public', 'audit_logs', 'audit_default', CAST(a.attname AS text)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN audit_default AS w ON w.name = a.attname
WHERE c.relnamespace = 'public'::pg_catalog.regnamespace AND c.relname = 'audit_logs'
    -- The schema is named unless it is on the path of whoever asks.
    AND (pg_catalog.replace(pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'public.', '') IS DISTINCT FROM w.expression
         OR (w.required AND NOT a.attnotnull))

-- What PostgreSQL is delivered with says who may read files, other people's statements and passwords.
UNION ALL
SELECT 'pg_catalog', NULL, 'server_function', CAST(CAST(p.oid AS regprocedure) AS text) || ' ' || o.name
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_init_privs AS i
    ON i.classoid = 'pg_catalog.pg_proc'::regclass AND i.objoid = p.oid AND i.objsubid = 0
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS g
JOIN ours AS o ON o.id = g.grantee
WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND g.grantee <> p.proowner
    AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(i.initprivs) AS x WHERE x.grantee = g.grantee)

UNION ALL
SELECT 'pg_catalog', CAST(c.relname AS text), 'grant', o.name || ' ' || g.privilege_type
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_init_privs AS i
    ON i.classoid = 'pg_catalog.pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = 0
CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS g
JOIN ours AS o ON o.id = g.grantee
WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND g.grantee <> c.relowner
    AND NOT EXISTS (
        SELECT FROM pg_catalog.aclexplode(i.initprivs) AS x
        WHERE x.grantee = g.grantee AND x.privilege_type = g.privilege_type)

-- With its owner's rights it reads past every fence. Extensions bring such functions, and are an administrator's.
UNION ALL
SELECT CAST(n.nspname AS text), CAST(p.proname AS text), 'definer_function',
       pg_catalog.pg_get_function_identity_arguments(p.oid)
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_roles AS r ON r.oid = p.proowner
WHERE p.prosecdef AND n.nspname NOT IN ('public', 'provisioning') AND n.nspname NOT LIKE 'pg\_temp\_%'
    AND (r.rolsuper OR r.rolbypassrls OR r.oid IN (SELECT o.id FROM ours AS o))
    AND EXISTS (
        SELECT FROM pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS g
        JOIN ours AS o ON o.id = g.grantee
        WHERE g.grantee <> p.proowner)
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')

UNION ALL
SELECT CAST(n.nspname AS text), CAST(c.relname AS text),
       CASE c.relkind WHEN 'm' THEN 'materialised_view' ELSE 'view_with_owners_rights' END, NULL
FROM view_over AS v
JOIN pg_catalog.pg_class AS c ON c.oid = v.id AND c.relkind IN ('v', 'm')
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname <> 'public' AND n.nspname NOT LIKE 'pg\_temp\_%'
    AND NOT COALESCE(c.reloptions && '{security_invoker=true,security_invoker=on}'::text[], false)
    AND (EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) AS g WHERE g.grantee <> c.relowner)
         OR EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL))

-- Whoever may run a function that runs what it is told leaves a tenant's role by it; `set_config` is revoked for that.
UNION ALL
SELECT CAST(n.nspname AS text), CAST(p.proname AS text), 'function_in_reach',
       '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ') ' || o.name
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_roles AS r ON r.oid = p.proowner
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS g
JOIN ours AS o ON o.id = g.grantee
WHERE p.oid >= 16384 AND g.grantee <> p.proowner
    AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
    -- The functions of these are all named, or as they should be.
    AND n.nspname NOT IN ('public', 'provisioning') AND n.nspname NOT LIKE 'pg\_temp\_%'
    AND n.nspname NOT IN (SELECT t.database_schema FROM public.tenants AS t)
    AND NOT (p.prosecdef AND (r.rolsuper OR r.rolbypassrls OR r.oid IN (SELECT own.id FROM ours AS own)))
    AND n.oid IN (SELECT u.namespace FROM usable AS u)
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')

-- In `extensions` an administrator has put what a program needs; those that run SQL texts are too much there too.
UNION ALL
SELECT DISTINCT CAST(n.nspname AS text), NULL, 'extension_in_reach', CAST(x.extname AS text) || ' ' || u.name
FROM pg_catalog.pg_extension AS x
JOIN pg_catalog.pg_depend AS d
    ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = x.oid
    AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_catalog.pg_proc AS p ON p.oid = d.objid
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN usable AS u ON u.namespace = n.oid
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS g
JOIN ours AS o ON o.id = g.grantee
WHERE x.extname NOT IN ('plpgsql', 'btree_gist', 'pg_trgm') AND g.grantee <> p.proowner
    AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
    AND n.nspname NOT IN ('public', 'provisioning')
    AND (n.nspname <> 'extensions' OR x.extname IN ('dblink', 'tablefunc', 'xml2', 'pg_background', 'pg_cron'))

-- It has no schema, and the types decide where it is used.
UNION ALL
SELECT 'pg_catalog', NULL, 'cast',
       pg_catalog.format_type(c.castsource, NULL) || ' AS ' || pg_catalog.format_type(c.casttarget, NULL)
FROM pg_catalog.pg_cast AS c
JOIN pg_catalog.pg_type AS y ON y.oid = c.castsource
JOIN pg_catalog.pg_namespace AS n ON n.oid = y.typnamespace
WHERE c.oid >= 16384
    AND (n.nspname IN ('pg_catalog', 'public', 'provisioning', 'extensions') OR n.nspname LIKE 'tenant\_%')
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS d
        WHERE d.classid = 'pg_catalog.pg_cast'::regclass AND d.objid = c.oid AND d.deptype = 'e')

-- It copies the whole server, if it is let in for that.
UNION ALL
SELECT 'public', NULL, 'login_replicates', CAST(r.rolname AS text)
FROM pg_catalog.pg_roles AS r
WHERE r.rolcanlogin AND r.rolreplication AND NOT r.rolsuper
    AND r.rolname NOT IN (SELECT s.name FROM system_role AS s)

-- It reads or writes all rows, or the files in which they are.
UNION ALL
SELECT 'public', NULL, 'member_of_server_role', CAST(member.rolname AS text) || ' ' || CAST(granted.rolname AS text)
FROM pg_catalog.pg_auth_members AS m
JOIN pg_catalog.pg_roles AS granted ON granted.oid = m.roleid
JOIN pg_catalog.pg_roles AS member ON member.oid = m.member
WHERE granted.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                          'pg_read_all_data', 'pg_write_all_data')
    AND NOT member.rolsuper AND member.rolname NOT IN (SELECT s.name FROM system_role AS s)
    AND EXISTS (
        SELECT FROM pg_catalog.pg_roles AS l
        WHERE l.rolcanlogin AND NOT l.rolsuper AND pg_catalog.pg_has_role(l.oid, member.oid, 'MEMBER')
            -- Programs and files are the whole server's, rows are this database's.
            AND (granted.rolname NOT LIKE '%\_all\_data'
                 OR pg_catalog.has_database_privilege(l.oid, pg_catalog.current_database(), 'CONNECT')))
