//! Invitations, and the right of whoever has sent them.

use clinicx_identity::{IdentityError, IdentityScope, Invitation, LinkToken, NewMember, Password, user};
use clinicx_persistence::Actor;
use clinicx_types::{
    id::{TenantId, UserId},
    permission::Role,
};

use crate::support::{Fixture, PASSWORD, code, origin, scope};

const GUEST: &str = "grace@example.org";

/// A tenant with two owners.
struct Practice {
    fixture: Fixture,
    tenant: TenantId,
    one: UserId,
    other: UserId,
}

impl Practice {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let tenant = fixture.tenant("one").await;
        let one = fixture.member("one@example.org", tenant, Role::Owner).await;
        let other = fixture.member("other@example.org", tenant, Role::Owner).await;
        Self { fixture, tenant, one, other }
    }

    fn by(&self, user: UserId) -> IdentityScope {
        self.fixture.identity.scope(Actor::User(user), origin())
    }

    /// Invites the guest in somebody's name.
    async fn invite(&self, by: UserId, role: Role) -> (Invitation, LinkToken) {
        let new = NewMember { email: GUEST, full_name: "Grace Guest", roles: &[role] };
        let made = self.fixture.identity.invite(&self.by(by), self.tenant, new).await.unwrap();
        (made, LinkToken::new(self.fixture.mailed_token().await))
    }

    async fn accept(&self, token: &LinkToken) -> Result<(), IdentityError> {
        self.fixture.identity.accept_invitation(token, (&Password::new(PASSWORD), None), &origin()).await
    }

    async fn set_roles(&self, user: UserId, roles: &[Role]) {
        let identity = &self.fixture.identity;
        identity.set_member_roles(&scope(), self.tenant, user, roles, None).await.unwrap();
    }
}

#[tokio::test]
async fn an_invitation_ends_with_the_membership_of_its_sender() {
    let practice = Practice::new().await;
    let (_, token) = practice.invite(practice.one, Role::Owner).await;
    let removed =
        practice.fixture.identity.remove_member(&scope(), practice.tenant, practice.one, None).await;
    removed.unwrap();
    assert_eq!(code(&practice.accept(&token).await), "invalid_link");
    assert!(user::find_by_email(&practice.fixture.app, GUEST).await.unwrap().is_none());
}

#[tokio::test]
async fn an_invitation_ends_with_the_account_of_its_sender() {
    let practice = Practice::new().await;
    let (_, token) = practice.invite(practice.one, Role::Nurse).await;
    user::disable(&practice.fixture.app, &scope(), practice.one, None).await.unwrap();
    assert_eq!(code(&practice.accept(&token).await), "invalid_link");
}

#[tokio::test]
async fn an_invitation_is_good_for_what_its_sender_may_still_give() {
    let practice = Practice::new().await;
    let (_, token) = practice.invite(practice.one, Role::Owner).await;
    practice.set_roles(practice.one, &[Role::Admin]).await;
    assert_eq!(code(&practice.accept(&token).await), "invalid_link");
    practice.set_roles(practice.one, &[Role::Owner]).await;
    assert_eq!(code(&practice.accept(&token).await), "ok");

    let practice = Practice::new().await;
    let (_, token) = practice.invite(practice.one, Role::Nurse).await;
    practice.set_roles(practice.one, &[Role::Admin]).await;
    assert_eq!(code(&practice.accept(&token).await), "ok");
}

#[tokio::test]
async fn whoever_sends_an_invitation_again_vouches_for_it() {
    let practice = Practice::new().await;
    let (made, first) = practice.invite(practice.one, Role::Owner).await;
    practice.set_roles(practice.one, &[Role::Nurse]).await;
    let identity = &practice.fixture.identity;
    let again = identity.resend_invitation(&practice.by(practice.other), practice.tenant, made.id).await;
    assert_eq!(again.unwrap().invited_by, Some(practice.other));
    let second = LinkToken::new(practice.fixture.mailed_token().await);
    assert_eq!(code(&practice.accept(&first).await), "invalid_link");
    assert_eq!(code(&practice.accept(&second).await), "ok");
}

#[tokio::test]
async fn a_command_that_has_invited_has_every_right() {
    let practice = Practice::new().await;
    let new = NewMember { email: GUEST, full_name: "Grace Guest", roles: &[Role::Owner] };
    practice.fixture.identity.invite(&scope(), practice.tenant, new).await.unwrap();
    let token = LinkToken::new(practice.fixture.mailed_token().await);
    assert_eq!(code(&practice.accept(&token).await), "ok");
}
