//! The whole list of operations, checked before the first request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use actix_web::{http::Method, web::Bytes};
use clinicx_types::permission::{Permission, PermissionRule, PermissionSet, Role};
use serde_json::Value;

use crate::{
    catalog::{Catalog, CatalogDefect},
    disclosure::{self, Trace},
    extract::{self, Length, Shape},
    limit::RateClass,
    module::HttpModule,
    openapi,
    operation::{Access, Answer, Endpoint, Idempotency, IfMatch, Operation},
};

/// What the OpenAPI document says of the service as a whole.
#[derive(Clone, Debug)]
pub struct ApiInfo {
    /// The name of the service.
    pub title: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// What the service is, in Markdown.
    pub description: &'static str,
}

/// Why the list of operations does not fit together; the process must not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it, and the fields name the operation and its part")]
pub enum ApiDefect {
    #[error("the operation {operation} is described twice")]
    DuplicateOperation { operation: &'static str },
    #[error("the operation {operation} stands on a path that {other} has already")]
    DuplicateRoute { operation: &'static str, other: &'static str },
    #[error("the operation {operation} does not say who may call it")]
    NoAccess { operation: &'static str },
    #[error("the operation {operation} needs the permission {permission}, which no rule gives to anybody")]
    UnknownPermission { operation: &'static str, permission: Permission },
    #[error("the operation {operation} has no handler")]
    NoHandler { operation: &'static str },
    #[error("the operation {operation} does not say what it answers")]
    NoAnswer { operation: &'static str },
    #[error("the operation {operation} refuses with the code {code}, which has no text")]
    UnknownCode { operation: &'static str, code: &'static str },
    #[error("the handler of {operation} wants a caller or a tenant, which its access does not provide")]
    ContextMismatch { operation: &'static str },
    #[error("the path of {operation} and the parameters of its handler do not fit")]
    PathMismatch { operation: &'static str },
    #[error("the operation {operation} belongs to a tenant's module and is not inside a tenant")]
    ModuleOutsideTenant { operation: &'static str },
    #[error(
        "the operation {operation} does not say whose data it shows: shows_patients, shows_no_patient or leaves_row"
    )]
    NoTrace { operation: &'static str },
    #[error("the operation {operation} takes a body with GET")]
    BodyOfGet { operation: &'static str },
    #[error("the texts of the problems do not fit")]
    Catalog(#[from] CatalogDefect),
}

/// An operation that has been checked.
pub(crate) struct Checked {
    pub(crate) id: &'static str,
    pub(crate) method: Method,
    pub(crate) base: &'static str,
    pub(crate) full_path: String,
    pub(crate) tag: &'static str,
    pub(crate) tenant_module: Option<&'static str>,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) access: Access,
    pub(crate) closed_to_grants: bool,
    pub(crate) idempotency: Idempotency,
    pub(crate) if_match: IfMatch,
    pub(crate) is_derived: bool,
    pub(crate) trace: Trace,
    pub(crate) answers: Vec<Answer>,
    pub(crate) codes: Vec<&'static str>,
    pub(crate) path_schemas: Vec<(&'static str, Value)>,
    pub(crate) rate: RateClass,
    pub(crate) shape: Shape,
    pub(crate) query_lengths: Vec<Length>,
    pub(crate) endpoint: Endpoint,
}

/// What stands in the permission table about an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationFacts {
    /// Its id.
    pub id: &'static str,
    /// Its method.
    pub method: Method,
    /// Its full path, with the parameters in braces.
    pub path: String,
    /// Who may call it.
    pub access: Access,
    /// The tenant module that it needs.
    pub module: Option<&'static str>,
    /// What it leaves in the audit.
    pub trace: Trace,
}

/// All operations, their document and their words.
pub struct Api {
    operations: Vec<Arc<Checked>>,
    catalog: Catalog,
    rules: Vec<&'static PermissionRule>,
    permissions: Vec<OnceLock<PermissionSet>>,
    document: Value,
    document_text: Bytes,
}

impl Api {
    /// Checks the modules against each other and against the permission table.
    ///
    /// # Errors
    /// [`ApiDefect`] for the first thing that does not fit.
    pub fn new(
        info: &ApiInfo,
        modules: impl IntoIterator<Item = HttpModule>,
        rules: impl IntoIterator<Item = &'static PermissionRule>,
    ) -> Result<Self, ApiDefect> {
        let rules: Vec<_> = rules.into_iter().collect();
        let mut catalog = Catalog::embedded()?;
        let mut operations: Vec<Arc<Checked>> = Vec::new();
        let mut tags = Vec::new();
        for module in modules {
            let HttpModule { name, description, base, module: tenant_module, operations: described, texts } =
                module;
            tags.push((name, description));
            for (language, toml) in texts {
                catalog.add(language, toml)?;
            }
            for operation in described {
                operations.push(Arc::new(check(operation, name, base, tenant_module)?));
            }
        }
        catalog.check()?;
        check_together(&operations, &catalog, &rules)?;
        let document = openapi::document(info, &tags, &operations, &catalog);
        let document_text = serde_json::to_vec(&document).unwrap_or_default().into();
        let permissions = (0..1_usize << Role::ALL.len()).map(|_| OnceLock::new()).collect();
        Ok(Self { operations, catalog, rules, permissions, document, document_text })
    }

    /// Returns the OpenAPI 3.1 document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Lists the operations, for a table of who may do what.
    pub fn operations(&self) -> impl Iterator<Item = OperationFacts> + '_ {
        self.operations.iter().map(|operation| OperationFacts {
            id: operation.id,
            method: operation.method.clone(),
            path: operation.full_path.clone(),
            access: operation.access,
            module: operation.tenant_module,
            trace: operation.trace,
        })
    }

    /// Returns the words of problems.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns what roles may do together; each combination is worked out once.
    pub fn permissions(&self, roles: &[Role]) -> PermissionSet {
        let bit =
            |role: &Role| Role::ALL.iter().position(|other| other == role).map_or(0, |at| 1_usize << at);
        let mask = roles.iter().map(bit).fold(0, |mask, bit| mask | bit);
        let work_out = || PermissionSet::of_roles(roles, self.rules.iter().copied());
        self.permissions.get(mask).map(|set| set.get_or_init(work_out).clone()).unwrap_or_default()
    }

    pub(crate) fn document_text(&self) -> Bytes {
        self.document_text.clone()
    }

    /// Groups the operations by path, the literal before the general: `/slots/next` before `/slots/{id}`.
    pub(crate) fn resources(&self) -> Vec<(String, Vec<Arc<Checked>>)> {
        let mut paths = BTreeMap::<_, Vec<Arc<Checked>>>::new();
        for operation in &self.operations {
            let rank = operation.full_path.split('/').map(|segment| match segment {
                _ if !segment.contains('{') => (0, segment),
                _ if !segment.starts_with('{') || !segment.ends_with('}') => (1, segment),
                _ => (2, ""),
            });
            let key = (rank.collect::<Vec<_>>(), anonymous(&operation.full_path));
            paths.entry(key).or_default().push(Arc::clone(operation));
        }
        paths
            .into_values()
            .filter_map(|operations| Some((operations.first()?.full_path.clone(), operations)))
            .collect()
    }
}

/// Returns the names of a path's parameters.
pub(crate) fn parameters(path: &str) -> Vec<&str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
}

/// Returns a path without the names of its parameters.
fn anonymous(path: &str) -> String {
    parameters(path)
        .into_iter()
        .fold(path.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), "{}"))
}

/// Checks one operation by itself.
fn check(
    described: Operation,
    tag: &'static str,
    base: &'static str,
    tenant_module: Option<&'static str>,
) -> Result<Checked, ApiDefect> {
    let operation = described.id;
    let access = described.access.ok_or(ApiDefect::NoAccess { operation })?;
    let endpoint = described.endpoint.ok_or(ApiDefect::NoHandler { operation })?;
    let shape = described.shape;
    if described.answers.is_empty() {
        return Err(ApiDefect::NoAnswer { operation });
    }
    if (shape.needs_tenant && !access.needs_tenant()) || (shape.needs_caller && access == Access::Public) {
        return Err(ApiDefect::ContextMismatch { operation });
    }
    let names = parameters(described.path);
    let unknown = described.path_schemas.iter().any(|(name, _)| !names.contains(name));
    if shape.path == names.is_empty() || unknown {
        return Err(ApiDefect::PathMismatch { operation });
    }
    if tenant_module.is_some() && !access.needs_tenant() {
        return Err(ApiDefect::ModuleOutsideTenant { operation });
    }
    if described.method == Method::GET && shape.body.is_some() {
        return Err(ApiDefect::BodyOfGet { operation });
    }
    let is_read = disclosure::is_read(&described.method, described.idempotency);
    let trace = described.trace.or_else(|| disclosure::default_of(is_read, access));
    let trace = trace.ok_or(ApiDefect::NoTrace { operation })?;
    let usual = match access == Access::Public && described.method != Method::GET {
        true => RateClass::SignIn,
        false => RateClass::Standard,
    };
    Ok(Checked {
        id: operation,
        method: described.method,
        base,
        full_path: format!("{base}{}", described.path),
        tag,
        tenant_module,
        summary: described.summary,
        description: described.description,
        access,
        closed_to_grants: described.closed_to_grants,
        idempotency: described.idempotency,
        if_match: described.if_match,
        is_derived: described.is_derived,
        trace,
        answers: described.answers,
        codes: described.codes,
        path_schemas: described.path_schemas,
        rate: described.rate.unwrap_or(usual),
        query_lengths: shape.query.map(extract::lengths).unwrap_or_default(),
        shape,
        endpoint,
    })
}

/// Checks the operations against each other, the words and the permission table.
fn check_together(
    operations: &[Arc<Checked>],
    catalog: &Catalog,
    rules: &[&'static PermissionRule],
) -> Result<(), ApiDefect> {
    let mut ids = BTreeSet::new();
    let mut routes: BTreeMap<(String, &str), &'static str> = BTreeMap::new();
    for checked in operations {
        let operation = checked.id;
        if !ids.insert(operation) {
            return Err(ApiDefect::DuplicateOperation { operation });
        }
        let route = (anonymous(&checked.full_path), checked.method.as_str());
        if let Some(other) = routes.insert(route, operation) {
            return Err(ApiDefect::DuplicateRoute { operation, other });
        }
        if let Some(code) = checked.codes.iter().find(|code| catalog.status(code).is_none()) {
            return Err(ApiDefect::UnknownCode { operation, code });
        }
        if let Access::Tenant(permission) = checked.access
            && !rules.iter().any(|rule| rule.permission == permission)
        {
            return Err(ApiDefect::UnknownPermission { operation, permission });
        }
    }
    Ok(())
}
