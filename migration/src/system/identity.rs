//! Who may log in: accounts, memberships, sessions, refresh tokens, failed log-ins.

use sea_orm::sea_query::{Alias, ColumnDef, Expr, Index, IntoIden, Table};

use super::{
    SystemMigration,
    roles::SystemRole::{App, Registrar},
    script::SystemScript,
};

pub(super) const MIGRATION: SystemMigration = SystemMigration {
    name: "m0004_identity",
    up,
    irreversible: "accounts can't be made again from anything else",
};

fn up(script: &mut SystemScript<'_>) {
    users(script);
    memberships(script);
    sessions(script);
    refresh_tokens(script);
    login_attempts(script);
}

fn col(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn time(name: &'static str) -> ColumnDef {
    col(name).timestamp_with_time_zone().take()
}

fn now(name: &'static str) -> ColumnDef {
    time(name).not_null().default(Expr::cust("now()")).take()
}

fn users(script: &mut SystemScript<'_>) {
    let mut table = Table::create();
    table
        .table("users".into_iden())
        .col(col("id").uuid().not_null().primary_key())
        .col(col("email").text().not_null())
        .col(col("email_key").text().not_null())
        .col(col("full_name").text().not_null())
        .col(col("password_hash").text())
        .col(col("is_operator").boolean().not_null().default(false))
        .col(time("disabled_at"))
        .col(time("last_login_at"))
        .col(col("version").big_integer().not_null().default(1))
        .col(now("created_at"))
        .col(now("updated_at"));
    script.create_table(&table);
    for (name, body) in [
        ("ux_users__email_key", "UNIQUE (email_key)"),
        ("ck_users__email", "CHECK (octet_length(email) BETWEEN 3 AND 254)"),
        ("ck_users__full_name", "CHECK (char_length(full_name) BETWEEN 1 AND 200)"),
        // Nothing but an argon2id hash is ever kept as one.
        ("ck_users__password_hash", "CHECK (password_hash LIKE '$argon2id$%')"),
    ] {
        script.add_constraint("users", name, body);
    }
    // An account is disabled, never removed: the audit trail goes on naming it.
    script.grant("SELECT, INSERT, UPDATE", "users", &[App]);
}

fn memberships(script: &mut SystemScript<'_>) {
    let mut table = Table::create();
    table
        .table("memberships".into_iden())
        .col(col("user_id").uuid().not_null())
        .col(col("tenant_id").uuid().not_null())
        .col(col("roles").array(sea_orm::sea_query::ColumnType::Text).not_null())
        .col(col("version").big_integer().not_null().default(1))
        .col(now("created_at"))
        .col(now("updated_at"))
        .primary_key(Index::create().col("user_id").col("tenant_id"));
    script.create_table(&table);
    for (name, body) in [
        ("ck_memberships__roles", "CHECK (cardinality(roles) > 0 AND array_position(roles, NULL) IS NULL)"),
        ("fk_memberships__user", "FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE"),
        ("fk_memberships__tenant", "FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE"),
    ] {
        script.add_constraint("memberships", name, body);
    }
    script.create_index(
        Index::create()
            .name("ix_memberships__tenant_id_user_id")
            .table("memberships")
            .col("tenant_id")
            .col("user_id"),
    );
    script.grant("SELECT, INSERT, UPDATE, DELETE", "memberships", &[App]);
    script.grant("SELECT (tenant_id), DELETE", "memberships", &[Registrar]);
}

fn sessions(script: &mut SystemScript<'_>) {
    let mut table = Table::create();
    table
        .table("sessions".into_iden())
        .col(col("id").uuid().not_null().primary_key())
        .col(col("family_id").uuid().not_null())
        .col(col("user_id").uuid().not_null())
        .col(col("tenant_id").uuid())
        .col(time("created_at").not_null())
        .col(time("last_used_at").not_null())
        .col(time("expires_at").not_null())
        .col(time("revoked_at"))
        .col(col("revoked_reason").text());
    script.create_table(&table);
    for (name, body) in [
        ("ck_sessions__revoked", "CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))"),
        ("fk_sessions__user", "FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE"),
        ("fk_sessions__tenant", "FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE"),
    ] {
        script.add_constraint("sessions", name, body);
    }
    for (name, column) in [
        ("ix_sessions__family_id", "family_id"),
        ("ix_sessions__user_id", "user_id"),
        ("ix_sessions__tenant_id", "tenant_id"),
        ("ix_sessions__expires_at", "expires_at"),
    ] {
        script.create_index(Index::create().name(name).table("sessions").col(column));
    }
    script.grant("SELECT, INSERT, UPDATE, DELETE", "sessions", &[App]);
    script.grant("SELECT (tenant_id), DELETE", "sessions", &[Registrar]);
}

fn refresh_tokens(script: &mut SystemScript<'_>) {
    let mut table = Table::create();
    table
        .table("refresh_tokens".into_iden())
        .col(col("token_hash").binary().not_null().primary_key())
        .col(col("session_id").uuid().not_null())
        .col(time("created_at").not_null())
        .col(time("expires_at").not_null())
        .col(time("used_at"));
    script.create_table(&table);
    for (name, body) in [
        ("ck_refresh_tokens__token_hash", "CHECK (octet_length(token_hash) = 32)"),
        ("fk_refresh_tokens__session", "FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE"),
    ] {
        script.add_constraint("refresh_tokens", name, body);
    }
    for (name, column) in
        [("ix_refresh_tokens__session_id", "session_id"), ("ix_refresh_tokens__expires_at", "expires_at")]
    {
        script.create_index(Index::create().name(name).table("refresh_tokens").col(column));
    }
    script.grant("SELECT, INSERT, UPDATE, DELETE", "refresh_tokens", &[App]);
}

fn login_attempts(script: &mut SystemScript<'_>) {
    let mut table = Table::create();
    table
        .table("login_attempts".into_iden())
        .col(col("id").uuid().not_null().primary_key())
        .col(col("account_key").binary().not_null())
        .col(col("network").cidr())
        .col(time("attempted_at").not_null());
    script.create_table(&table);
    script.add_constraint(
        "login_attempts",
        "ck_login_attempts__account_key",
        "CHECK (octet_length(account_key) = 32)",
    );
    script.create_index(
        Index::create()
            .name("ix_login_attempts__account_key_attempted_at")
            .table("login_attempts")
            .col("account_key")
            .col("attempted_at"),
    );
    script.create_index(
        Index::create()
            .name("ix_login_attempts__network_attempted_at")
            .table("login_attempts")
            .col("network")
            .col("attempted_at"),
    );
    script.create_index(
        Index::create().name("ix_login_attempts__attempted_at").table("login_attempts").col("attempted_at"),
    );
    script.grant("SELECT, INSERT, DELETE", "login_attempts", &[App]);
}
