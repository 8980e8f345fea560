//! Who may do what: one table of permissions, compiled into the program.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// What a user is in one tenant. The words are those of `staff.roles`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Owns the clinic; may do everything in it.
    Owner,
    /// Runs the clinic: everything but what only the owner may.
    Admin,
    /// Treats teeth.
    Dentist,
    /// Treats patients.
    Doctor,
    /// Cleans teeth and keeps perio records.
    Hygienist,
    /// Cares for patients.
    Nurse,
    /// Helps at the chair.
    Assistant,
    /// Receives patients and books.
    Receptionist,
    /// Keeps the books.
    Accountant,
}

impl Role {
    /// Every role, in the order of this type.
    pub const ALL: [Self; 9] = [
        Self::Owner,
        Self::Admin,
        Self::Dentist,
        Self::Doctor,
        Self::Hygienist,
        Self::Nurse,
        Self::Assistant,
        Self::Receptionist,
        Self::Accountant,
    ];

    /// Returns the word for it in JSON, SQL and the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Dentist => "dentist",
            Self::Doctor => "doctor",
            Self::Hygienist => "hygienist",
            Self::Nurse => "nurse",
            Self::Assistant => "assistant",
            Self::Receptionist => "receptionist",
            Self::Accountant => "accountant",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "role must be one of owner, admin, dentist, doctor, hygienist, nurse, assistant, receptionist, accountant"
)]
pub struct RoleError;

impl FromStr for Role {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(RoleError)
    }
}

/// The right to do one kind of thing, such as `patient.read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Permission(pub &'static str);

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One line of the permission table: a permission and the roles that have it.
#[derive(Clone, Copy, Debug)]
pub struct PermissionRule {
    /// The permission.
    pub permission: Permission,
    /// The roles that have it; [`Role::Owner`] and [`Role::Admin`] need not be named, they have every one.
    pub roles: &'static [Role],
    /// What it lets one do, for people.
    pub description: &'static str,
}

impl PermissionRule {
    /// Tells whether a role has this permission.
    pub fn allows(&self, role: Role) -> bool {
        matches!(role, Role::Owner | Role::Admin) || self.roles.contains(&role)
    }
}

/// The permissions of one actor.
#[derive(Clone, Debug, Default)]
pub struct PermissionSet(Arc<BTreeSet<Permission>>);

impl PermissionSet {
    /// Collects what the roles have together.
    pub fn of_roles<'a>(roles: &[Role], rules: impl IntoIterator<Item = &'a PermissionRule>) -> Self {
        let allowed = rules.into_iter().filter(|rule| roles.iter().any(|role| rule.allows(*role)));
        Self(Arc::new(allowed.map(|rule| rule.permission).collect()))
    }

    /// Tells whether the permission is in it.
    pub fn has(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// Lists what is in it.
    pub fn iter(&self) -> impl Iterator<Item = Permission> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(Arc::new(permissions.into_iter().collect()))
    }
}
