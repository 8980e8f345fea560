//! Writes a migration of the system schema down as SQL, with the names of the roles that it grants to.

use sea_orm::sea_query::{
    ForeignKeyCreateStatement, IndexCreateStatement, PostgresQueryBuilder, TableCreateStatement,
};

use super::roles::{RoleNames, SystemRole};

/// The SQL statements of one migration of the schema `public`, which is the search path while they run.
pub struct SystemScript<'a> {
    roles: &'a RoleNames,
    statements: Vec<String>,
}

impl<'a> SystemScript<'a> {
    /// Begins a script.
    pub fn new(roles: &'a RoleNames) -> Self {
        Self { roles, statements: Vec::new() }
    }

    /// Creates a table. Nobody but its owner may use it before [`SystemScript::grant`] says so.
    pub fn create_table(&mut self, table: &TableCreateStatement) {
        self.statements.push(table.to_string(PostgresQueryBuilder));
    }

    /// Adds an index.
    pub fn create_index(&mut self, index: &IndexCreateStatement) {
        self.statements.push(index.to_string(PostgresQueryBuilder));
    }

    /// Adds a foreign key.
    pub fn create_foreign_key(&mut self, key: &ForeignKeyCreateStatement) {
        self.statements.push(key.to_string(PostgresQueryBuilder));
    }

    /// Adds a named constraint that SeaQuery cannot write, such as `CHECK (…)`.
    pub fn add_constraint(&mut self, table: &'static str, name: &'static str, body: &'static str) {
        self.statements.push(format!("ALTER TABLE \"{table}\" ADD CONSTRAINT \"{name}\" {body}"));
    }

    /// Grants rights on a table or on some of its columns: `grant("SELECT, INSERT (a, b)", "users", …)`.
    pub fn grant(&mut self, rights: &'static str, table: &'static str, to: &[SystemRole]) {
        for role in to {
            let role = self.roles.of(*role).quoted();
            self.statements.push(format!("GRANT {rights} ON TABLE \"{table}\" TO {role}"));
        }
    }

    /// Takes rights on a table back, from all its columns.
    pub fn revoke(&mut self, rights: &'static str, table: &'static str, from: &[SystemRole]) {
        for role in from {
            let role = self.roles.of(*role).quoted();
            self.statements.push(format!("REVOKE {rights} ON TABLE \"{table}\" FROM {role}"));
        }
    }

    /// Grants the execution of a function, named with its argument types; nobody has it by default.
    pub fn grant_execute(&mut self, function: &'static str, to: &[SystemRole]) {
        for role in to {
            let role = self.roles.of(*role).quoted();
            self.statements.push(format!("GRANT EXECUTE ON FUNCTION {function} TO {role}"));
        }
    }

    /// Adds a statement as it stands.
    pub fn sql(&mut self, statement: &'static str) {
        self.statements.push(statement.to_owned());
    }

    /// Adds a statement that names roles.
    pub fn role_sql(&mut self, statement: String) {
        self.statements.push(statement);
    }

    /// Returns the name of a role, which needs no quotes in a literal.
    pub fn name_of(&self, role: SystemRole) -> &'a str {
        self.roles.of(role).as_str()
    }

    /// Returns the statements in their order.
    pub fn into_statements(self) -> Vec<String> {
        self.statements
    }
}
