-- One row for each gap in the roles and rights of the system.
-- $1 to $7: the owner, provisioner, migrator, application, backup, control and registrar roles.
WITH wanted (name, login, inherit, create_role, bypass_rls) AS (
    VALUES ($1::text, false, true, false, false),
           ($2::text, false, true, true, false),
           ($3::text, true, false, false, false),
           ($4::text, true, false, false, false),
           ($5::text, true, true, false, true),
           ($6::text, true, false, false, false),
           ($7::text, false, true, false, false)
),
-- What the migrations of `public` grant; everything else is too much.
table_right (relation, grantee, privileges) AS (
    VALUES ('clusters', $4::text, '{SELECT}'::text[]),
           ('clusters', $6, '{SELECT,INSERT,UPDATE}'),
           ('tenants', $6, '{SELECT}'),
           ('tenants', $7, '{SELECT}'),
           ('tenant_modules', $4, '{SELECT}'),
           ('tenant_modules', $6, '{SELECT}'),
           ('tenant_modules', $7, '{SELECT,DELETE}'),
           ('system_configurations', $4, '{SELECT}'),
           ('system_configurations', $6, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('feature_flags', $4, '{SELECT}'),
           ('feature_flags', $6, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('feature_flag_overrides', $4, '{SELECT}'),
           ('feature_flag_overrides', $6, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('feature_flag_overrides', $7, '{SELECT,DELETE}'),
           ('idempotency_keys', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('idempotency_keys', $6, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('users', $4, '{SELECT,INSERT,UPDATE}'),
           ('memberships', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('memberships', $7, '{DELETE}'),
           ('sessions', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('sessions', $7, '{DELETE}'),
           ('refresh_tokens', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('tenant_keys', $4, '{SELECT}'),
           ('tenant_keys', $6, '{SELECT,INSERT}'),
           ('login_attempts', $4, '{SELECT,INSERT,DELETE}'),
           ('audit_logs', $6, '{SELECT}'),
           ('audit_leaves', $6, '{SELECT}'),
           ('audit_checkpoints', $6, '{SELECT}'),
           ('user_identities', $4, '{SELECT,INSERT,UPDATE}'),
           ('identity_grants', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('session_identities', $4, '{SELECT,INSERT}'),
           ('oidc_flows', $4, '{SELECT,INSERT,DELETE}'),
           ('password_resets', $4, '{SELECT,INSERT,DELETE}'),
           ('invitations', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('invitations', $7, '{DELETE}'),
           ('totp_secrets', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('recovery_codes', $4, '{SELECT,INSERT,DELETE}'),
           ('mail_outbox', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('break_glass_grants', $4, '{SELECT,INSERT}'),
           ('jobs', $4, '{SELECT,INSERT,DELETE}'),
           ('jobs', $6, '{SELECT,INSERT}'),
           ('job_schedules', $4, '{SELECT,INSERT,UPDATE}'),
           ('tenant_rollouts', $4, '{SELECT}'),
           ('tenant_rollouts', $6, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('migration_runs', $4, '{SELECT}'),
           ('migration_runs', $6, '{SELECT}'),
           ('migration_run_tenants', $4, '{SELECT}'),
           ('migration_run_tenants', $6, '{SELECT}'),
           ('adoptions', $6, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('adoption_keys', $6, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('adoption_misfits', $6, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('tenant_backups', $4, '{SELECT}'),
           ('tenant_backups', $6, '{SELECT,INSERT,UPDATE}'),
           ('tenant_statistics', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('tenant_statistics', $6, '{SELECT}'),
           ('tenant_statistics_days', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('tenant_statistics_days', $6, '{SELECT}'),
           ('tenant_traffic_hours', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('tenant_traffic_hours', $6, '{SELECT}'),
           ('tenant_alerts', $4, '{SELECT,INSERT,UPDATE,DELETE}'),
           ('tenant_alerts', $6, '{SELECT}'),
           ('tenant_maintenance', $4, '{SELECT}'),
           ('tenant_maintenance', $6, '{SELECT}'),
           ('tenant_index_baselines', $4, '{SELECT}'),
           ('tenant_index_baselines', $6, '{SELECT}'),
           ('schema_sizes', $3, '{SELECT}'),
           ('schema_sizes', $4, '{SELECT}'),
           ('schema_sizes', $5, '{SELECT}'),
           ('schema_sizes', $6, '{SELECT}'),
           ('schema_activity', $3, '{SELECT}'),
           ('schema_activity', $4, '{SELECT}'),
           ('schema_activity', $5, '{SELECT}'),
           ('schema_activity', $6, '{SELECT}'),
           ('system_migrations', $3, '{SELECT}'),
           ('system_migrations', $4, '{SELECT}'),
           ('system_migrations', $6, '{SELECT}')
),
column_right (relation, grantee, privilege, columns) AS (
    VALUES ('tenants', $4::text, 'SELECT',
            '{id,slug,name,status,database_schema,schema_version,cluster,database_name,isolation,region,plan,modules,limits,time_zone,currency,locale,is_active,version,created_at,updated_at}'::text[]),
           ('tenants', $6, 'UPDATE', '{name,plan,limits,time_zone,version,updated_at}'),
           ('tenants', $7, 'UPDATE',
            '{status,name,plan,modules,limits,version,updated_at,suspended_at,archived_at,purged_at}'),
           ('tenant_keys', $6, 'UPDATE', '{state,wrapped_key,provider,provider_key_id,completed_at,retired_at}'),
           ('tenant_keys', $7, 'SELECT', '{tenant_id,state}'),
           ('tenant_keys', $7, 'UPDATE', '{state,wrapped_key,destroyed_at}'),
           ('memberships', $7, 'SELECT', '{tenant_id}'),
           ('sessions', $7, 'SELECT', '{tenant_id}'),
           ('invitations', $7, 'SELECT', '{tenant_id}'),
           ('break_glass_grants', $4, 'UPDATE', '{ended_at,ended_by,version}'),
           ('jobs', $4, 'UPDATE',
            '{state,run_after,attempts,lease_token,leased_by,lease_until,heartbeat_at,progress,steps,error_code,error_detail,output,cancel_requested_at,version,updated_at,started_at,finished_at}'),
           ('audit_logs', 'PUBLIC', 'INSERT',
            '{actor_kind,actor_id,actor_job,action,entity,entity_id,patient_id,request_id,source_address,before,after,session_id,break_glass_id,patient_ids}'),
           ('audit_logs', $4, 'INSERT', '{tenant_id}'),
           ('audit_logs', $6, 'INSERT', '{tenant_id}'),
           ('audit_leaves', $6, 'INSERT', '{position,audit_id,encoding,leaf_hash}'),
           ('audit_checkpoints', $6, 'INSERT', '{tree_size,root_hash,frontier,settled_below,note,created_at}')
),
public_relation AS (
    SELECT c.oid AS relation_id, CAST(c.relname AS text) AS relation, c.relkind, c.relowner, c.relacl,
           c.relpersistence
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'public'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
)

SELECT 'public' AS schema, CAST(NULL AS text) AS relation, 'role_missing' AS gap, w.name AS detail
FROM wanted AS w
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = w.name)

UNION ALL
SELECT 'public', NULL, 'role_attributes', w.name
FROM wanted AS w
JOIN pg_catalog.pg_roles AS r ON r.rolname = w.name
WHERE r.rolcanlogin <> w.login OR r.rolinherit <> w.inherit OR r.rolcreaterole <> w.create_role
    OR r.rolbypassrls <> w.bypass_rls OR r.rolsuper OR r.rolcreatedb OR r.rolreplication

-- On PostgreSQL 15 whoever may make roles can become each of these.
UNION ALL
SELECT 'public', NULL, 'login_creates_roles', CAST(r.rolname AS text)
FROM pg_catalog.pg_roles AS r
WHERE r.rolcanlogin AND r.rolcreaterole AND NOT r.rolsuper AND r.rolname NOT IN (SELECT w.name FROM wanted AS w)

UNION ALL
SELECT 'public', NULL, 'role_member', w.name || ' has ' || CAST(granted.rolname AS text)
FROM wanted AS w
JOIN pg_catalog.pg_roles AS r ON r.rolname = w.name
JOIN pg_catalog.pg_auth_members AS m ON m.member = r.oid
JOIN pg_catalog.pg_roles AS granted ON granted.oid = m.roleid
WHERE (m.admin_option AND w.name IN ($4, $5))
    OR NOT ((w.name IN ($2, $3) AND granted.rolname = $1)
        OR (w.name IN ($2, $4) AND granted.rolname LIKE 'tenant\_%')
        OR (w.name = $2 AND granted.rolname = 'pg_signal_backend')
        OR (w.name = $5 AND granted.rolname = 'pg_read_all_data'))

-- From PostgreSQL 16 on the membership says it, and the role's own NOINHERIT only what it says at first.
UNION ALL
SELECT 'public', NULL, 'role_inherits', CAST(member.rolname AS text) || ' ' || CAST(granted.rolname AS text)
FROM pg_catalog.pg_auth_members AS m
JOIN pg_catalog.pg_roles AS member ON member.oid = m.member AND member.rolname IN ($3, $4, $6)
JOIN pg_catalog.pg_roles AS granted ON granted.oid = m.roleid
WHERE pg_catalog.to_jsonb(m) ->> 'inherit_option' = 'true'

UNION ALL
SELECT 'public', NULL, 'role_has_member', CAST(member.rolname AS text) || ' has ' || w.name
FROM wanted AS w
JOIN pg_catalog.pg_roles AS r ON r.rolname = w.name
JOIN pg_catalog.pg_auth_members AS m ON m.roleid = r.oid
JOIN pg_catalog.pg_roles AS member ON member.oid = m.member
WHERE NOT (w.name = $1 AND member.rolname IN ($2, $3)) OR m.admin_option

UNION ALL
SELECT 'pg_catalog', NULL,
       CASE g.grantee WHEN 0 THEN 'everybody_may_set_config' ELSE 'others_may_set_config' END,
       CAST(pg_catalog.pg_get_userbyid(NULLIF(g.grantee, 0)) AS text)
FROM pg_catalog.pg_proc AS p
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS g
WHERE p.oid = 'pg_catalog.set_config(text, text, boolean)'::regprocedure AND g.grantee <> p.proowner
    AND (g.grantee = 0 OR pg_catalog.pg_get_userbyid(g.grantee) NOT IN ($1, $2, $3, $4, $5, $6))

UNION ALL
SELECT 'pg_catalog', NULL, 'session_function', CAST(p.proname AS text) || ' '
    || CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(pg_catalog.pg_get_userbyid(g.grantee) AS text) END
FROM pg_catalog.pg_proc AS p
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS g
WHERE ((p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
        AND p.proname ~ '^(pg_notify|setseed|pg_(try_)?advisory_(lock|unlock).*)$')
    OR (p.pronamespace = pg_catalog.to_regnamespace('extensions') AND p.proname = 'set_limit'))
    AND g.grantee <> p.proowner
    AND (g.grantee = 0 OR pg_catalog.pg_get_userbyid(g.grantee) NOT IN ($1, $3, $4, $6))

-- A login may change its own defaults; only these are wanted.
UNION ALL
SELECT 'public', NULL, 'role_setting', CAST(r.rolname AS text) || ' ' || c.setting
FROM pg_catalog.pg_db_role_setting AS s
JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c (setting)
WHERE (r.rolname IN ($1, $2, $3, $4, $5, $6, $7) OR r.rolname LIKE 'tenant\_%')
    AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database AS d
                              WHERE d.datname = pg_catalog.current_database()))
    AND NOT (s.setdatabase = 0 AND (
        (r.rolname IN ($3, $4, $6) AND c.setting = 'search_path=""')
        OR (r.rolname = $3 AND c.setting = 'lock_timeout=5s')
        OR (r.rolname = $5 AND c.setting = 'default_transaction_read_only=on')))

UNION ALL
SELECT 'public', NULL, 'role_setting_missing', w.name
FROM wanted AS w
JOIN pg_catalog.pg_roles AS r ON r.rolname = w.name
WHERE w.name IN ($3, $4, $6)
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_db_role_setting AS s
        WHERE s.setrole = r.oid AND s.setdatabase = 0 AND 'search_path=""' = ANY (s.setconfig))

UNION ALL
SELECT 'pg_catalog', NULL, 'large_objects', CAST(p.proname AS text)
FROM pg_catalog.pg_proc AS p
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS g
WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.proname ~ '^lo(_|read$|write$)'
    AND g.grantee <> p.proowner

UNION ALL
SELECT CAST(n.nspname AS text), NULL,
       CASE g.grantee WHEN 0 THEN 'everybody_may_create' ELSE 'others_may_create' END,
       CAST(pg_catalog.pg_get_userbyid(NULLIF(g.grantee, 0)) AS text)
FROM pg_catalog.pg_namespace AS n
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS g
WHERE n.nspname IN ('public', 'extensions', 'provisioning') AND g.grantee <> n.nspowner
    AND g.privilege_type = 'CREATE'

UNION ALL
SELECT 'provisioning', NULL, 'schema_grant', CASE g.grantee WHEN 0 THEN 'PUBLIC'
    ELSE CAST(pg_catalog.pg_get_userbyid(g.grantee) AS text) END
FROM pg_catalog.pg_namespace AS n
CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS g
WHERE n.nspname = 'provisioning' AND g.privilege_type = 'USAGE' AND g.grantee <> n.nspowner
    AND (g.grantee = 0 OR pg_catalog.pg_get_userbyid(g.grantee) NOT IN ($2, $7))

UNION ALL
SELECT CAST(n.nspname AS text), NULL, 'schema_owner', CAST(pg_catalog.pg_get_userbyid(n.nspowner) AS text)
FROM pg_catalog.pg_namespace AS n
JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner
WHERE (n.nspname = 'public' AND r.rolname <> $1)
    OR (n.nspname IN ('extensions', 'provisioning') AND NOT r.rolsuper)

UNION ALL
SELECT 'public', NULL, 'everybody_may_use_database', g.privilege_type
FROM pg_catalog.pg_database AS d
CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) AS g
WHERE d.datname = pg_catalog.current_database() AND g.grantee = 0

UNION ALL
SELECT 'public', NULL, 'database_grant', CAST(r.rolname AS text) || ' ' || g.privilege_type
FROM pg_catalog.pg_database AS d
CROSS JOIN LATERAL pg_catalog.aclexplode(d.datacl) AS g
JOIN pg_catalog.pg_roles AS r ON r.oid = g.grantee
LEFT JOIN wanted AS w ON w.name = r.rolname
WHERE d.datname = pg_catalog.current_database()
    AND CASE
        WHEN w.name IS NULL THEN
            -- A tenant's role has no right to a database: it could make schemas and temporary tables there.
            r.rolname LIKE 'tenant\_%' AND EXISTS (
                SELECT FROM pg_catalog.pg_auth_members AS m
                WHERE m.roleid = r.oid AND pg_catalog.pg_get_userbyid(m.member) = $4)
        ELSE g.is_grantable
            OR NOT (g.privilege_type = 'CONNECT' OR (w.name = $2 AND g.privilege_type = 'CREATE'))
    END

UNION ALL
SELECT 'extensions', NULL, 'extension_missing', e.name
FROM (VALUES ('btree_gist'), ('pg_trgm')) AS e (name)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_extension AS x
    JOIN pg_catalog.pg_namespace AS n ON n.oid = x.extnamespace
    WHERE x.extname = e.name AND n.nspname = 'extensions')

UNION ALL
SELECT 'public', c.relation, 'owner', CAST(pg_catalog.pg_get_userbyid(c.relowner) AS text)
FROM public_relation AS c
WHERE pg_catalog.pg_get_userbyid(c.relowner) <> $1

-- It is empty after a crash, and its rows are in no backup of the log.
UNION ALL
SELECT 'public', c.relation, 'unlogged', NULL
FROM public_relation AS c
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'u'

UNION ALL
SELECT 'public', c.relation, 'grant', g.grantee || ' ' || g.privilege_type
FROM public_relation AS c
CROSS JOIN LATERAL (
    SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(pg_catalog.pg_get_userbyid(x.grantee) AS text) END AS grantee,
           x.privilege_type, x.is_grantable
    FROM pg_catalog.aclexplode(c.relacl) AS x
    WHERE x.grantee <> c.relowner
) AS g
WHERE g.is_grantable
    OR NOT EXISTS (
        SELECT FROM table_right AS w
        WHERE w.relation = c.relation AND w.grantee = g.grantee AND g.privilege_type = ANY (w.privileges))

UNION ALL
SELECT 'public', c.relation, 'column_grant', g.grantee || ' ' || g.privilege_type || ' ' || CAST(a.attname AS text)
FROM public_relation AS c
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.relation_id
CROSS JOIN LATERAL (
    SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(pg_catalog.pg_get_userbyid(x.grantee) AS text) END AS grantee,
           x.privilege_type, x.is_grantable
    FROM pg_catalog.aclexplode(a.attacl) AS x
    WHERE x.grantee <> c.relowner
) AS g
WHERE g.is_grantable
    OR NOT EXISTS (
        SELECT FROM column_right AS w
        WHERE w.relation = c.relation AND w.grantee = g.grantee AND w.privilege = g.privilege_type
            AND a.attname = ANY (w.columns))

UNION ALL
SELECT 'public', c.relation, 'trigger', CAST(t.tgname AS text)
FROM public_relation AS c
JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = c.relation_id
WHERE NOT t.tgisinternal OR t.tgenabled <> 'O'

UNION ALL
SELECT 'public', c.relation, 'rule', CAST(r.rulename AS text)
FROM public_relation AS c
JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = c.relation_id
WHERE c.relkind IN ('r', 'p')

UNION ALL
SELECT 'public', c.relation, 'policy', CAST(p.polname AS text)
FROM public_relation AS c
JOIN pg_catalog.pg_policy AS p ON p.polrelid = c.relation_id

-- Whoever reads a parent reads its children's rows too, by the parent's rights and policies alone.
UNION ALL
SELECT 'public', c.relation, CASE WHEN child.relispartition THEN 'partition_of' ELSE 'inherits' END,
       pg_catalog.format('%I.%I', n.nspname, other.relname)
FROM public_relation AS c
JOIN pg_catalog.pg_class AS child ON child.oid = c.relation_id
JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.relation_id
JOIN pg_catalog.pg_class AS other ON other.oid = i.inhparent
JOIN pg_catalog.pg_namespace AS n ON n.oid = other.relnamespace

-- And what stands in a child is read and written as if it were the system's.
UNION ALL
SELECT 'public', c.relation, CASE WHEN child.relispartition THEN 'has_partition' ELSE 'is_inherited' END,
       pg_catalog.format('%I.%I', n.nspname, child.relname)
FROM public_relation AS c
JOIN pg_catalog.pg_inherits AS i ON i.inhparent = c.relation_id
JOIN pg_catalog.pg_class AS child ON child.oid = i.inhrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = child.relnamespace
WHERE n.nspname <> 'public' AND n.nspname NOT LIKE 'tenant\_%'

UNION ALL
SELECT DISTINCT 'public', NULL, 'default_privileges',
       CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
           WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END
       || ' ' || CAST(pg_catalog.pg_get_userbyid(d.defaclrole) AS text)
       || ' ' || CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(pg_catalog.pg_get_userbyid(g.grantee) AS text) END
FROM pg_catalog.pg_default_acl AS d
LEFT JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) AS g ON true
WHERE pg_catalog.pg_get_userbyid(d.defaclrole) IN ($1, $2, $3, $4, $5, $6, $7) AND g.grantee <> d.defaclrole

ORDER BY 1, 2, 3, 4
