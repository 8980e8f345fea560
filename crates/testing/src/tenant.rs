//! A tenant of its own for a test.

use std::sync::Arc;

use clinicx_keys::{FieldCipher, Keyring};
use clinicx_persistence::{Cluster, TenantConnection, TenantScope};
use clinicx_tenancy::{ModuleRegistry, PlatformScope, Tenancy, Tenant, TenantDraft};
use clinicx_types::{
    id::TenantId,
    module::ModuleFacts,
    permission::{Permission, PermissionRule, PermissionSet, Role},
};
use uuid::Uuid;

use crate::database::{self, TestDatabase};

/// A fresh tenant, a connection to it, and a scope in it.
#[derive(Clone, Debug)]
pub struct TestTenant {
    /// The database that holds it.
    pub database: TestDatabase,
    /// The operator's hand on it.
    pub tenancy: Tenancy,
    /// The tenant.
    pub tenant: Tenant,
    /// The pool of tenants' connections of this test.
    pub cluster: Cluster,
    /// A connection to the tenant.
    pub connection: TenantConnection,
    /// Seals and opens its fields; it stays good however long a test takes.
    pub cipher: FieldCipher,
    /// The service itself, acting in the tenant, with the permissions that the builder was given.
    pub scope: TenantScope,
}

/// What a test wants of its tenant.
#[derive(Clone, Debug)]
pub struct TestTenantBuilder {
    database: Option<TestDatabase>,
    modules: Vec<String>,
    facts: Vec<(&'static str, ModuleFacts)>,
    permissions: Option<Vec<Permission>>,
    roles: Option<Vec<Role>>,
    time_zone: String,
    currency: String,
    locale: String,
}

impl Default for TestTenantBuilder {
    fn default() -> Self {
        Self {
            database: None,
            modules: ["billing", "dental"].map(str::to_owned).to_vec(),
            facts: Vec::new(),
            permissions: None,
            roles: None,
            time_zone: "Europe/Berlin".to_owned(),
            currency: "EUR".to_owned(),
            locale: "de-DE".to_owned(),
        }
    }
}

impl TestTenantBuilder {
    /// Puts it into this database instead of the shared one.
    pub fn database(mut self, database: &TestDatabase) -> Self {
        self.database = Some(database.clone());
        self
    }

