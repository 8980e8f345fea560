//! The routes of one module, as a value that the application lists.

use clinicx_types::lang::Language;

use crate::operation::Operation;

/// Where operations are mounted unless a module says otherwise.
pub const BASE: &str = "/api/v1";

/// A group of operations that belong together.
#[must_use]
pub struct HttpModule {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) base: &'static str,
    pub(crate) module: Option<&'static str>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) texts: Vec<(Language, &'static str)>,
}

impl HttpModule {
    /// Begins a group; the name is its tag in the OpenAPI document.
    pub fn new(name: &'static str, description: &'static str) -> Self {
        Self { name, description, base: BASE, module: None, operations: Vec::new(), texts: Vec::new() }
    }

    /// Names the tenant module without which the operations answer 403 `module_not_enabled`.
    pub fn requires(self, module: &'static str) -> Self {
        Self { module: Some(module), ..self }
    }

    /// Mounts the operations elsewhere than under [`BASE`]; `""` is the root.
    pub fn mounted_at(self, base: &'static str) -> Self {
        Self { base, ..self }
    }

    /// Adds operations.
    pub fn operations(mut self, operations: impl IntoIterator<Item = Operation>) -> Self {
        self.operations.extend(operations);
        self
    }

    /// Adds the words for the module's own codes in one language, as TOML in the form of the kit's own
    /// catalogs: `[problems.<code>]` with `title` and `detail` (in English `status` too), `[fields]` with a
    /// text for each code of a field. Every code needs all languages.
    pub fn texts(mut self, language: Language, toml: &'static str) -> Self {
        self.texts.push((language, toml));
        self
    }
}
