//! Writes a migration down as SQL for one tenant, with the fences around every table.

use clinicx_types::{
    id::TenantId,
    name::{SchemaName, TenantRole},
    sabotage::{Bug, planted},
};
use sea_orm::sea_query::{
    Alias, ColumnDef, Expr, ForeignKeyCreateStatement, Iden, IndexCreateStatement, IntoIden,
    PostgresQueryBuilder, SchemaStatementBuilder, TableCreateStatement,
};

use super::outside::{Backfill, ConcurrentIndex, Outside};

/// The schema in which shared extensions live; an operator class of theirs is named with it.
pub const EXTENSION_SCHEMA: &str = "extensions";

/// For whom a script is written.
#[derive(Clone, Debug)]
pub struct ScriptTarget {
    /// The tenant; a constant in each policy and check.
    pub tenant_id: TenantId,
    /// Its schema; the script runs with it as the only search path.
    pub schema: SchemaName,
    /// Its role; `None` on a cluster without a role per tenant.
    pub role: Option<TenantRole>,
}

/// What the tenant's role may do with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// SELECT, INSERT, UPDATE, DELETE.
    ReadWrite,
    /// SELECT, INSERT: history that is never changed. Even a defect of the program can't rewrite it.
    AppendOnly,
    /// SELECT: what migrations alone write.
    ReadOnly,
}

/// The SQL statements of one migration for one tenant.
pub struct Script {
    target: ScriptTarget,
    statements: Vec<String>,
    outside: Vec<Outside>,
    contracts: Option<&'static str>,
}

impl Script {
    /// Begins a script.
    pub fn new(target: ScriptTarget) -> Self {
        Self { target, statements: Vec::new(), outside: Vec::new(), contracts: None }
    }

    /// Creates a table whose rows have `id`, `tenant_id`, `version`, `created_at`, `updated_at` and the given
    /// columns, and puts it behind the fences: CHECK, forced row-level security, grants.
    pub fn create_table(&mut self, table: TableCreateStatement) {
        self.fenced_table(table, Access::ReadWrite, true);
    }

    /// Creates a table of rows that are only ever added: `id`, `tenant_id`, `created_at` and the given columns.
    pub fn create_append_only_table(&mut self, table: TableCreateStatement) {
        self.fenced_table(table, Access::AppendOnly, false);
    }

    /// Creates a table that migrations alone write: `id`, `tenant_id`, `created_at` and the given columns.
    pub fn create_read_only_table(&mut self, table: TableCreateStatement) {
        self.fenced_table(table, Access::ReadOnly, false);
    }

    /// Returns for whom the script is written.
    pub fn target(&self) -> &ScriptTarget {
        &self.target
    }

    /// Adds an index to a table that is in use, without holding up its writers. It is the only step of its migration.
    pub fn create_index_concurrently(&mut self, index: ConcurrentIndex) {
        self.step_outside(Outside::Index(index));
    }

    /// Gives rows that are there a value, by batches. It is the only step of its migration.
    pub fn backfill(&mut self, backfill: Backfill) {
        self.step_outside(Outside::Backfill(backfill));
    }

    /// Says that this migration takes away what programs before this one need, and why that is safe by now: the
    /// contracting half of expand and contract. Changes nothing of what is written.
    pub fn contract(&mut self, why: &'static str) {
        self.contracts = Some(why);
    }

    /// Returns the step outside of transactions, when there is one.
    pub fn outside(&self) -> Option<Outside> {
        self.outside.first().copied()
    }

    /// Tells whether a step outside of transactions is not alone.
    pub fn is_mixed(&self) -> bool {
        !self.outside.is_empty() && self.statements.len() > 1
    }

