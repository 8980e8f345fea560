//! The clinic's catalogue of procedures.

use clinicx_dental::{
    NAME, ProcedureCodeId,
    permission::{PROCEDURE_CODE_READ, PROCEDURE_CODE_WRITE},
    procedure_code::{
        self, Category, CreateProcedureCode, ImportProcedureCodes, ImportedProcedureCodes, ProcedureCode,
        ProcedureCodeFilter, UpdateProcedureCode,
    },
};
use clinicx_web::{Access, ApiError, Body, HttpModule, List, Operation, Path, Reply, TenantCx};
use schemars::JsonSchema;
use serde::Deserialize;

/// The operations on the catalogue.
pub fn module() -> HttpModule {
    let read = Access::Tenant(PROCEDURE_CODE_READ);
    let write = Access::Tenant(PROCEDURE_CODE_WRITE);
    HttpModule::new("procedure-codes", "The clinic's catalogue of procedures").requires(NAME).operations([
        Operation::post("/procedure-codes", "create_procedure_code")
            .summary("Add a procedure")
            .access(write)
            .answers::<ProcedureCode>(201)
            .errors(&["code_taken"])
            .handler(create),
        Operation::get("/procedure-codes", "list_procedure_codes")
            .summary("List procedures")
            .access(read)
            .shows_no_patient()
            .answers_page::<ProcedureCode>()
            .handler(list),
        Operation::post("/procedure-codes/import", "import_procedure_codes")
            .summary("Take over a clinic's own catalogue from a file")
            .description(
                "All of the file or nothing: each wrong field is named as `/csv/<line>/<column>`. Codes that are there \
                 already are changed in the columns that the file has.",
            )
            .access(write)
            .answers::<ImportedProcedureCodes>(200)
            .errors(&["code_taken"])
            .handler(import),
        Operation::get("/procedure-codes/{id}", "get_procedure_code")
            .summary("Show a procedure")
            .access(read)
            .shows_no_patient()
            .answers::<ProcedureCode>(200)
            .errors(&["not_found"])
            .handler(get),
        Operation::patch("/procedure-codes/{id}", "update_procedure_code")
            .summary("Change a procedure")
            .description(
                "An absent field stays as it is; `null` clears it. What was planned before keeps its price.",
            )
            .access(write)
            .answers::<ProcedureCode>(200)
            .errors(&["not_found"])
            .handler(update),
    ])
}

/// Which procedures are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Those whose code or name contains this.
    #[schemars(length(max = 200))]
    q: Option<String>,
    /// Those of this kind.
    category: Option<Category>,
    /// Those that can be planned, or the others.
    active: Option<bool>,
}

async fn create(cx: TenantCx, Body(input): Body<CreateProcedureCode>) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move {
            let made = procedure_code::create(tx, scope, input).await?;
            Ok(Reply::created(format!("/procedure-codes/{}", made.id), &made))
        })
    })
    .await
}

async fn list(cx: TenantCx, list: List<Wanted>) -> Result<Reply, ApiError> {
    let Wanted { q, category, active } = list.filter.clone();
    let filter = ProcedureCodeFilter { q, category, active };
    let page =
        cx.read(async |tx, scope| Ok(procedure_code::list(tx, scope, &filter, &list.page).await?)).await?;
    Ok(Reply::page(&list, &page))
}

async fn import(cx: TenantCx, Body(input): Body<ImportProcedureCodes>) -> Result<Reply, ApiError> {
    cx.write(move |tx, scope| {
        let input = input.clone();
        Box::pin(async move { Ok(Reply::ok(&procedure_code::import(tx, scope, input).await?)) })
    })
    .await
}

async fn get(cx: TenantCx, Path(id): Path<ProcedureCodeId>) -> Result<Reply, ApiError> {
    let found = procedure_code::get(&cx.connection()?, cx.scope(), id).await?;
    Ok(Reply::ok(&found))
}

async fn update(
    cx: TenantCx,
    Path(id): Path<ProcedureCodeId>,
    Body(patch): Body<UpdateProcedureCode>,
) -> Result<Reply, ApiError> {
    let expected = cx.expected_version();
    cx.write(move |tx, scope| {
        let patch = patch.clone();
        Box::pin(async move { Ok(Reply::ok(&procedure_code::update(tx, scope, id, expected, patch).await?)) })
    })
    .await
}
