//! The tenant that a schema is compared with: made as every tenant is, looked at, and rolled back.

use std::collections::BTreeMap;

use clinicx_types::{
    id::TenantId,
    name::{ModuleName, TenantSlug},
    uuid::{Builder, Uuid},
};
use rand::RngExt;

use super::describe::{Description, describe};
use crate::{
    failure::DatabaseFailure,
    owner::{OwnerConnection, OwnerTransaction},
    tenant::{apply::Subject, limits::Limits, plan::Plan, render, script::ScriptTarget},
};

/// Describes what the migrations make at these positions; `like` lends the row of the registry what it must have.
pub(super) async fn make(
    connection: OwnerConnection,
    plan: &Plan,
    like: &Subject,
    positions: &BTreeMap<String, i32>,
) -> Result<(OwnerConnection, Description), DatabaseFailure> {
    let known = positions.keys().filter(|module| plan.modules().any(|own| own == module.as_str()));
    let limits: Limits = positions
        .iter()
        .filter_map(|(module, position)| Some((ModuleName::parse(module).ok()?, *position)))
        .collect();
    // A ledger names what its modules require as well: one that does not is compared with what it names.
    let plan = plan.of_modules(known.map(String::as_str)).unwrap_or_else(|_| plan.clone()).upto(&limits);
    let target = nobody();
    let settings = format!("SET LOCAL lock_timeout TO '30s'; {}", render::settings(&target));
    let tx = connection.begin(&settings).await?;
    fill(&tx, &plan, &target, like).await?;
    let description = describe(&tx, &target).await?;
    Ok((tx.rollback().await?, description))
}

/// A tenant that nobody has: it is gone before anybody could see it.
fn nobody() -> ScriptTarget {
    let mut random = [0_u8; 16];
    rand::rng().fill(&mut random);
    let id: Uuid = Builder::from_random_bytes(random).into_uuid();
    let name = format!("drift-{}", id.simple());
    #[expect(clippy::expect_used, reason = "letters, digits and one hyphen, 38 of them")]
    let schema = TenantSlug::parse(&name).expect("a slug").schema();
    ScriptTarget { tenant_id: TenantId::new(id), role: Some(schema.role()), schema }
}

async fn fill(
    tx: &OwnerTransaction,
    plan: &Plan,
    target: &ScriptTarget,
    like: &Subject,
) -> Result<(), DatabaseFailure> {
    let (id, schema) = (target.tenant_id, target.schema.literal());
    let slug = target.schema.as_str().trim_start_matches("tenant_").replace('_', "-");
    let script = format!(
        "INSERT INTO public.tenants (id, slug, name, database_schema, cluster, time_zone, currency, locale) \
         SELECT '{id}', '{slug}', 'reference', {schema}, cluster, time_zone, currency, locale \
         FROM public.tenants WHERE id = '{like}';\n\
         SELECT public.create_tenant_schema('{id}', {schema});\n{tables}",
        like = like.tenant_id,
        tables = render::whole(plan, target),
    );
    tx.run("make a reference", script).await
}
