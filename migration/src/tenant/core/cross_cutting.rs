//! What every module writes beside its own rows: the outbox, and the answers kept for repeated requests.

use sea_orm::sea_query::{ConditionalStatement, Expr, Index, IntoIden, Table};

use crate::tenant::{
    Down, TenantMigration,
    script::{Script, col},
};

/// The outbox and the kept answers.
pub(super) const M0001: TenantMigration = TenantMigration {
    name: "m0001_cross_cutting",
    up,
    down: Down::Irreversible("events that were not yet delivered would be lost"),
};

fn up(script: &mut Script) {
    outbox(script);
    idempotency_keys(script);
}

/// Makes a key its user's, whatever it is sent to: the same one for another operation is another request.
pub(super) const SCOPE_IDEMPOTENCY_KEYS: TenantMigration = TenantMigration {
    name: "m0050_scope_idempotency_keys",
    up: scope_idempotency_keys,
    down: Down::Irreversible("answers already given would be given again"),
};

fn scope_idempotency_keys(script: &mut Script) {
    script.sql(
        "DELETE FROM idempotency_keys AS older USING idempotency_keys AS newer \
         WHERE older.principal = newer.principal AND older.key = newer.key \
         AND (older.created_at, older.id) < (newer.created_at, newer.id)",
    );
    script.sql("ALTER TABLE idempotency_keys DROP CONSTRAINT ux_idempotency_keys__principal_operation_key");
    script.add_constraint(
        "idempotency_keys",
        "ux_idempotency_keys__principal_key",
        "UNIQUE (principal, key)",
    );
}

/// Events on their way out, at least once and in order per aggregate. `published_at` is NULL until then.
fn outbox(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("outbox".into_iden())
        .col(col("event_type").text().not_null())
        .col(col("aggregate").text().not_null())
        .col(col("aggregate_id").uuid().not_null())
        .col(col("payload").json_binary().not_null())
        .col(col("published_at").timestamp_with_time_zone());
    script.create_table(table);
    script.create_index(
        Index::create()
            .name("ix_outbox__unpublished")
            .table("outbox")
            .col("id")
            .cond_where(Expr::cust("published_at IS NULL")),
    );
    script.create_index(
        Index::create().name("ix_outbox__aggregate_id").table("outbox").col("aggregate_id").col("id"),
    );
}

/// `status`, `headers` and `body` are NULL while the first request still runs.
fn idempotency_keys(script: &mut Script) {
    let mut table = Table::create();
    table
        .table("idempotency_keys".into_iden())
        .col(col("principal").uuid().not_null())
        .col(col("operation").text().not_null())
        .col(col("key").text().not_null())
        .col(col("request_hash").binary().not_null())
        .col(col("status").integer())
        .col(col("headers").json_binary())
        .col(col("body").binary())
        .col(col("expires_at").timestamp_with_time_zone().not_null());
    script.create_table(table);
    script.add_constraint(
        "idempotency_keys",
        "ux_idempotency_keys__principal_operation_key",
        "UNIQUE (principal, operation, key)",
    );
    script.create_index(
        Index::create().name("ix_idempotency_keys__expires_at").table("idempotency_keys").col("expires_at"),
    );
}
