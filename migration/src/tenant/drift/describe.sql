-- One row for each thing in the tenant's schema, which is the search path: what it is, on which relation, its name, and
-- what can be said of it. {schema} and {role} stand for the tenant's own, as literals.
WITH relation AS (
    SELECT c.oid, CAST(c.relname AS text) AS name, c.relkind, c.relowner, c.relacl, c.relpersistence,
           c.relrowsecurity, c.relforcerowsecurity
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
),
table_ AS (
    SELECT * FROM relation WHERE relkind IN ('r', 'p')
)

SELECT 'schema' AS kind, '' AS relation, '' AS name,
       jsonb_build_object('owner', pg_catalog.pg_get_userbyid(n.nspowner)) AS facts
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname = {schema}

UNION ALL
SELECT 'schema_grant', '', x.grantee || ' ' || x.privilege, jsonb_build_object('grantable', x.is_grantable)
FROM pg_catalog.pg_namespace AS n
CROSS JOIN LATERAL (
    SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC'
               ELSE CAST(pg_catalog.pg_get_userbyid(g.grantee) AS text) END AS grantee,
           g.privilege_type AS privilege, g.is_grantable
    FROM pg_catalog.aclexplode(n.nspacl) AS g
    -- A suspended tenant's role has lost its schema, as it should.
    WHERE g.grantee <> n.nspowner
        AND NOT (pg_catalog.pg_get_userbyid(g.grantee) = {role} AND g.privilege_type = 'USAGE')
) AS x
WHERE n.nspname = {schema}

UNION ALL
SELECT CASE r.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialised view' WHEN 'f' THEN 'foreign table'
           WHEN 'S' THEN 'sequence' ELSE 'table' END,
       r.name, '',
       jsonb_build_object(
           'owner', pg_catalog.pg_get_userbyid(r.relowner),
           'persistence', r.relpersistence,
           'row_security', r.relrowsecurity,
           'forced_row_security', r.relforcerowsecurity,
           'parents', (SELECT string_agg(CAST(CAST(i.inhparent AS regclass) AS text), ', ' ORDER BY i.inhseqno)
                       FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = r.oid),
           'definition', CASE WHEN r.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(r.oid, true) END)
FROM relation AS r
-- A sequence of an identity column goes with the column.
WHERE NOT (r.relkind = 'S' AND EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = r.oid AND d.deptype = 'i'))

UNION ALL
SELECT 'column', t.name, CAST(a.attname AS text),
       jsonb_build_object(
           'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
           'not_null', a.attnotnull,
           'default', CASE a.attgenerated WHEN '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
           'generated', CASE a.attgenerated WHEN '' THEN NULL ELSE pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
           'identity', NULLIF(a.attidentity, ''),
           'collation', (SELECT CAST(c.collname AS text) FROM pg_catalog.pg_collation AS c
                         JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid
                         WHERE c.oid = a.attcollation AND a.attcollation <> y.typcollation))
FROM table_ AS t
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum

-- From PostgreSQL 18 on NOT NULL is a constraint as well (contype n); the column says so already.
UNION ALL
SELECT 'constraint', t.name, CAST(k.conname AS text),
       jsonb_build_object(
           'definition', regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
           'validated', k.convalidated,
           'enforced', NOT EXISTS (
               SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgconstraint = k.oid AND g.tgenabled <> 'O'))
FROM table_ AS t
JOIN pg_catalog.pg_constraint AS k ON k.conrelid = t.oid AND k.contype IN ('c', 'f', 'p', 'u', 'x')

UNION ALL
SELECT 'index', t.name, CAST(c.relname AS text),
       jsonb_build_object(
           'definition', pg_catalog.pg_get_indexdef(i.indexrelid, 0, true),
           'valid', i.indisvalid)
FROM table_ AS t
JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))

