//! Each fence holds on every tenant's table when the others are torn down.

use clinicx_migration::system::SystemRole;
use clinicx_testing::TestTenant;
use sqlx::{Connection, Executor, PgConnection};

/// Every table of a tenant, with the names and casts that copy a row of it.
async fn tables(connection: &mut PgConnection, schema: &str) -> Vec<String> {
    sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1")
        .bind(schema)
        .fetch_all(connection)
        .await
        .unwrap()
}

async fn count(connection: &mut PgConnection, schema: &str, table: &str) -> Result<i64, String> {
    let statement = format!("SELECT count(*) FROM \"{schema}\".\"{table}\"");
    sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
}

/// Fills every table with one row that satisfies nothing but the columns' types: the rules are taken away first.
async fn fill(connection: &mut PgConnection, schema: &str, tables: &[String]) {
    connection.execute("SET session_replication_role TO replica").await.unwrap();
    for table in tables {
        let script = format!(
            "DO $do$
             DECLARE c record; cols text := ''; vals text := '';
             BEGIN
                 -- What begins with a row may have no place for another.
                 EXECUTE 'SELECT 1 AS one FROM \"{schema}\".\"{table}\" LIMIT 1' INTO c;
                 IF c IS NOT NULL THEN RETURN; END IF;
                 FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = '\"{schema}\".\"{table}\"'::regclass
                     AND contype IN ('c', 'x') AND conname <> 'ck_{table}__tenant'
                 LOOP EXECUTE format('ALTER TABLE \"{schema}\".\"{table}\" DROP CONSTRAINT %I', c.conname); END LOOP;
                 FOR c IN SELECT attname, atttypid, format_type(atttypid, atttypmod) AS t FROM pg_attribute
                     WHERE attrelid = '\"{schema}\".\"{table}\"'::regclass AND attnum > 0 AND NOT attisdropped
                         AND attnotnull AND NOT atthasdef AND attgenerated = ''
                 LOOP
                     cols := cols || format(', %I', c.attname);
                     vals := vals || ', ' || CASE
                         WHEN c.t = 'uuid' THEN 'gen_random_uuid()'
                         WHEN c.t LIKE 'timestamp%' OR c.t = 'date' THEN 'now()'
                         WHEN c.t LIKE 'time%' THEN '''09:00'''
                         WHEN c.t = 'jsonb' THEN '''{{}}'''
                         WHEN c.t = 'bytea' THEN '''x'''
                         WHEN c.t = 'boolean' THEN 'true'
                         WHEN c.t LIKE '%range' THEN '''empty'''
                         WHEN c.t LIKE '%[]' THEN '''{{}}'''
                         WHEN c.t ~ 'int|numeric' THEN '1'
                         ELSE '''x''' END || '::' || c.t;
                 END LOOP;
                 EXECUTE 'INSERT INTO \"{schema}\".\"{table}\" (' || substr(cols, 3) || ') VALUES (' || substr(vals, 3) || ')';
             END $do$"
        );
        connection
            .execute(sqlx::AssertSqlSafe(script))
            .await
            .unwrap_or_else(|error| panic!("{table}: {error:?}"));
    }
    connection.execute("SET session_replication_role TO origin").await.unwrap();
}

#[tokio::test]
async fn four_fences_hold_on_every_table() {
    let mine = TestTenant::create().await;
    let theirs = mine.another().await;
    let (schema, target) = (mine.tenant.database_schema.as_str(), theirs.tenant.database_schema.as_str());
    let mut superuser = mine.database.superuser().await;
    let tables = tables(&mut superuser, target).await;
    assert!(tables.len() > 20, "{tables:?}");
    fill(&mut superuser, target, &tables).await;
    for table in &tables {
        assert!(count(&mut superuser, target, table).await.unwrap() > 0, "{table} has a row");
    }

    grants_hold(&mine, schema, target, &tables).await;
    row_security_holds(&mine, &theirs, schema, target, &tables).await;
    checks_hold(&mut superuser, &mine, target, &tables).await;
}

/// A login without a tenant's role, and one with another tenant's, read nothing whatever the path and setting say.
async fn grants_hold(mine: &TestTenant, schema: &str, target: &str, tables: &[String]) {
    let mut app = mine.database.login(SystemRole::App).await;
    for role in ["NONE", schema] {
        app.execute(sqlx::AssertSqlSafe(format!(
            "SET ROLE {role}; SET search_path TO {target}; SET app.current_tenant TO '{}'",
            mine.tenant.id
        )))
        .await
        .unwrap();
        for table in tables {
            assert_eq!(count(&mut app, target, table).await, Err("42501".to_owned()), "{role} {table}");
            let bare = format!("SELECT 1 FROM \"{table}\"");
            let error = app.execute(sqlx::AssertSqlSafe(bare)).await.unwrap_err();
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            // A schema without USAGE is skipped, so that the table is not there at all.
            assert_eq!(code, "42P01", "{role} {table}");
        }
    }
}

/// The right role, and even the owner, see no row unless the setting names the schema's tenant, and add none.
async fn row_security_holds(
    mine: &TestTenant,
    theirs: &TestTenant,
    schema: &str,
    target: &str,
    tables: &[String],
) {
    for (login, role) in [(SystemRole::App, target), (SystemRole::Migrator, "clinicx_owner")] {
        let mut connection = mine.database.login(login).await;
        connection.execute(sqlx::AssertSqlSafe(format!("SET ROLE {role}"))).await.unwrap();
        for setting in [String::new(), mine.tenant.id.to_string(), "x".to_owned(), schema.to_owned()] {
            connection
                .execute(sqlx::AssertSqlSafe(format!("SET app.current_tenant TO '{setting}'")))
                .await
                .unwrap();
            for table in tables {
                assert_eq!(count(&mut connection, target, table).await, Ok(0), "{role} {setting} {table}");
            }
        }
        connection.execute("RESET app.current_tenant").await.unwrap();
        for table in tables {
            assert_eq!(count(&mut connection, target, table).await, Ok(0), "{role} {table}");
        }
        // What the policy lets nobody see it lets nobody add either.
        let insert = format!(
            "INSERT INTO {target}.outbox (id, event_type, aggregate, aggregate_id, payload) \
             VALUES (gen_random_uuid(), 'x', 'x', gen_random_uuid(), '{{}}')"
        );
        let error = connection.execute(sqlx::AssertSqlSafe(insert)).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{role}");
        let own = format!("SET app.current_tenant TO '{}'", theirs.tenant.id);
        connection.execute(sqlx::AssertSqlSafe(own)).await.unwrap();
        for table in tables {
            assert!(count(&mut connection, target, table).await.unwrap() > 0, "{role} {table}");
        }
        connection.close().await.unwrap();
    }
}

/// Not even a superuser, whom no grant and no policy stops, puts another tenant's row into a table.
async fn checks_hold(superuser: &mut PgConnection, mine: &TestTenant, target: &str, tables: &[String]) {
    for table in tables {
        let update = format!("UPDATE \"{target}\".\"{table}\" SET tenant_id = '{}'", mine.tenant.id);
        let error = superuser.execute(sqlx::AssertSqlSafe(update)).await.unwrap_err();
        let error = error.as_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("23514"), "{table}");
        assert_eq!(error.constraint(), Some(format!("ck_{table}__tenant").as_str()), "{table}");
    }
}
