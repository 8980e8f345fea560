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
    EXECUTE pg_catalog.format(
        'GRANT CONNECT ON DATABASE %I TO "{owner}", "{migrator}", "{app}", "{backup}", "{control}"', v_database);
    EXECUTE pg_catalog.format('GRANT CREATE ON DATABASE %I TO "{provisioner}"', v_database);
END
$do$;
