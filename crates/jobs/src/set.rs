//! The kinds and schedules of a program.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    kind::{AnyKind, JobKind, Registered},
    schedule::Schedule,
};

/// What does not fit together in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Two kinds have one name.
    #[error("the kind of job {0} is there twice")]
    KindTwice(&'static str),
    /// A name has no letters, or too many.
    #[error("{0:?} is no name for a kind of job or a schedule")]
    Name(&'static str),
    /// Two schedules have one name.
    #[error("the schedule {0} is there twice")]
    ScheduleTwice(&'static str),
    /// A schedule's kind is not in the set.
    #[error("the schedule {schedule} repeats the kind {kind}, which nobody has registered")]
    UnknownKind {
        /// The schedule.
        schedule: &'static str,
        /// The kind.
        kind: &'static str,
    },
}

/// The kinds of work that a program knows, and what of them it repeats.
#[derive(Clone, Default)]
pub struct JobSet {
    kinds: BTreeMap<&'static str, Arc<dyn AnyKind>>,
    schedules: Vec<Schedule>,
}

impl JobSet {
    /// Makes a set with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind.
    ///
    /// # Errors
    /// [`SetError::KindTwice`], [`SetError::Name`].
    pub fn kind<K: JobKind>(mut self, kind: K) -> Result<Self, SetError> {
        check(K::NAME)?;
        match self.kinds.insert(K::NAME, Arc::new(Registered(kind))) {
            None => Ok(self),
            Some(_) => Err(SetError::KindTwice(K::NAME)),
        }
    }

    /// Adds a schedule of a kind that is in the set.
    ///
    /// # Errors
    /// [`SetError::ScheduleTwice`], [`SetError::UnknownKind`], [`SetError::Name`].
    pub fn schedule(mut self, schedule: Schedule) -> Result<Self, SetError> {
        check(schedule.name)?;
        if self.schedules.iter().any(|other| other.name == schedule.name) {
            return Err(SetError::ScheduleTwice(schedule.name));
        }
        if !self.kinds.contains_key(schedule.kind) {
            return Err(SetError::UnknownKind { schedule: schedule.name, kind: schedule.kind });
        }
        self.schedules.push(schedule);
        Ok(self)
    }

    /// Lists the names of the kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.kinds.keys().copied()
    }

    /// Lists the schedules.
    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    pub(crate) fn find(&self, kind: &str) -> Option<Arc<dyn AnyKind>> {
        self.kinds.get(kind).cloned()
    }
}

impl std::fmt::Debug for JobSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let schedules: Vec<&str> = self.schedules.iter().map(Schedule::name).collect();
        let kinds: Vec<&str> = self.kinds().collect();
        f.debug_struct("JobSet").field("kinds", &kinds).field("schedules", &schedules).finish()
    }
}

fn check(name: &'static str) -> Result<(), SetError> {
    let fits = (1..=100).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte));
    if fits { Ok(()) } else { Err(SetError::Name(name)) }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use chrono_tz::Tz;

    use super::*;
    use crate::{JobContext, JobError, OnPlatform};

    struct Nothing;

    #[async_trait]
    impl JobKind for Nothing {
        const NAME: &'static str = "test.nothing";
        type Scope = OnPlatform;
        type Input = ();
        type Output = ();
        async fn run(&self, _: &JobContext<OnPlatform>, (): ()) -> Result<(), JobError> {
            Ok(())
        }
    }

    #[test]
    fn a_set_has_everything_once() {
        let schedule = |name| Schedule::new::<Nothing>(name, "* * * * *", Tz::UTC, &()).unwrap();
        let early = JobSet::new().schedule(schedule("test.often")).unwrap_err();
        assert!(matches!(early, SetError::UnknownKind { .. }), "{early}");
        let set = JobSet::new().kind(Nothing).unwrap().schedule(schedule("test.often")).unwrap();
        assert_eq!(set.kinds().collect::<Vec<_>>(), ["test.nothing"]);
        assert_eq!(set.clone().kind(Nothing).unwrap_err(), SetError::KindTwice("test.nothing"));
        assert_eq!(
            set.clone().schedule(schedule("test.often")).unwrap_err(),
            SetError::ScheduleTwice("test.often")
        );
        assert_eq!(set.schedule(schedule("Often!")).unwrap_err(), SetError::Name("Often!"));
    }
}
