//! An issuer that does what a test tells it to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use super::forge::Key;

/// What the issuer answers, and what it was asked.
#[derive(Default)]
pub(super) struct State {
    /// Parts of its description that are other than they should be.
    pub(super) description: Value,
    /// The keys that it publishes.
    pub(super) keys: Vec<Value>,
    /// Answers to codes, each good once.
    pub(super) codes: HashMap<String, Value>,
    /// The forms that were sent for tokens, with the header `Authorization`.
    pub(super) asked: Vec<(HashMap<String, String>, Option<String>)>,
    /// Paths that are answered with this status, this place to go to and this body.
    pub(super) instead: HashMap<String, (u16, String, String)>,
    /// Whether it fails.
    pub(super) fails: bool,
    /// How often each path was asked for.
    pub(super) hits: HashMap<String, usize>,
}

/// A running issuer.
pub(super) struct Issuer {
    pub(super) url: String,
    pub(super) key: Key,
    pub(super) state: Arc<Mutex<State>>,
}

impl Issuer {
    /// Starts one on a thread of its own.
    pub(super) fn start(key: Key) -> Self {
        let state = Arc::new(Mutex::new(State { keys: vec![key.jwk()], ..State::default() }));
        let (sender, receiver) = std::sync::mpsc::channel();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let shared = Arc::clone(&shared);
                    App::new().default_service(web::to(move |request: HttpRequest, body: String| {
                        let answer = answer(&mut shared.lock().unwrap(), &request, &body);
                        async move { answer }
                    }))
                })
                .workers(1)
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .unwrap();
                sender.send(server.addrs()[0]).unwrap();
                server.run().await.unwrap();
            });
        });
        let url = format!("http://{}", receiver.recv().unwrap());
        Self { url, key, state }
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    pub(super) fn hits(&self, path: &str) -> usize {
        self.state.lock().unwrap().hits.get(path).copied().unwrap_or_default()
    }
}

fn answer(state: &mut State, request: &HttpRequest, body: &str) -> HttpResponse {
    *state.hits.entry(request.path().to_owned()).or_default() += 1;
    if state.fails {
        return HttpResponse::ServiceUnavailable().finish();
    }
    if let Some((status, location, body)) = state.instead.get(request.path()) {
        let status = actix_web::http::StatusCode::from_u16(*status).unwrap();
        return HttpResponse::build(status).insert_header(("location", location.as_str())).body(body.clone());
    }
    let host = request.connection_info().host().to_owned();
    match request.path() {
        "/.well-known/openid-configuration" => {
            let url = format!("http://{host}");
            let mut description = json!({
                "issuer": url,
                "jwks_uri": format!("{url}/keys"),
                "authorization_endpoint": format!("{url}/authorize?fixed=1"),
                "token_endpoint": format!("{url}/token"),
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            });
            for (name, value) in state.description.as_object().into_iter().flatten() {
                description[name] = value.clone();
            }
            HttpResponse::Ok().json(description)
        }
        "/keys" => HttpResponse::Ok().json(json!({ "keys": state.keys })),
        "/token" => {
            let form: HashMap<String, String> =
                url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            let code = form.get("code").cloned().unwrap_or_default();
            let authorization =
                request.headers().get("authorization").map(|v| v.to_str().unwrap().to_owned());
            state.asked.push((form, authorization));
            match state.codes.remove(&code) {
                Some(tokens) => HttpResponse::Ok().json(tokens),
                None => HttpResponse::BadRequest().json(json!({"error": "invalid_grant"})),
            }
        }
        _ => HttpResponse::NotFound().finish(),
    }
}
