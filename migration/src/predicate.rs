//! What a whole fence is, said once: for the check that looks for gaps, and for the script that closes them.
//!
//! What one of them took for whole and the other did not would be a gap that the command named for it leaves open.

/// The expressions that stand for a tenant where a predicate is used.
pub(crate) struct Terms {
    /// Its id, as a `uuid` or a text.
    pub(crate) id: &'static str,
    /// The name of its role.
    pub(crate) role: &'static str,
    /// The name of the owner role.
    pub(crate) owner: &'static str,
}

/// Whether the column `a` with its default `d` is the one that says whose a row is.
const IS_TENANT_ID: &str = "\
(a.attname = 'tenant_id' AND a.attnotnull AND a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype
    AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) = pg_catalog.format('%L::uuid', {id}))";

/// Whether the constraint `k` is the CHECK on it.
const IS_CHECK: &str = "\
(k.contype = 'c' AND k.convalidated
    AND pg_catalog.pg_get_constraintdef(k.oid) = pg_catalog.format('CHECK ((tenant_id = %L::uuid))', {id}))";

/// Whether the policy `p` is the one that isolates the tenant, as PostgreSQL writes it.
const IS_POLICY: &str = "\
(p.polname = 'tenant_isolation' AND p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}'
    AND (SELECT pg_catalog.pg_get_expr(p.polqual, p.polrelid) = e.rule
                AND pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) = e.rule
         FROM (SELECT pg_catalog.format(
             'COALESCE(((current_setting(''app.current_tenant''::text, true) = %L::text) '
             'AND (CURRENT_USER = ANY (ARRAY[%L::name, %L::name]))), false)', {id}, {role}, {owner}) AS rule) AS e))";

/// Whether the trigger `g` refuses every TRUNCATE: before it (34), for each statement, in any state.
const IS_GUARD: &str = "\
(NOT g.tgisinternal AND g.tgfoid = pg_catalog.to_regprocedure('public.refuse_truncate()') AND g.tgtype = 34
    AND g.tgenabled = 'O' AND g.tgqual IS NULL)";

/// What the tenant's role may do with the relation `c`: rows that change have a version, others are only ever added,
/// and migrations alone write the ledger.
const RIGHTS: &str = "\
CAST(CASE
    WHEN c.relkind NOT IN ('r', 'p') THEN '{SELECT,USAGE}'
    WHEN c.relname = 'schema_migrations' THEN '{SELECT}'
    WHEN EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS v
        WHERE v.attrelid = c.oid AND v.attname = 'version' AND NOT v.attisdropped)
    THEN '{SELECT,INSERT,UPDATE,DELETE}'
    ELSE '{SELECT,INSERT}'
END AS text[])";

/// Puts the predicates in the place of their marks.
pub(crate) fn fill(sql: &str, terms: &Terms) -> String {
    let predicates = [
        ("{is_tenant_id}", IS_TENANT_ID),
        ("{is_check}", IS_CHECK),
        ("{is_policy}", IS_POLICY),
        ("{is_guard}", IS_GUARD),
        ("{rights}", RIGHTS),
    ];
    predicates.into_iter().fold(sql.to_owned(), |sql, (mark, predicate)| {
        let predicate =
            predicate.replace("{id}", terms.id).replace("{role}", terms.role).replace("{owner}", terms.owner);
        sql.replace(mark, &predicate)
    })
}
