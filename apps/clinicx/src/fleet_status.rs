//! How the fleet stands, by the registry, as operators see it.

use clinicx_migration::tenant::fleet::{
    Standing, standings,
    status::{LastRun, last_run},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::wiring::Platform;

/// How the fleet stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FleetStatus {
    /// How many tenants have a schema.
    pub tenants: usize,
    /// How many have everything that the program's migrations make, or what they are pinned to.
    pub current: usize,
    /// How many are behind.
    pub behind: usize,
    /// How many are not served because of it.
    pub not_served: usize,
    /// The last run, if there was one.
    pub last_run: Option<RunBody>,
    /// The tenants by slug.
    pub items: Vec<TenantStanding>,
}

/// A run over the fleet.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RunBody {
    /// Names it.
    pub id: String,
    /// `running` (also when it was cut short), `halted`, `succeeded`, `partly` or `superseded`.
    pub state: String,
    /// Where it brings the tenants.
    pub target: String,
    /// Why it was halted.
    pub reason: Option<String>,
    /// When it was begun.
    pub started_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// How many tenants are to be done.
    pub pending: i64,
    /// How many are done.
    pub done: i64,
    /// How many have failed.
    pub failed: i64,
    /// For how many nothing could be done.
    pub skipped: i64,
}

/// How far one tenant's schema has come.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TenantStanding {
    /// The slug.
    pub slug: String,
    /// Its state in the registry.
    pub status: String,
    /// `current`, `behind`, `pinned` or `unknown_module`.
    pub state: &'static str,
    /// The version of its schema.
    pub schema_version: String,
    /// The version to which it would be brought.
    pub target_version: Option<String>,
    /// How many migrations are missing.
    pub pending: u32,
    /// When it goes: `canary`, `early` or `general`.
    pub ring: &'static str,
    /// The positions beyond which it does not go.
    pub pin: Option<String>,
    /// Whether this program serves its schema.
    pub served: bool,
}

impl From<LastRun> for RunBody {
    fn from(run: LastRun) -> Self {
        let LastRun { id, state, target, reason, started_at, finished_at, pending, done, failed, skipped } =
            run;
        let id = id.to_string();
        Self { id, state, target, reason, started_at, finished_at, pending, done, failed, skipped }
    }
}

impl TenantStanding {
    /// Tells whether there is something to say of it.
    pub fn is_remarkable(&self) -> bool {
        self.state != "current" || !self.served
    }
}

impl FleetStatus {
    /// Reads it from the registry alone, with the standings of which it was made.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn read(platform: &Platform) -> anyhow::Result<(Self, Vec<Standing>)> {
        let standings = standings(&platform.app, platform.modules.plan()).await?;
        let last_run = last_run(&platform.app).await?.map(RunBody::from);
        Ok((Self::of(platform, &standings, last_run), standings))
    }

    fn of(platform: &Platform, standings: &[Standing], last_run: Option<RunBody>) -> Self {
        let items: Vec<_> = standings.iter().map(|one| item(platform, one)).collect();
        let count = |is_so: fn(&TenantStanding) -> bool| items.iter().filter(|item| is_so(item)).count();
        Self {
            tenants: items.len(),
            current: count(|item| matches!(item.state, "current" | "pinned")),
            behind: count(|item| item.state == "behind"),
            not_served: count(|item| !item.served),
            last_run,
            items,
        }
    }
}

fn item(platform: &Platform, one: &Standing) -> TenantStanding {
    let plan = platform.modules.plan();
    let state = match one {
        Standing { target: None, .. } => "unknown_module",
        Standing { pending, .. } if *pending > 0 => "behind",
        _ if one.is_held_back(plan) => "pinned",
        _ => "current",
    };
    TenantStanding {
        slug: one.slug.clone(),
        status: one.status.clone(),
        state,
        schema_version: one.version.to_string(),
        target_version: one.target.map(|version| version.to_string()),
        pending: one.pending,
        ring: one.ring.as_str(),
        pin: one.pin.as_ref().map(ToString::to_string),
        served: platform.modules.serves(&one.subject.modules, |module| {
            one.positions.get(module.as_str()).copied().unwrap_or_default()
        }),
    }
}