    /// Returns why it may take away what older programs need, when it does.
    pub fn contracts(&self) -> Option<&'static str> {
        self.contracts
    }

    /// Adds an index.
    pub fn create_index(&mut self, index: &IndexCreateStatement) {
        self.statements.push(index.to_string(PostgresQueryBuilder));
    }

    /// Adds a foreign key (`fk_…`, ON DELETE RESTRICT is for the caller to say).
    pub fn create_foreign_key(&mut self, key: &ForeignKeyCreateStatement) {
        self.statements.push(key.to_string(PostgresQueryBuilder));
    }

    /// Adds a named constraint that SeaQuery cannot write, such as `CHECK (…)` or `EXCLUDE USING gist (…)`.
    pub fn add_constraint(&mut self, table: &'static str, name: &'static str, body: &'static str) {
        self.statements.push(format!("ALTER TABLE \"{table}\" ADD CONSTRAINT \"{name}\" {body}"));
    }

    /// Adds a statement as it stands. It must name no schema, and it must not create a table.
    pub fn sql(&mut self, statement: &'static str) {
        self.statements.push(statement.to_owned());
    }

    /// Adds a statement of SeaQuery's.
    pub fn statement<S: SchemaStatementBuilder>(&mut self, statement: &S) {
        self.statements.push(statement.to_string(PostgresQueryBuilder));
    }

    /// Returns the statements in their order.
    pub fn into_statements(self) -> Vec<String> {
        self.statements
    }

    fn step_outside(&mut self, step: Outside) {
        self.statements.push(step.plain());
        self.outside.push(step);
    }

    fn fenced_table(&mut self, mut table: TableCreateStatement, access: Access, mutable: bool) {
        let Some(name) = table.get_table_name().map(|name| name.sea_orm_table().to_string()) else {
            return;
        };
        let id = self.target.tenant_id;
        table.col(ColumnDef::new(Alias::new("id")).uuid().not_null().primary_key());
        table.col(
            ColumnDef::new(Alias::new("tenant_id"))
                .uuid()
                .not_null()
                .default(Expr::cust(format!("'{id}'::uuid"))),
        );
        if mutable {
            table.col(ColumnDef::new(Alias::new("version")).big_integer().not_null().default(1));
        }
        for column in if mutable { &["created_at", "updated_at"][..] } else { &["created_at"][..] } {
            table.col(
                ColumnDef::new(Alias::new(*column))
                    .timestamp_with_time_zone()
                    .not_null()
                    .default(Expr::cust("now()")),
            );
        }
        self.statements.push(table.to_string(PostgresQueryBuilder));
        self.fence(&name, access);
    }

    /// The CHECK, the forced policy and the grants of one table.
    fn fence(&mut self, table: &str, access: Access) {
        let id = self.target.tenant_id;
        // COALESCE keeps the planner's estimate at all rows; a plain comparison is estimated at 0.5 % of them.
        let mine = format!("COALESCE(current_setting('app.current_tenant', true) = '{id}', false)");
        self.statements.extend([
            format!("ALTER TABLE \"{table}\" ADD CONSTRAINT \"ck_{table}__tenant\" CHECK (tenant_id = '{id}'::uuid)"),
            format!("ALTER TABLE \"{table}\" ENABLE ROW LEVEL SECURITY"),
            format!("ALTER TABLE \"{table}\" FORCE ROW LEVEL SECURITY"),
            format!("CREATE POLICY tenant_isolation ON \"{table}\" USING ({mine}) WITH CHECK ({mine})"),
        ]);
        if planted(Bug::RowSecurityNotForced) {
            self.statements.retain(|statement| !statement.contains("FORCE ROW LEVEL SECURITY"));
        }
        if let Some(role) = &self.target.role {
            let rights = match access {
                Access::ReadWrite => "SELECT, INSERT, UPDATE, DELETE",
                Access::AppendOnly => "SELECT, INSERT",
                Access::ReadOnly => "SELECT",
            };
            self.statements.push(format!("GRANT {rights} ON \"{table}\" TO {}", role.quoted()));
        }
    }
}

/// Begins the definition of a column.
pub fn col(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

/// Makes a name known to SeaQuery.
pub fn name(text: &'static str) -> impl IntoIden + Iden {
    Alias::new(text)
}
