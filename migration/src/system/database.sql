-- The rights on the database itself: a copy of a database, and a restored one, has to be given them anew.
DO $do$
DECLARE
    v_database CONSTANT text := pg_catalog.current_database();
    v_grantee text;
BEGIN
    EXECUTE pg_catalog.format('REVOKE ALL ON DATABASE %I FROM PUBLIC', v_database);
    FOREACH v_grantee IN ARRAY
        ARRAY['{owner}', '{provisioner}', '{registrar}', '{migrator}', '{app}', '{backup}', '{control}']
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON DATABASE %I FROM %I CASCADE', v_database, v_grantee);
    END LOOP;
    -- A tenant's role has no right to a database.
    FOR v_grantee IN
        SELECT DISTINCT CAST(r.rolname AS text)
        FROM pg_catalog.pg_database AS d
        CROSS JOIN LATERAL pg_catalog.aclexplode(d.datacl) AS g
        JOIN pg_catalog.pg_roles AS r ON r.oid = g.grantee
        JOIN pg_catalog.pg_auth_members AS m ON m.roleid = r.oid
        WHERE d.datname = v_database AND r.rolname LIKE 'tenant\_%'
            AND pg_catalog.pg_get_userbyid(m.member) = '{app}'
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON DATABASE %I FROM %I CASCADE', v_database, v_grantee);
    END LOOP;
    EXECUTE pg_catalog.format(
        'GRANT CONNECT ON DATABASE %I TO "{owner}", "{migrator}", "{app}", "{backup}", "{control}"', v_database);
    EXECUTE pg_catalog.format('GRANT CREATE ON DATABASE %I TO "{provisioner}"', v_database);
END
$do$;
