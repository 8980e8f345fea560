//! The OpenAPI document, a page to read it on, and what each code of a problem means.

mod viewer;

use actix_web::{
    HttpRequest,
    http::header,
    web::{self, ServiceConfig},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use crate::{error::ApiError, headers, idempotency, kit::Kit, reply::Reply, serve};

/// Lets the page run the program's own scripts and nothing else; its script sets styles on elements.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

#[derive(Serialize)]
struct Meaning<'a> {
    code: &'a str,
    status: u16,
    title: &'a str,
    detail: &'a str,
}

/// Mounts the pages.
pub(crate) fn configure(kit: &Kit, config: &mut ServiceConfig) {
    let text = kit.api().document_text();
    let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(idempotency::digest(&[&text])));
    page(kit, config, "/openapi.json", move |_, kit| {
        let mut reply = Reply::content("application/json", kit.api().document_text());
        reply.etag = Some(etag.clone());
        Ok(reply.with_header(header::CACHE_CONTROL, "no-cache"))
    });
    page(kit, config, "/docs", |request, _| Ok(of_the_page(viewer::file(request, "")?)));
    page(kit, config, "/docs/{file:.*}", |request, _| {
        Ok(of_the_page(viewer::file(request, request.match_info().query("file"))?))
    });
    page(kit, config, "/problems/{code}", |request, kit| {
        let code = request.match_info().query("code");
        let catalog = kit.api().catalog();
        let status = catalog.status(code).ok_or_else(ApiError::not_found)?;
        let language = headers::language(request);
        let (title, detail) = catalog.words(code, status, language);
        let reply = Reply::ok(&Meaning { code, status: status.as_u16(), title, detail });
        Ok(reply
            .with_header(header::CONTENT_LANGUAGE, language.tag())
            .with_header(header::VARY, header::ACCEPT_LANGUAGE.as_str()))
    });
}

fn of_the_page(reply: Reply) -> Reply {
    reply
        .with_header(header::CACHE_CONTROL, "no-cache")
        .with_header(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
}

fn page<F>(kit: &Kit, config: &mut ServiceConfig, path: &str, answer: F)
where
    F: Fn(&HttpRequest, &Kit) -> Result<Reply, ApiError> + Clone + 'static,
{
    use actix_web::http::Method;
    let mut resource = web::resource(path.to_owned());
    for method in [Method::GET, Method::HEAD] {
        let (kit, answer) = (kit.clone(), answer.clone());
        resource = resource.route(web::method(method).to(move |request: HttpRequest| {
            let outcome = answer(&request, &kit);
            let response = serve::plain(&kit, &request, outcome);
            async move { response }
        }));
    }
    let kit = kit.clone();
    config.service(resource.default_service(web::to(move |request: HttpRequest| {
        let response = serve::other_method(&kit, &request, vec![Method::GET, Method::HEAD, Method::OPTIONS]);
        async move { response }
    })));
}
