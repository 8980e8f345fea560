//! Finds what differs between a tenant's schema and what its migrations make.
//!
//! The reference is a tenant that is made by the same migrations and to the same positions, looked at, and rolled back:
//! nobody sees it. Both are described from the catalog in words that name no tenant, and compared thing by thing. Each
//! difference is named with the SQL that mends it; nothing is changed.

mod compare;
mod describe;
mod mend;
mod reference;

use std::{collections::BTreeMap, sync::Arc};

use sqlx::Row;

use crate::{
    failure::DatabaseFailure,
    owner::{OwnerConnection, OwnerLogin},
};

use super::{
    apply::{MigrateError, Subject},
    fleet::check::{self, Checked},
    limits::Limits,
    plan::{Plan, Work},
    render,
};
use describe::Description;

/// How a thing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The migrations make it, and it is not there.
    Missing,
    /// It is there, and no migration makes it.
    Extra,
    /// It is there and otherwise.
    Different,
}

impl Change {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Different => "different",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// `table`, `column`, `constraint`, `index`, `policy`, `grant`, ….
    pub kind: String,
    /// What it is: `patients`, `patients.birth_date`, `patients.ix_patients__name`.
    pub object: String,
    /// How it differs.
    pub change: Change,
    /// In what, when it is otherwise: `type`, `default`, `definition`, ….
    pub aspect: Option<String>,
    /// What the migrations make.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
    /// The SQL that mends it; it runs as the owner with the tenant's schema as the search path.
    pub mend: String,
}

/// What was found in one tenant's schema.
#[derive(Clone, Debug)]
pub struct Drift {
    /// The tenant.
    pub subject: Subject,
    /// The differences, in the order of what they are; why none could be looked for otherwise.
    pub found: Result<Vec<Difference>, MigrateError>,
}

/// Compares the schemas of these tenants with what their migrations make at the positions that their ledgers name.
/// Calls `progress` as each is done.
///
/// # Errors
/// What the database answers. What stands against one schema's comparison stands in its own result.
pub async fn drift(
    login: &OwnerLogin,
    plan: &Plan,
    subjects: &[Subject],
    mut progress: impl FnMut(&Drift) + Send,
) -> Result<Vec<Drift>, DatabaseFailure> {
    let asked: Vec<(Subject, Limits)> =
        subjects.iter().map(|subject| (subject.clone(), Limits::default())).collect();
    let checked = check::check(login, plan, &asked).await?;
    let mut comparer = Comparer::new(login, plan);
    let mut all = Vec::with_capacity(subjects.len());
    for (subject, checked) in subjects.iter().zip(checked) {
        let drift = comparer.compare_checked(subject, checked).await?;
        progress(&drift);
        all.push(drift);
    }
    comparer.close().await;
    Ok(all)
}

/// Compares one schema after another. It keeps the references that it has made: many tenants have the same.
#[derive(Debug)]
pub struct Comparer<'a> {
    login: &'a OwnerLogin,
    plan: &'a Plan,
    connection: Option<OwnerConnection>,
    references: BTreeMap<BTreeMap<String, i32>, Arc<Description>>,
}

impl<'a> Comparer<'a> {
    /// Makes one; it connects when it is first used.
    pub fn new(login: &'a OwnerLogin, plan: &'a Plan) -> Self {
        Self { login, plan, connection: None, references: BTreeMap::new() }
    }

    /// Compares one tenant's schema with what its migrations make.
    ///
    /// # Errors
    /// As [`drift()`].
    pub async fn compare(&mut self, subject: &Subject) -> Result<Drift, DatabaseFailure> {
        let asked = [(subject.clone(), Limits::default())];
        let checked = check::check(self.login, self.plan, &asked).await?;
        match checked.into_iter().next() {
            Some(checked) => self.compare_checked(subject, checked).await,
            None => Ok(Drift { subject: subject.clone(), found: Err(MigrateError::UnknownTenant) }),
        }
    }

    /// Closes its connection.
    pub async fn close(self) {
        if let Some(connection) = self.connection {
            connection.close().await;
        }
    }

    async fn compare_checked(
        &mut self,
        subject: &Subject,
        checked: Checked,
    ) -> Result<Drift, DatabaseFailure> {
        let found = match &checked.work {
            Err(error) => self.of_unreadable(subject, error.clone()).await,
            Ok(work) => match gap(work, &checked.positions) {
                Some(difference) => Ok(vec![difference]),
                None => self.of_readable(subject, &checked).await,
            },
        };
        match found {
            Err(error) if error.is_away() => match error {
                MigrateError::Database(failure) => Err(failure),
                other => Ok(Drift { subject: subject.clone(), found: Err(other) }),
            },
            found => Ok(Drift { subject: subject.clone(), found }),
        }
    }

    async fn connection(&mut self) -> Result<OwnerConnection, DatabaseFailure> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.login.open().await,
        }
    }

    async fn of_readable(
        &mut self,
        subject: &Subject,
        checked: &Checked,
    ) -> Result<Vec<Difference>, MigrateError> {
        let mut connection = self.connection().await?;
        let reference = match self.references.get(&checked.positions) {
            Some(reference) => Arc::clone(reference),
            None => {
                let (back, made) =
                    reference::make(connection, self.plan, subject, &checked.positions).await?;
                connection = back;
                let made = Arc::new(made);
                self.references.insert(checked.positions.clone(), Arc::clone(&made));
                made
            }
        };
        let target = subject.target();
        let begin = format!("SET TRANSACTION READ ONLY; {}", render::settings(&target));
        let tx = connection.begin(&begin).await?;
        let found = describe::describe(&tx, &target).await?;
        self.connection = Some(tx.rollback().await?);
        Ok(compare::compare(&reference, &found, &target))
    }

    /// A schema that the owner can't even read may have become somebody else's.
    async fn of_unreadable(
        &mut self,
        subject: &Subject,
        error: MigrateError,
    ) -> Result<Vec<Difference>, MigrateError> {
        let mut connection = self.connection().await?;
        let look = format!(
            "SELECT CAST(pg_catalog.pg_get_userbyid(nspowner) AS text) AS owner, CAST(current_user AS text) AS wanted \
             FROM pg_catalog.pg_namespace WHERE nspname = {}",
            subject.schema.literal()
        );
        let rows = connection.rows("look at the schema", look).await?;
        self.connection = Some(connection);
        let text = |column: &str| rows.first().and_then(|row| row.try_get::<String, _>(column).ok());
        match (text("owner"), text("wanted")) {
            (Some(owner), Some(wanted)) if owner != wanted => {
                let mend = format!("ALTER SCHEMA {} OWNER TO \"{wanted}\"", subject.schema.quoted());
                Ok(vec![Difference {
                    kind: "schema".to_owned(),
                    object: subject.schema.to_string(),
                    change: Change::Different,
                    aspect: Some("owner".to_owned()),
                    expected: Some(wanted),
                    found: Some(owner),
                    mend,
                }])
            }
            _ => Err(error),
        }
    }
}

/// Names a migration that the ledger lacks before others that it has: what the schema should be can't be said then.
fn gap(work: &Work, positions: &BTreeMap<String, i32>) -> Option<Difference> {
    let had = |module: &str| positions.get(module).copied().unwrap_or_default();
    let lacking = work.up.iter().find(|one| one.position <= had(one.module))?;
    Some(Difference {
        kind: "ledger".to_owned(),
        object: format!("{lacking:?}"),
        change: Change::Missing,
        aspect: None,
        expected: None,
        found: None,
        mend: "-- the ledger lacks a migration before others that it has: `clinicx fleet migrate` applies it"
            .to_owned(),
    })
}
