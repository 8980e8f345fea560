-- One row for each gap in the fences of the tenants' schemas.
-- $1: a schema, or NULL for all; $2, $3, $4: the owner, application and provisioner roles. The marks stand for the
-- predicates that the script uses too which puts the fences up.
WITH tenant AS (
    SELECT t.id, CAST(t.database_schema AS text) AS schema, t.status,
           n.oid AS namespace, n.nspowner, n.nspacl, r.oid AS role_id,
           CAST(CAST($2 AS text) AS regrole)::oid AS owner_id
    FROM public.tenants AS t
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = t.database_schema
    LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = t.database_schema
    WHERE t.status IN ('active', 'suspended', 'archived')
        AND ($1::text IS NULL OR t.database_schema = $1)
),
relation AS (
    SELECT t.id, t.schema, t.namespace, t.role_id, t.owner_id,
           c.oid AS relation_id, CAST(c.relname AS text) AS relation, c.relkind, c.relpersistence, c.relowner,
           c.relacl, c.relrowsecurity, c.relforcerowsecurity, c.reloptions
    FROM tenant AS t
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = t.namespace
),
tenant_table AS (
    SELECT * FROM relation WHERE relkind IN ('r', 'p')
),
access AS (
    SELECT t.relation_id, {rights} AS rights
    FROM relation AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.relation_id
),
policy AS (
    SELECT t.relation_id, count(*) AS policies, count(*) FILTER (WHERE {is_policy}) AS right_policies
    FROM tenant_table AS t
    JOIN pg_catalog.pg_policy AS p ON p.polrelid = t.relation_id
    GROUP BY t.relation_id
),
foreign_key AS (
    SELECT t.schema, t.namespace, t.relation, t.relation_id, k.conname, k.conkey, k.confdeltype,
           k.condeferrable, other.relnamespace AS other_namespace
    FROM tenant_table AS t
    JOIN pg_catalog.pg_constraint AS k ON k.conrelid = t.relation_id AND k.contype = 'f'
    JOIN pg_catalog.pg_class AS other ON other.oid = k.confrelid
)

SELECT schema, CAST(NULL AS text) AS relation, 'schema_missing' AS gap, CAST(NULL AS text) AS detail
FROM tenant
WHERE namespace IS NULL

UNION ALL
SELECT schema, NULL, 'role_missing', NULL
FROM tenant
WHERE role_id IS NULL

UNION ALL
SELECT schema, NULL, 'schema_owner', CAST(pg_catalog.pg_get_userbyid(nspowner) AS text)
FROM tenant
WHERE nspowner <> owner_id

UNION ALL
SELECT t.schema, NULL, 'schema_grant', CASE g.grantee WHEN 0 THEN 'PUBLIC'
    ELSE CAST(pg_catalog.pg_get_userbyid(g.grantee) AS text) END || ' ' || g.privilege_type
FROM tenant AS t
CROSS JOIN LATERAL pg_catalog.aclexplode(t.nspacl) AS g
WHERE g.grantee <> t.owner_id AND NOT (g.grantee = t.role_id AND g.privilege_type = 'USAGE')

UNION ALL
SELECT t.schema, NULL,
       CASE t.status WHEN 'active' THEN 'schema_usage_missing' ELSE 'schema_usage_left' END, t.status
FROM tenant AS t
WHERE t.namespace IS NOT NULL AND t.role_id IS NOT NULL
    AND (t.status = 'active') <> pg_catalog.has_schema_privilege(t.role_id, t.namespace, 'USAGE')

UNION ALL
SELECT t.schema, NULL, 'role_attributes', NULL
FROM tenant AS t
JOIN pg_catalog.pg_roles AS r ON r.oid = t.role_id
WHERE r.rolcanlogin OR r.rolinherit OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolbypassrls
    OR r.rolreplication

UNION ALL
SELECT t.schema, NULL, 'role_member', CAST(pg_catalog.pg_get_userbyid(m.member) AS text)
FROM tenant AS t
JOIN pg_catalog.pg_auth_members AS m ON m.roleid = t.role_id
WHERE pg_catalog.pg_get_userbyid(m.member) NOT IN ($3, $4)

