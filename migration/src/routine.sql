-- One row for each gap in the functions of `public` and `provisioning`.
-- $1 to $7: the owner, provisioner, migrator, application, backup, control and registrar roles; $8: the texts between
-- the functions' quotes, each as schema, name and text.
WITH wanted (schema, name, arguments, result, volatility, strict, owner, definer, grantees) AS (
    VALUES ('public', 'create_tenant_schema', 'p_tenant_id character varying, p_schema_name character varying', 'void',
            'v', false, $7::text, true, ARRAY[$1::text, $3, $6]),
           ('public', 'change_tenant_status',
            'p_tenant_id character varying, p_schema_name character varying, p_status text, p_now timestamp with time zone',
            'void', 'v', false, $7, true, ARRAY[$1, $3, $6]),
           ('public', 'end_tenant_transactions', 'p_tenant_id character varying, p_schema_name character varying',
            'integer', 'v', false, $7, true, ARRAY[$1, $3, $6]),
           ('public', 'drop_tenant_schema', 'p_tenant_id character varying, p_schema_name character varying', 'void',
            'v', false, $7, true, ARRAY[$1, $3, $6]),
           ('public', 'set_current_tenant', 'p_tenant_id uuid', 'void', 'v', true, $1, true, ARRAY[$3, $4, $5, $6]),
           ('public', 'tenant_id_of', 'p_role text', 'uuid', 's', true, $1, true, ARRAY['PUBLIC']),
           ('public', 'tenant_audit_logs',
            'p_patient_id uuid, p_actor_id uuid, p_action text, p_entity text, p_entity_id uuid, '
            'p_from timestamp with time zone, p_to timestamp with time zone, p_after_at timestamp with time zone, '
            'p_after_id uuid, p_limit integer',
            'TABLE(id uuid, recorded_at timestamp with time zone, actor_kind text, actor_id uuid, actor_job text, '
            'session_id uuid, break_glass_id uuid, action text, entity text, entity_id uuid, patient_id uuid, '
            'patient_ids uuid[], request_id uuid, source_address text, before jsonb, after jsonb)',
            's', false, $1, true, ARRAY['PUBLIC']),
           ('public', 'destroy_tenant_key', 'p_tenant_id uuid, p_version integer', 'boolean', 'v', false, $1, true,
            ARRAY[$6]),
           ('public', 'refuse_truncate', '', 'trigger', 'v', false, $1, false, CAST('{}' AS text[])),
           ('provisioning', 'check_name', 'p_schema_name character varying', 'void', 'v', false, $2, false, ARRAY[$7]),
           ('provisioning', 'make_tenant', 'p_schema_name character varying', 'void', 'v', false, $2, true, ARRAY[$7]),
           ('provisioning', 'fence_tenant', 'p_schema_name character varying, p_fenced boolean', 'void', 'v', false,
            $2, true, ARRAY[$7]),
           ('provisioning', 'end_transactions', 'p_schema_name character varying', 'integer', 'v', false, $2, true,
            ARRAY[$7]),
           ('provisioning', 'drop_tenant', 'p_schema_name character varying', 'void', 'v', false, $2, true, ARRAY[$7]),
           ('provisioning', 'lock_tenant',
            'p_tenant_id character varying, p_schema_name character varying, p_statuses text[]', 'void', 'v', false,
            $7, false, CAST('{}' AS text[]))
),
source AS (
    SELECT s.texts ->> 0 AS schema, s.texts ->> 1 AS name, s.texts ->> 2 AS text
    FROM pg_catalog.jsonb_array_elements($8::jsonb) AS s (texts)
),
routine AS (
    SELECT CAST(n.nspname AS text) AS schema, CAST(p.proname AS text) AS name,
           pg_catalog.pg_get_function_arguments(p.oid) AS arguments,
           pg_catalog.pg_get_function_result(p.oid) AS result,
           pg_catalog.pg_get_function_identity_arguments(p.oid) AS identity,
           CAST(p.provolatile AS text) AS volatility, p.proisstrict AS strict, p.proleakproof AS leakproof,
           p.prosecdef AS definer, p.proconfig AS settings, p.prosrc AS text, CAST(l.lanname AS text) AS language,
           p.proowner, CAST(pg_catalog.pg_get_userbyid(p.proowner) AS text) AS owner,
           COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner)) AS acl
    FROM pg_catalog.pg_proc AS p
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
    WHERE n.nspname IN ('public', 'provisioning')
)

-- Whoever may replace a function decides what it does with its owner's rights: its text counts as much as its owner.
SELECT w.schema, w.name AS relation, 'provisioning_function' AS gap, CAST(NULL AS text) AS detail
FROM wanted AS w
WHERE NOT EXISTS (
    SELECT FROM routine AS p
    JOIN source AS s ON s.schema = p.schema AND s.name = p.name AND s.text = p.text
    WHERE p.schema = w.schema AND p.name = w.name AND p.arguments = w.arguments AND p.result = w.result
        AND p.owner = w.owner AND p.definer = w.definer AND p.language = 'plpgsql' AND NOT p.leakproof
        AND p.volatility = w.volatility AND p.strict = w.strict
        AND p.settings = ARRAY['search_path=pg_catalog, pg_temp'])

UNION ALL
SELECT p.schema, p.name, 'function', p.identity
FROM routine AS p
WHERE NOT EXISTS (
    SELECT FROM wanted AS w
    WHERE w.schema = p.schema AND w.name = p.name AND w.arguments = p.arguments AND w.result = p.result)

UNION ALL
SELECT p.schema, p.name, 'function_grant', g.grantee
FROM wanted AS w
JOIN routine AS p ON p.schema = w.schema AND p.name = w.name
CROSS JOIN LATERAL (
    SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(pg_catalog.pg_get_userbyid(x.grantee) AS text) END AS grantee,
           x.is_grantable
    FROM pg_catalog.aclexplode(p.acl) AS x
    WHERE x.grantee <> p.proowner
) AS g
WHERE g.is_grantable OR g.grantee <> ALL (w.grantees)
