-- One row for each piece of code that the tables of some schemas call and that is neither PostgreSQL's, nor an
-- extension's, nor the system's own: it runs on the service's connections, and could change whom these serve.
-- $1: the schemas, parted by commas; NULL for those of all tenants.
WITH place AS (
    SELECT n.oid AS id, CAST(n.nspname AS text) AS name
    FROM pg_catalog.pg_namespace AS n
    WHERE CASE WHEN $1::text IS NULL
        THEN n.nspname IN (
            SELECT t.database_schema FROM public.tenants AS t WHERE t.status IN ('active', 'suspended', 'archived'))
        ELSE n.nspname = ANY (pg_catalog.string_to_array($1, ',')) END
),
-- What PostgreSQL is delivered with has smaller numbers, and nothing is said of what depends on it.
code (classid, id) AS (
    SELECT 'pg_catalog.pg_proc'::regclass, p.oid
    FROM pg_catalog.pg_proc AS p
    -- Both are held to their texts elsewhere.
    WHERE p.oid IS DISTINCT FROM pg_catalog.to_regprocedure('public.refuse_truncate()')
        AND p.oid IS DISTINCT FROM pg_catalog.to_regprocedure('public.tenant_id_of(text)')
    UNION ALL
    SELECT 'pg_catalog.pg_operator'::regclass, o.oid FROM pg_catalog.pg_operator AS o
    UNION ALL
    SELECT 'pg_catalog.pg_opclass'::regclass, c.oid FROM pg_catalog.pg_opclass AS c
    UNION ALL
    SELECT 'pg_catalog.pg_opfamily'::regclass, f.oid FROM pg_catalog.pg_opfamily AS f
    UNION ALL
    SELECT 'pg_catalog.pg_cast'::regclass, c.oid FROM pg_catalog.pg_cast AS c
    UNION ALL
    SELECT 'pg_catalog.pg_am'::regclass, a.oid FROM pg_catalog.pg_am AS a
    UNION ALL
    -- Values of these types go through functions of their own, or carry a CHECK.
    SELECT 'pg_catalog.pg_type'::regclass, y.oid
    FROM pg_catalog.pg_type AS y
    LEFT JOIN pg_catalog.pg_type AS e ON e.oid = y.typelem
    WHERE COALESCE(e.typtype, y.typtype) IN ('b', 'd', 'r', 'm')
        AND NOT (COALESCE(e.typtype, y.typtype) = 'd' AND y.typnamespace IN (SELECT p.id FROM place AS p))
),
planted AS (
    SELECT c.classid, c.id
    FROM code AS c
    WHERE c.id >= 16384
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend AS d
            WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
                AND d.classid = c.classid AND d.objid = c.id)
),
dependent AS (
    SELECT d.classid, d.objid, d.objsubid,
           pg_catalog.pg_describe_object(p.classid, p.id, 0) AS code
    FROM planted AS p
    -- One look into the index for each of the few, whatever is guessed about how many there are.
    CROSS JOIN LATERAL (
        SELECT x.classid, x.objid, x.objsubid
        FROM pg_catalog.pg_depend AS x
        WHERE x.refclassid = p.classid AND x.refobjid = p.id AND x.deptype <> 'e'
        OFFSET 0
    ) AS d
),
found (namespace, relation, gap, name, code) AS (
    SELECT c.relnamespace, CAST(c.relname AS text),
           CASE a.attgenerated WHEN '' THEN 'code_in_default' ELSE 'code_in_generated_column' END,
           CAST(a.attname AS text), d.code
    FROM dependent AS d
    JOIN pg_catalog.pg_attrdef AS x ON x.oid = d.objid
    JOIN pg_catalog.pg_class AS c ON c.oid = x.adrelid
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.adrelid AND a.attnum = x.adnum
    WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass
    UNION ALL
    SELECT COALESCE(c.relnamespace, y.typnamespace), CAST(c.relname AS text),
           CASE WHEN c.oid IS NULL THEN 'code_in_type' ELSE 'code_in_constraint' END,
           CAST(CASE WHEN c.oid IS NULL THEN y.typname ELSE k.conname END AS text), d.code
    FROM dependent AS d
    JOIN pg_catalog.pg_constraint AS k ON k.oid = d.objid
    LEFT JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
    LEFT JOIN pg_catalog.pg_type AS y ON y.oid = k.contypid
    WHERE d.classid = 'pg_catalog.pg_constraint'::regclass
    UNION ALL
    SELECT y.typnamespace, NULL, 'code_in_type', CAST(y.typname AS text), d.code
    FROM dependent AS d
    JOIN pg_catalog.pg_type AS y ON y.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_type'::regclass
    UNION ALL
    SELECT c.relnamespace, CAST(c.relname AS text), 'code_in_statistics', CAST(s.stxname AS text), d.code
    FROM dependent AS d
    JOIN pg_catalog.pg_statistic_ext AS s ON s.oid = d.objid
    JOIN pg_catalog.pg_class AS c ON c.oid = s.stxrelid
    WHERE d.classid = 'pg_catalog.pg_statistic_ext'::regclass
    UNION ALL
    -- Policies, triggers and rules of tables are named whatever they call.
    SELECT c.relnamespace, CAST(c.relname AS text), 'code_in_view', CAST(c.relname AS text), d.code
    FROM dependent AS d
    JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
    JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class AND c.relkind IN ('v', 'm')
    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass
    UNION ALL
    SELECT c.relnamespace, CAST(COALESCE(t.relname, c.relname) AS text),
           CASE WHEN t.oid IS NOT NULL THEN 'code_in_index' WHEN d.objsubid > 0 THEN 'code_in_column'
               ELSE 'code_in_table' END,
           CAST(COALESCE(a.attname, c.relname) AS text), d.code
    FROM dependent AS d
    JOIN pg_catalog.pg_class AS c ON c.oid = d.objid
    LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
    LEFT JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
    WHERE d.classid = 'pg_catalog.pg_class'::regclass
)

SELECT DISTINCT p.name AS schema, f.relation, f.gap, pg_catalog.format('%I calls %s', f.name, f.code) AS detail
FROM found AS f
JOIN place AS p ON p.id = f.namespace

-- What is found by the search path without being named.
UNION ALL
SELECT p.name, NULL, 'operator',
       pg_catalog.format('%I.%s (%s, %s)', p.name, o.oprname,
                         CASE o.oprleft WHEN 0 THEN 'NONE' ELSE pg_catalog.format_type(o.oprleft, NULL) END,
                         CASE o.oprright WHEN 0 THEN 'NONE' ELSE pg_catalog.format_type(o.oprright, NULL) END)
FROM place AS p
JOIN pg_catalog.pg_operator AS o ON o.oprnamespace = p.id
JOIN planted AS c ON c.classid = 'pg_catalog.pg_operator'::regclass AND c.id = o.oid

UNION ALL
SELECT p.name, NULL, 'operator_class',
       pg_catalog.format('%I.%I USING %I', p.name, o.opcname, a.amname)
FROM place AS p
JOIN pg_catalog.pg_opclass AS o ON o.opcnamespace = p.id
JOIN pg_catalog.pg_am AS a ON a.oid = o.opcmethod
JOIN planted AS c ON c.classid = 'pg_catalog.pg_opclass'::regclass AND c.id = o.oid

ORDER BY 1, 2, 3, 4
