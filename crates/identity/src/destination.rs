//! Where somebody who has shown who it is is led: to the platform, to a tenant, or nowhere.

use clinicx_types::{id::TenantId, name::TenantSlug};
use serde::Deserialize;

use crate::{error::IdentityError, membership::Belonging};

/// A tenant to which an account belongs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) tenant_id: TenantId,
    pub(crate) slug: TenantSlug,
    pub(crate) status: String,
}

impl From<Belonging> for Place {
    fn from(belonging: Belonging) -> Self {
        let Belonging { tenant_id, slug, status, .. } = belonging;
        Self { tenant_id, slug, status }
    }
}

/// Where a log-in leads: to a tenant, or to the platform.
pub(crate) type Destination = Option<TenantId>;

/// Why a log-in leads nowhere.
pub(crate) enum Refusal {
    /// As if it had not been shown who it is.
    Unknown(&'static str),
    /// With an answer of its own, because only the account's owner gets it.
    Said(IdentityError),
}

/// Decides where a log-in leads.
pub(crate) fn destination(
    is_operator: bool,
    places: &[Place],
    wanted: Option<&TenantSlug>,
) -> Result<Destination, Refusal> {
    let place = match wanted {
        Some(slug) => {
            let place = places.iter().find(|place| place.slug == *slug);
            place.ok_or(Refusal::Unknown("not_a_member"))?
        }
        None if is_operator => return Ok(None),
        None => only_place(places).map_err(Refusal::Said)?,
    };
    refuse_status(&place.status).map_err(Refusal::Said)?;
    Ok(Some(place.tenant_id))
}

/// Picks the one tenant that is meant when none is named: the only active one, else the only one.
fn only_place(places: &[Place]) -> Result<&Place, IdentityError> {
    let active: Vec<&Place> = places.iter().filter(|place| place.status == "active").collect();
    match (active.as_slice(), places) {
        ([place], _) => Ok(place),
        ([], []) => Err(IdentityError::NoMembership),
        ([], [first, ..]) => Ok(places.iter().find(|place| place.status == "suspended").unwrap_or(first)),
        (several, _) => {
            let tenants = several.iter().map(|place| place.slug.clone()).collect();
            Err(IdentityError::TenantRequired { tenants })
        }
    }
}

/// Refuses a tenant that is not active.
pub(crate) fn refuse_status(status: &str) -> Result<(), IdentityError> {
    match status {
        "active" => Ok(()),
        "suspended" => Err(IdentityError::TenantSuspended),
        _ => Err(IdentityError::TenantGone),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own ids")]
mod tests {
    use clinicx_types::error::DomainError;

    use super::*;

    fn place(slug: &str, status: &str) -> Place {
        Place {
            tenant_id: TenantId::new(uuid::Uuid::now_v7()),
            slug: slug.parse().unwrap(),
            status: status.to_owned(),
        }
    }

    fn outcome(is_operator: bool, places: &[Place], wanted: Option<&str>) -> String {
        let wanted: Option<TenantSlug> = wanted.map(|slug| slug.parse().unwrap());
        match destination(is_operator, places, wanted.as_ref()) {
            Ok(None) => "platform".to_owned(),
            Ok(Some(id)) => {
                places.iter().find(|place| place.tenant_id == id).unwrap().slug.as_str().to_owned()
            }
            Err(Refusal::Unknown(reason)) => reason.to_owned(),
            Err(Refusal::Said(error)) => error.code().to_owned(),
        }
    }

    #[test]
    fn a_log_in_leads_to_the_tenant_that_is_meant() {
        let check = |operator: bool, places: &[(&str, &str)], wanted: Option<&str>, expected: &str| {
            let places: Vec<Place> = places.iter().map(|(slug, status)| place(slug, status)).collect();
            assert_eq!(outcome(operator, &places, wanted), expected);
        };
        let (one, two) = (("one", "active"), ("two", "active"));
        let (asleep, ended) = (("asleep", "suspended"), ("ended", "archived"));
        check(false, &[one], None, "one");
        check(false, &[one], Some("one"), "one");
        check(false, &[one], Some("two"), "not_a_member");
        check(false, &[one, two], None, "tenant_required");
        check(false, &[one, two], Some("two"), "two");
        check(false, &[one, asleep], None, "one");
        check(false, &[one, asleep], Some("asleep"), "tenant_suspended");
        check(false, &[asleep], None, "tenant_suspended");
        check(false, &[asleep, ended], None, "tenant_suspended");
        check(false, &[ended], None, "tenant_gone");
        check(false, &[ended], Some("ended"), "tenant_gone");
        check(false, &[], None, "no_membership");
        check(false, &[], Some("one"), "not_a_member");
        check(true, &[], None, "platform");
        check(true, &[one], None, "platform");
        check(true, &[one], Some("one"), "one");
        check(true, &[], Some("one"), "not_a_member");
    }
}
