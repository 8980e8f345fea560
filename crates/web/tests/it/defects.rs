//! A list of operations that does not fit together is refused before anything is served.

use clinicx_types::permission::Permission;
use clinicx_web::{
    Access, Api, ApiDefect, ApiError, CallerCx, Cx, HttpModule, Operation, Path, Reply, TenantCx,
};

use crate::module::{INFO, RULES, THING_READ, module};

async fn plain(_: Cx) -> Result<Reply, ApiError> {
    Ok(Reply::no_content())
}

async fn inside(_: TenantCx) -> Result<Reply, ApiError> {
    Ok(Reply::no_content())
}

async fn known(_: CallerCx) -> Result<Reply, ApiError> {
    Ok(Reply::no_content())
}

async fn by_name(_: Cx, _: Path<String>) -> Result<Reply, ApiError> {
    Ok(Reply::no_content())
}

fn defect(operation: Operation) -> ApiDefect {
    let extra = HttpModule::new("extra", "Extra").operations([operation]);
    Api::new(&INFO, [module(), extra], RULES.iter()).err().expect("a defect")
}

fn good(path: &'static str, id: &'static str) -> Operation {
    Operation::get(path, id).access(Access::Tenant(THING_READ)).shows_no_patient().answers_empty(204)
}

#[test]
fn each_defect_is_found_at_the_start() {
    macro_rules! check {
        ($operation:expr, $defect:pat) => {
            let found = defect($operation);
            assert!(matches!(found, $defect), "{found:?}");
        };
    }
    check!(good("/x", "get_thing").handler(plain), ApiDefect::DuplicateOperation { operation: "get_thing" });
    check!(
        good("/things/{other}", "x").handler(by_name),
        ApiDefect::DuplicateRoute { operation: "x", other: "get_thing" }
    );
    check!(Operation::get("/x", "x").answers_empty(204).handler(plain), ApiDefect::NoAccess { .. });
    let unknown = Access::Tenant(Permission("thing.fly"));
    check!(good("/x", "x").access(unknown).handler(plain), ApiDefect::UnknownPermission { .. });
    let silent = Operation::get("/x", "x").access(Access::Tenant(THING_READ)).answers_empty(204);
    check!(silent.handler(plain), ApiDefect::NoTrace { operation: "x" });
    check!(good("/x", "x"), ApiDefect::NoHandler { .. });
    check!(Operation::get("/x", "x").access(Access::Public).handler(plain), ApiDefect::NoAnswer { .. });
    check!(good("/x", "x").errors(&["never_heard_of"]).handler(plain), ApiDefect::UnknownCode { .. });
    check!(good("/x", "x").access(Access::Authenticated).handler(inside), ApiDefect::ContextMismatch { .. });
    check!(good("/x", "x").access(Access::Public).handler(known), ApiDefect::ContextMismatch { .. });
    check!(good("/x/{id}", "x").handler(plain), ApiDefect::PathMismatch { .. });
    check!(good("/x", "x").handler(by_name), ApiDefect::PathMismatch { .. });
}

#[test]
fn a_module_of_a_tenant_stands_inside_tenants() {
    let operation = good("/x", "x").access(Access::Operator).handler(plain);
    let extra = HttpModule::new("extra", "Extra").requires("dental").operations([operation]);
    let found = Api::new(&INFO, [extra], RULES.iter()).err();
    assert!(matches!(found, Some(ApiDefect::ModuleOutsideTenant { .. })), "{found:?}");
}
