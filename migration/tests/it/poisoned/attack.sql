-- What is tried on every table. %1$s: the table; %2$s and %3$s: columns and values of a row that it would take;
-- %4$L: the id of the tenant that it does not belong to; %5$s: the schema; %6$s: the table's bare name.
CREATE SCHEMA probe;
GRANT USAGE ON SCHEMA probe TO PUBLIC;

CREATE TABLE probe.kinds (kind text PRIMARY KEY, template text NOT NULL, needs text);
INSERT INTO probe.kinds VALUES
    ('select', 'SELECT 1 FROM %1$s', 'SELECT'),
    ('select for update', 'SELECT 1 FROM %1$s FOR UPDATE', 'UPDATE'),
    ('select in a cte', 'WITH x AS MATERIALIZED (SELECT * FROM %1$s) SELECT 1 FROM x', 'SELECT'),
    ('select by a function',
     'SELECT 1 FROM unnest(xpath(''/table/row'', query_to_xml(''SELECT 1 AS a FROM %1$s'', true, false, ''''))) AS r (x)',
     'SELECT'),
    ('insert', 'INSERT INTO %1$s (%2$s) VALUES (%3$s)', 'INSERT'),
    ('insert for the other', 'INSERT INTO %1$s (tenant_id, %2$s) VALUES (%4$L, %3$s)', NULL),
    ('update', 'UPDATE %1$s SET created_at = created_at', 'UPDATE'),
    ('update for the other', 'UPDATE %1$s SET tenant_id = %4$L', NULL),
    ('delete', 'DELETE FROM %1$s', 'DELETE'),
    ('delete in a cte', 'WITH x AS (DELETE FROM %1$s RETURNING 1) SELECT 1 FROM x', 'DELETE'),
    ('merge', 'MERGE INTO %1$s AS t USING (SELECT 1) AS s ON true WHEN MATCHED THEN UPDATE SET created_at = t.created_at',
     'UPDATE'),
    ('truncate', 'TRUNCATE %1$s CASCADE', NULL);
-- Once views have been put there by hand: one that reads as its reader, and one that reads as its owner.
CREATE TABLE probe.view_kinds (kind text PRIMARY KEY, template text NOT NULL, needs text);
INSERT INTO probe.view_kinds VALUES
    ('view', 'SELECT 1 FROM %5$s.probe_invoker_%6$s', NULL),
    ('update by a view', 'UPDATE %5$s.probe_invoker_%6$s SET created_at = created_at', NULL),
    ('delete by a view', 'DELETE FROM %5$s.probe_invoker_%6$s', NULL),
    ('view of the owner', 'SELECT 1 FROM %5$s.probe_owner_%6$s', NULL),
    -- A table that somebody has made the parent of the tenant's.
    ('parent', 'SELECT 1 FROM %5$s.probe_parent_%6$s', NULL);

CREATE TABLE probe.tables (
    name text PRIMARY KEY, columns text NOT NULL, row_values text NOT NULL, all_columns text NOT NULL
);
CREATE TABLE probe.tenants (number int PRIMARY KEY, id uuid NOT NULL, schema text NOT NULL);
GRANT SELECT ON ALL TABLES IN SCHEMA probe TO PUBLIC;

-- Who is asked, as whom, with which path and setting, and whose tables.
CREATE TYPE probe.state AS (role text, path text, setting text, target text, other uuid);

CREATE FUNCTION probe.poison(p_state probe.state) RETURNS void LANGUAGE plpgsql AS $fn$
BEGIN
    RESET ROLE;
    EXECUTE pg_catalog.format('SET search_path TO %I, pg_temp', p_state.path);
    IF p_state.setting IS NULL THEN
        RESET app.current_tenant;
    ELSE
        EXECUTE pg_catalog.format('SET app.current_tenant TO %L', p_state.setting);
    END IF;
    EXECUTE pg_catalog.format('SET ROLE %s',
        CASE p_state.role WHEN 'none' THEN 'NONE' ELSE pg_catalog.quote_ident(p_state.role) END);
END
$fn$;

-- Tries everything in one state. What reaches a row, or fails for a reason that is no fence's, is told.
CREATE FUNCTION probe.attack(
    p_state probe.state, p_views boolean, OUT tried bigint, OUT ends text[], OUT reached text[]
) LANGUAGE plpgsql AS $fn$
DECLARE
    v_try record;
    v_bare boolean;
    v_rows bigint;
    v_code text;
    v_codes text[] := '{}';
BEGIN
    tried := 0;
    reached := '{}';
    PERFORM probe.poison(p_state);
    -- The table with its schema always, and by its bare name when the path would lead there.
    FOR v_try IN
        SELECT t.name, k.kind, q.qualified,
               pg_catalog.format(k.template,
                   CASE WHEN q.qualified THEN pg_catalog.format('%I.%I', p_state.target, t.name)
                        ELSE pg_catalog.quote_ident(t.name) END,
                   t.columns, t.row_values, p_state.other, p_state.target, t.name) AS statement
        FROM probe.tables AS t
        CROSS JOIN (SELECT * FROM probe.kinds UNION ALL SELECT * FROM probe.view_kinds WHERE p_views) AS k
        CROSS JOIN (VALUES (true), (false)) AS q (qualified)
        WHERE q.qualified OR (p_state.path = p_state.target AND k.kind IN ('select', 'insert', 'delete'))
    LOOP
        tried := tried + 1;
        BEGIN
            EXECUTE v_try.statement;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            v_code := CASE WHEN v_rows = 0 AND v_try.kind <> 'truncate' THEN '0 rows' ELSE 'reached' END;
            IF v_code = 'reached' THEN
                reached := reached || pg_catalog.format('%s: %s rows by %s', v_try.name, v_rows, v_try.statement);
                RAISE EXCEPTION USING ERRCODE = 'ZZ000';
            END IF;
        EXCEPTION WHEN OTHERS THEN
            -- Denied, hidden behind a schema that the path skips, refused by the tenant's CHECK.
            v_code := SQLSTATE;
            IF SQLSTATE NOT IN ('42501', '42P01', '23514', 'ZZ000')
                OR SQLSTATE = '23514' AND SQLERRM NOT LIKE '%\_\_tenant"'
            THEN
                reached := reached || pg_catalog.format('%s: %s %s by %s', v_try.name, SQLSTATE, SQLERRM, v_try.statement);
            END IF;
        END;
        v_codes := v_codes || v_code;
    END LOOP;
    RESET ROLE;
    SELECT pg_catalog.array_agg(pg_catalog.format('%s:%s', x.code, x.n)) INTO ends
    FROM (SELECT code, count(*) AS n FROM pg_catalog.unnest(v_codes) AS c (code) GROUP BY code) AS x;
END
$fn$;

-- The same with everything right: every kind that the role has the right to reaches each table, and none is kept.
CREATE FUNCTION probe.control(p_state probe.state, OUT reached bigint, OUT stopped text[]) LANGUAGE plpgsql AS $fn$
DECLARE
    v_try record;
    v_rows bigint;
BEGIN
    reached := 0;
    stopped := '{}';
    PERFORM probe.poison(p_state);
    FOR v_try IN
        SELECT t.name, k.kind,
               pg_catalog.format(k.template, pg_catalog.quote_ident(t.name), t.columns, t.row_values, p_state.other,
                                 p_state.target, t.name) AS statement
        FROM probe.tables AS t
        CROSS JOIN probe.kinds AS k
        WHERE k.needs IS NOT NULL
            AND pg_catalog.has_table_privilege(pg_catalog.format('%I.%I', p_state.target, t.name), k.needs)
    LOOP
        BEGIN
            EXECUTE v_try.statement;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            RAISE EXCEPTION USING ERRCODE = 'ZZ000';
        EXCEPTION
            -- A row that another refers to was found, and is kept by the foreign key; a table of one row takes no second
            -- one, which it says after all fences.
            WHEN foreign_key_violation OR unique_violation THEN reached := reached + 1;
            WHEN SQLSTATE 'ZZ000' THEN
                IF v_rows > 0 THEN
                    reached := reached + 1;
                ELSE
                    stopped := stopped || pg_catalog.format('0 rows by %s', v_try.statement);
                END IF;
            WHEN OTHERS THEN
                stopped := stopped || pg_catalog.format('%s %s by %s', SQLSTATE, SQLERRM, v_try.statement);
        END;
    END LOOP;
    RESET ROLE;
END
$fn$;

-- A digest of every row of every table of every tenant.
CREATE FUNCTION probe.digest() RETURNS TABLE (place text, row_count bigint, digest numeric) LANGUAGE plpgsql AS $fn$
DECLARE
    v_place record;
BEGIN
    FOR v_place IN SELECT s.schema, t.name FROM probe.tenants AS s CROSS JOIN probe.tables AS t ORDER BY 1, 2 LOOP
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT %L, count(*), sum(hashtextextended(CAST(x AS text), 0)::numeric) FROM %I.%I AS x',
            v_place.schema || '.' || v_place.name, v_place.schema, v_place.name);
    END LOOP;
END
$fn$;

-- What a superuser, whom no right and no policy stops, puts into a tenant's tables by mistake: another tenant's rows.
CREATE FUNCTION probe.misplace(
    p_target text, p_source text, p_other uuid, OUT tried bigint, OUT reached text[]
) LANGUAGE plpgsql AS $fn$
DECLARE
    v_try record;
    v_constraint text;
BEGIN
    tried := 0;
    reached := '{}';
    FOR v_try IN
        SELECT t.name,
               pg_catalog.format(k.template, p_target, t.name, t.columns, t.row_values, p_other, p_source, t.all_columns)
                   AS statement
        FROM probe.tables AS t
        CROSS JOIN (VALUES
            ('INSERT INTO %1$I.%2$I (tenant_id, %3$s) VALUES (%5$L, %4$s)'),
            ('INSERT INTO %1$I.%2$I (tenant_id, %7$s) SELECT tenant_id, %7$s FROM %6$I.%2$I'),
            ('UPDATE %1$I.%2$I SET tenant_id = %5$L')
        ) AS k (template)
    LOOP
        tried := tried + 1;
        BEGIN
            EXECUTE v_try.statement;
            reached := reached || pg_catalog.format('taken: %s', v_try.statement);
            RAISE EXCEPTION USING ERRCODE = 'ZZ000';
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_constraint = CONSTRAINT_NAME;
            IF SQLSTATE <> 'ZZ000'
                AND (SQLSTATE <> '23514' OR v_constraint <> pg_catalog.format('ck_%s__tenant', v_try.name))
            THEN
                reached := reached || pg_catalog.format('%s %s by %s', SQLSTATE, SQLERRM, v_try.statement);
            END IF;
        END;
    END LOOP;
END
$fn$;
