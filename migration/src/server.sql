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