UNION ALL
SELECT 'policy', t.name, CAST(p.polname AS text),
       jsonb_build_object(
           'command', p.polcmd,
           'permissive', p.polpermissive,
           'roles', (SELECT string_agg(CASE r.id WHEN 0 THEN 'PUBLIC'
                         ELSE CAST(pg_catalog.pg_get_userbyid(r.id) AS text) END, ', ' ORDER BY r.id)
                     FROM pg_catalog.unnest(p.polroles) AS r (id)),
           'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
           'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
FROM table_ AS t
JOIN pg_catalog.pg_policy AS p ON p.polrelid = t.oid

UNION ALL
SELECT 'grant', r.name, x.grantee || ' ' || x.privilege, jsonb_build_object('grantable', x.is_grantable)
FROM relation AS r
CROSS JOIN LATERAL (
    SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC'
               ELSE CAST(pg_catalog.pg_get_userbyid(g.grantee) AS text) END AS grantee,
           g.privilege_type AS privilege, g.is_grantable
    FROM pg_catalog.aclexplode(r.relacl) AS g
    WHERE g.grantee <> r.relowner
) AS x

UNION ALL
SELECT 'column_grant', r.name, x.grantee || ' ' || x.privilege || ' ' || CAST(a.attname AS text),
       jsonb_build_object('grantable', x.is_grantable)
FROM relation AS r
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attacl IS NOT NULL
CROSS JOIN LATERAL (
    SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC'
               ELSE CAST(pg_catalog.pg_get_userbyid(g.grantee) AS text) END AS grantee,
           g.privilege_type AS privilege, g.is_grantable
    FROM pg_catalog.aclexplode(a.attacl) AS g
    WHERE g.grantee <> r.relowner
) AS x

UNION ALL
SELECT 'trigger', r.name, CAST(g.tgname AS text),
       jsonb_build_object('definition', pg_catalog.pg_get_triggerdef(g.oid, true), 'enabled', g.tgenabled)
FROM relation AS r
JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid AND NOT g.tgisinternal

UNION ALL
SELECT 'rule', r.name, CAST(w.rulename AS text),
       jsonb_build_object('definition', pg_catalog.pg_get_ruledef(w.oid, true))
FROM relation AS r
JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'

UNION ALL
SELECT 'routine', '', CAST(p.proname AS text) || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
       jsonb_build_object(
           'kind', p.prokind, 'owner', pg_catalog.pg_get_userbyid(p.proowner), 'definition',
           CASE WHEN p.prokind IN ('f', 'p', 'w') THEN pg_catalog.pg_get_functiondef(p.oid) END)
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = {schema}

UNION ALL
SELECT 'type', '', CAST(y.typname AS text),
       jsonb_build_object('kind', y.typtype, 'owner', pg_catalog.pg_get_userbyid(y.typowner))
FROM pg_catalog.pg_type AS y
JOIN pg_catalog.pg_namespace AS n ON n.oid = y.typnamespace
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = y.typrelid
WHERE n.nspname = {schema} AND y.typelem = 0 AND (y.typtype <> 'c' OR c.relkind = 'c') AND y.typtype <> 'm'

UNION ALL
SELECT 'statistics', '', CAST(s.stxname AS text),
       jsonb_build_object('definition', pg_catalog.pg_get_statisticsobjdef(s.oid))
FROM pg_catalog.pg_statistic_ext AS s
JOIN pg_catalog.pg_namespace AS n ON n.oid = s.stxnamespace
WHERE n.nspname = {schema}

UNION ALL
SELECT 'default_privileges', '',
       CAST(pg_catalog.pg_get_userbyid(d.defaclrole) AS text) || ' ' || CAST(d.defaclobjtype AS text),
       jsonb_build_object('rights', CAST(d.defaclacl AS text))
FROM pg_catalog.pg_default_acl AS d
JOIN pg_catalog.pg_namespace AS n ON n.oid = d.defaclnamespace
WHERE n.nspname = {schema}
