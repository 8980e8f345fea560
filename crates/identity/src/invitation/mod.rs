//! Taking people into a tenant: everybody is invited, and belongs to it on acceptance.
//!
//! **Invariant:** nothing that the tenant sees of an invitation tells whether the address has an account.
//! Only the digest of an invitation's token is kept. An accepted or revoked invitation has no row any more.

mod acceptance;
mod sending;

use std::fmt;

use chrono::{DateTime, Utc};
use clinicx_persistence::{SystemExecutor, SystemTransaction};
use clinicx_types::{
    id::{InvitationId, TenantId, UserId},
    page::{Page, PageRequest},
    permission::Role,
};
use schemars::JsonSchema;
use sea_orm::{DbErr, FromQueryResult, raw_sql};
use serde::Serialize;
use serde_json::json;

use crate::{audit, error::IdentityError, membership::from_text, scope::IdentityScope, user};

/// Whom a tenant wants to take in, as somebody typed it.
#[derive(Clone, Copy)]
pub struct NewMember<'a> {
    /// The address.
    pub email: &'a str,
    /// The person's name; an account that is there keeps its own.
    pub full_name: &'a str,
    /// What the person shall be in the tenant.
    pub roles: &'a [Role],
}

/// An invitation that waits. Its `Debug` text shows ids only.
#[derive(Clone, Serialize, JsonSchema)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// To whom it was sent.
    pub email: String,
    /// The person's name, until the person says it.
    pub full_name: String,
    /// What the person will be in the tenant.
    pub roles: Vec<Role>,
    /// Who has invited, or has sent it again; `null` when that was a command. The invitation is good as long as this
    /// person may give these roles.
    pub invited_by: Option<UserId>,
    /// When it was last sent.
    pub sent_at: DateTime<Utc>,
    /// When its link ends; sending it again makes a new one.
    pub expires_at: DateTime<Utc>,
    /// Rises with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("id", &self.id).field("roles", &self.roles).finish_non_exhaustive()
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: InvitationId,
    email: String,
    full_name: String,
    roles: String,
    invited_by: Option<UserId>,
    sent_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Invitation {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            email: row.email,
            full_name: row.full_name,
            roles: from_text(&row.roles),
            invited_by: row.invited_by,
            sent_at: row.sent_at,
            expires_at: row.expires_at,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Lists a tenant's invitations, oldest first.
///
/// # Errors
/// [`IdentityError::Invalid`] for a cursor that is none of this list.
pub async fn list(
    db: &impl SystemExecutor,
    tenant: TenantId,
    page: &PageRequest,
) -> Result<Page<Invitation>, IdentityError> {
    #[derive(FromQueryResult)]
    struct Count {
        total: i64,
    }
    let after = page.after.as_ref().map(|key| user::cursor(&key.0)).transpose()?;
    let limit = i64::from(page.limit()).saturating_add(1);
    let rows: Vec<Row> = db
        .query_all(raw_sql!(
            Postgres,
            r#"SELECT id, email, full_name, array_to_string(roles, ',') AS roles, invited_by, sent_at, expires_at,
                      version, created_at, updated_at
               FROM public.invitations
               WHERE tenant_id = {tenant} AND (CAST({after} AS uuid) IS NULL OR id > {after})
               ORDER BY id
               LIMIT {limit}"#
        ))
        .await?;
    let total = if page.count {
        let count: Option<Count> = db
            .query_one(raw_sql!(
                Postgres,
                r#"SELECT count(*) AS total FROM public.invitations WHERE tenant_id = {tenant}"#
            ))
            .await?;
        count.and_then(|count| u64::try_from(count.total).ok())
    } else {
        None
    };
    Ok(Page::from_rows(rows, page, total, |row| vec![row.id.to_string()]).map(Invitation::from))
}

async fn record(
    tx: &SystemTransaction,
    scope: &IdentityScope,
    tenant: TenantId,
    (action, invitation): (&'static str, &Invitation),
) -> Result<(), IdentityError> {
    let entry = audit::Entry {
        action,
        entity: "invitation",
        entity_id: Some(invitation.id.uuid()),
        tenant: Some(tenant),
        before: None,
        after: Some(json!({ "roles": invitation.roles, "expires_at": invitation.expires_at })),
    };
    Ok(audit::record(tx, scope, entry).await?)
}

/// Removes invitations that ended thirty days ago and were not sent again.
pub(crate) async fn sweep(db: &impl SystemExecutor, now: DateTime<Utc>) -> Result<u64, DbErr> {
    db.execute(raw_sql!(
        Postgres,
        r#"DELETE FROM public.invitations WHERE expires_at <= CAST({now} AS timestamptz) - interval '30 days'"#
    ))
    .await
}