UNION ALL
SELECT t.schema, NULL, 'role_is_member', CAST(pg_catalog.pg_get_userbyid(m.roleid) AS text)
FROM tenant AS t
JOIN pg_catalog.pg_auth_members AS m ON m.member = t.role_id

UNION ALL
SELECT schema, relation, 'owner', CAST(pg_catalog.pg_get_userbyid(relowner) AS text)
FROM relation
WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND relowner <> owner_id

UNION ALL
SELECT t.schema, t.relation,
       CASE WHEN EXISTS (
           SELECT FROM pg_catalog.pg_attribute AS a
           WHERE a.attrelid = t.relation_id AND a.attname = 'tenant_id'
               AND a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype)
       THEN 'tenant_id_column' ELSE 'tenant_id_column_missing' END, NULL
FROM tenant_table AS t
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = t.relation_id AND {is_tenant_id})

UNION ALL
SELECT t.schema, t.relation, 'tenant_check', NULL
FROM tenant_table AS t
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = t.relation_id AND {is_check})

-- It is empty after a crash, and its rows are in no backup of the log.
UNION ALL
SELECT schema, relation, 'unlogged', NULL
FROM tenant_table
WHERE relpersistence = 'u'

UNION ALL
SELECT schema, relation, 'row_security_not_enabled', NULL
FROM tenant_table
WHERE NOT relrowsecurity

UNION ALL
SELECT schema, relation, 'row_security_not_forced', NULL
FROM tenant_table
WHERE NOT relforcerowsecurity

UNION ALL
SELECT t.schema, t.relation, 'policy', NULL
FROM tenant_table AS t
LEFT JOIN policy AS p ON p.relation_id = t.relation_id
WHERE p.right_policies IS DISTINCT FROM 1 OR p.policies IS DISTINCT FROM 1

UNION ALL
SELECT t.schema, t.relation, 'grant', CASE g.grantee WHEN 0 THEN 'PUBLIC'
    ELSE CAST(pg_catalog.pg_get_userbyid(g.grantee) AS text) END || ' ' || g.privilege_type
FROM relation AS t
JOIN access AS x ON x.relation_id = t.relation_id
CROSS JOIN LATERAL pg_catalog.aclexplode(t.relacl) AS g
WHERE g.grantee <> t.owner_id
    AND NOT (g.grantee = t.role_id AND g.privilege_type = ANY (x.rights) AND NOT g.is_grantable)

UNION ALL
SELECT t.schema, t.relation, 'grant_missing', wanted.privilege
FROM tenant_table AS t
JOIN access AS x ON x.relation_id = t.relation_id
CROSS JOIN LATERAL pg_catalog.unnest(x.rights) AS wanted (privilege)
WHERE t.role_id IS NOT NULL AND wanted.privilege <> 'SELECT'
    AND NOT pg_catalog.has_table_privilege(t.role_id, t.relation_id, wanted.privilege)

UNION ALL
SELECT t.schema, t.relation, 'column_grant', CAST(a.attname AS text)
FROM relation AS t
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.relation_id AND a.attacl IS NOT NULL
CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) AS g
WHERE g.grantee <> t.owner_id

UNION ALL
SELECT t.schema, t.relation, 'trigger', CAST(g.tgname AS text)
FROM relation AS t
JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = t.relation_id
WHERE NOT g.tgisinternal AND g.tgfoid IS DISTINCT FROM pg_catalog.to_regprocedure('public.refuse_truncate()')

UNION ALL
SELECT t.schema, t.relation, 'truncate_guard_missing', NULL
FROM tenant_table AS t
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = t.relation_id AND {is_guard})

UNION ALL
SELECT t.schema, t.relation, 'truncate_guard_torn', CAST(g.tgname AS text)
FROM tenant_table AS t
JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = t.relation_id
WHERE g.tgfoid = pg_catalog.to_regprocedure('public.refuse_truncate()') AND NOT {is_guard}

-- Whoever reads a parent reads its children's rows too, by the parent's rights and policies alone. Partitions that stand
-- beside their table are one of these tables like it.
UNION ALL
SELECT t.schema, t.relation, CASE WHEN c.relispartition THEN 'partition_of' ELSE 'inherits' END,
       pg_catalog.format('%I.%I', n.nspname, other.relname)