    /// Gives it these modules beside core, instead of all.
    pub fn modules(mut self, names: &[&str]) -> Self {
        self.modules = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Tells what a module permits; the scope has all of it unless roles are named.
    pub fn facts(mut self, module: &'static str, facts: ModuleFacts) -> Self {
        self.facts.push((module, facts));
        self
    }

    /// Gives the scope what these roles have, instead of everything.
    pub fn roles(mut self, roles: &[Role]) -> Self {
        self.roles = Some(roles.to_vec());
        self
    }

    /// Gives the scope these permissions alone.
    pub fn permissions(mut self, permissions: &[Permission]) -> Self {
        self.permissions = Some(permissions.to_vec());
        self
    }

    /// Sets the clinic's time zone (`Europe/Berlin` otherwise).
    pub fn time_zone(mut self, zone: &str) -> Self {
        self.time_zone = zone.to_owned();
        self
    }

    /// Sets the clinic's currency (`EUR` otherwise).
    pub fn currency(mut self, code: &str) -> Self {
        self.currency = code.to_owned();
        self
    }

    /// Sets the clinic's locale (`de-DE` otherwise).
    pub fn locale(mut self, tag: &str) -> Self {
        self.locale = tag.to_owned();
        self
    }

    /// Makes the tenant.
    ///
    /// # Panics
    /// When the database can't be reached or the tenant can't be made.
    pub async fn create(self) -> TestTenant {
        let database = match self.database.clone() {
            Some(database) => database,
            None => TestDatabase::shared().await,
        };
        let registry = database::modules(&self.facts);
        let tenancy = database.tenancy(Arc::clone(&registry)).await;
        let cluster = database.cluster().await;
        self.provision(database, tenancy, cluster, &registry).await
    }

    async fn provision(
        self,
        database: TestDatabase,
        tenancy: Tenancy,
        cluster: Cluster,
        registry: &ModuleRegistry,
    ) -> TestTenant {
        let draft = TenantDraft {
            slug: unique_slug(),
            name: "Test Clinic".to_owned(),
            modules: self.modules.clone(),
            time_zone: self.time_zone.clone(),
            currency: self.currency.clone(),
            locale: self.locale.clone(),
            ..TenantDraft::default()
        };
        let by = PlatformScope::system("test");
        let new = tenancy.check(draft, TenantId::new(by.next_id())).expect("a description of a tenant");
        let tenant = tenancy.create(new, &by, Vec::new()).await.expect("make a tenant");
        let permissions = self.permission_set(registry);
        let scope = TenantScope::system(
            tenant.id,
            tenant.slug.clone(),
            (tenant.time_zone, tenant.currency, &tenant.locale),
            "test",
            permissions,
        )
        .named(&tenant.name);
        let connection = cluster.tenant(tenant.target());
        let keyring = Keyring::new(tenancy.app().clone(), tenancy.keys().clone());
        let cipher = keyring.cipher(tenant.id).await.expect("unwrap the tenant's key").lasting();
        TestTenant { database, tenancy, tenant, cluster, connection, cipher, scope }
    }

    fn permission_set(&self, registry: &ModuleRegistry) -> PermissionSet {
        if let Some(permissions) = &self.permissions {
            return permissions.iter().copied().collect();
        }
        let rules: Vec<&PermissionRule> = registry.permissions().collect();
        match &self.roles {
            Some(roles) => PermissionSet::of_roles(roles, rules),
            None => rules.iter().map(|rule| rule.permission).collect(),
        }
    }
}

impl TestTenant {
    /// Makes a tenant with every module in the shared database. Its scope has no permissions; a domain crate
    /// names its own with [`TestTenantBuilder::facts`].
    ///
    /// # Panics
    /// As [`TestTenantBuilder::create`].
    pub async fn create() -> Self {
        Self::builder().create().await
    }

    /// Makes a tenant with these modules beside core.
    ///
    /// # Panics
    /// As [`TestTenantBuilder::create`].
    pub async fn with_modules(names: &[&str]) -> Self {
        Self::builder().modules(names).create().await
    }

    /// Makes a tenant with every module, and a scope with everything that these facts of core permit.
    ///
    /// # Panics
    /// As [`TestTenantBuilder::create`].
    pub async fn with_core_facts(facts: ModuleFacts) -> Self {
        Self::builder().facts("core", facts).create().await
    }

    /// Begins a description of a tenant.
    pub fn builder() -> TestTenantBuilder {
        TestTenantBuilder::default()
    }

    /// Makes a second tenant in the same database and the same pool, with the same permissions.
    ///
    /// # Panics
    /// As [`TestTenantBuilder::create`].
    pub async fn another(&self) -> Self {
        let mut builder = Self::builder();
        builder.modules = self.tenant.modules.iter().map(ToString::to_string).collect();
        builder.permissions = Some(self.scope.permissions.iter().collect());
        builder.time_zone = self.tenant.time_zone.name().to_owned();
        builder.currency = self.tenant.currency.code().to_owned();
        builder.locale.clone_from(&self.tenant.locale);
        let registry = Arc::clone(self.tenancy.modules());
        builder.provision(self.database.clone(), self.tenancy.clone(), self.cluster.clone(), &registry).await
    }

    /// Returns a scope with what the roles have by these rules.
    pub fn scope_of(&self, roles: &[Role], rules: &[PermissionRule]) -> TenantScope {
        TenantScope { permissions: PermissionSet::of_roles(roles, rules), ..self.scope.clone() }
    }

    /// Returns a scope with these permissions alone.
    pub fn scope_with(&self, permissions: &[Permission]) -> TenantScope {
        TenantScope { permissions: permissions.iter().copied().collect(), ..self.scope.clone() }
    }
}

/// Returns a slug that no other test of the server has: roles belong to all databases of it.
#[expect(clippy::disallowed_methods, reason = "a test's name is its own")]
pub fn unique_slug() -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("t-{random}")
}