FROM relation AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.relation_id AND c.relkind IN ('r', 'p', 'f')
JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = t.relation_id
JOIN pg_catalog.pg_class AS other ON other.oid = i.inhparent
JOIN pg_catalog.pg_namespace AS n ON n.oid = other.relnamespace
WHERE NOT (c.relispartition AND n.oid = t.namespace)

-- And what stands in a child elsewhere is read and written as if it were the tenant's.
UNION ALL
SELECT t.schema, t.relation, CASE WHEN c.relispartition THEN 'has_partition' ELSE 'is_inherited' END,
       pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM relation AS t
JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.relation_id
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.oid <> t.namespace AND n.nspname <> 'public' AND n.nspname NOT LIKE 'tenant\_%'

UNION ALL
SELECT t.schema, t.relation, 'foreign_key_disabled', CAST(g.tgname AS text)
FROM relation AS t
JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = t.relation_id
WHERE g.tgisinternal AND g.tgenabled <> 'O'

UNION ALL
SELECT t.schema, t.relation, 'rule', CAST(r.rulename AS text)
FROM relation AS t
JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = t.relation_id
WHERE NOT (r.rulename = '_RETURN' AND t.relkind IN ('v', 'm'))

UNION ALL
SELECT t.schema, NULL, 'function',
       pg_catalog.format('%I(%s)', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid))
FROM tenant AS t
JOIN pg_catalog.pg_proc AS p ON p.pronamespace = t.namespace

UNION ALL
SELECT DISTINCT t.schema, NULL, 'default_privileges',
       CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
           WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END
       || ' ' || CAST(pg_catalog.pg_get_userbyid(d.defaclrole) AS text)
       || ' ' || CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(pg_catalog.pg_get_userbyid(g.grantee) AS text) END
FROM tenant AS t
JOIN pg_catalog.pg_default_acl AS d ON d.defaclnamespace = t.namespace
CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) AS g

UNION ALL
SELECT t.schema, t.relation, 'not_readable', NULL
FROM tenant_table AS t
WHERE t.role_id IS NOT NULL AND NOT pg_catalog.has_table_privilege(t.role_id, t.relation_id, 'SELECT')

UNION ALL
SELECT t.schema, t.relation, 'primary_key_missing', NULL
FROM tenant_table AS t
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = t.relation_id AND k.contype = 'p')

UNION ALL
SELECT k.schema, k.relation, 'foreign_key_without_index', CAST(k.conname AS text)
FROM foreign_key AS k
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_index AS i
    CROSS JOIN LATERAL (
        SELECT CAST(pg_catalog.string_to_array(CAST(i.indkey AS text), ' ') AS smallint[]) AS columns
    ) AS x
    WHERE i.indrelid = k.relation_id AND i.indisvalid
        AND x.columns[1:pg_catalog.cardinality(k.conkey)] @> k.conkey
        -- An index of the rows that have a value at all serves the key as well.
        AND (i.indpred IS NULL
             OR pg_catalog.pg_get_expr(i.indpred, i.indrelid) IN (
                 SELECT pg_catalog.format('(%I IS NOT NULL)', a.attname)
                 FROM pg_catalog.pg_attribute AS a
                 WHERE a.attrelid = k.relation_id AND a.attnum = ANY (k.conkey)))
)

UNION ALL
SELECT schema, relation, 'foreign_key_action', CAST(conname AS text)
FROM foreign_key
WHERE confdeltype NOT IN ('a', 'r')

UNION ALL
SELECT schema, relation, 'foreign_key_deferrable', CAST(conname AS text)
FROM foreign_key
WHERE condeferrable

UNION ALL
SELECT schema, relation, 'foreign_key_leaves_schema', CAST(conname AS text)
FROM foreign_key
WHERE other_namespace <> namespace

UNION ALL
SELECT schema, relation, 'view_without_security_invoker', NULL
FROM relation
WHERE relkind = 'v' AND NOT COALESCE('security_invoker=true' = ANY (reloptions), false)
    AND NOT COALESCE('security_invoker=on' = ANY (reloptions), false)

UNION ALL
SELECT schema, relation, 'materialised_view_or_foreign_table', NULL
FROM relation
WHERE relkind IN ('m', 'f')

ORDER BY 1, 2, 3, 4
