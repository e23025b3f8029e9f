//! A double of a schema registry: as much of Confluent's REST API as producers use, with faults. `tests/real_kafka_registry.rs` has a real one.

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// The double. It answers until the test's runtime ends.
pub(crate) struct Registry {
    pub(crate) url: String,
    state: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Subject, schema type, schema; the id is the place, from 1.
    schemas: Vec<(String, String, String)>,
    /// What every request is answered with.
    fault: Option<(u16, String)>,
    /// The only `authorization` that is let in.
    credential: Option<String>,
    requests: Vec<String>,
}

type Shared = State<Arc<Mutex<Inner>>>;
type Answer = (StatusCode, String);

impl Registry {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(Inner::default()));
        let routes = Router::new()
            .route("/subjects/{subject}/versions", post(register))
            .route("/subjects/{subject}", post(look_up))
            .route("/subjects/{subject}/versions/latest", get(latest))
            .with_state(state.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
        Self { url, state }
    }

    /// Puts a schema under a subject; gives its id.
    pub(crate) fn put(&self, subject: &str, kind: &str, schema: &str) -> u32 {
        self.state.lock().unwrap().put(subject, kind, schema)
    }

    /// Answers everything with this status and body from now on; `None` ends it.
    pub(crate) fn fail(&self, fault: Option<(u16, &str)>) {
        self.state.lock().unwrap().fault = fault.map(|(status, body)| (status, body.to_owned()));
    }

    /// Lets in this `authorization` only.
    pub(crate) fn only(&self, credential: &str) {
        self.state.lock().unwrap().credential = Some(credential.to_owned());
    }

    /// The requests so far, as `METHOD path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Subject, type and text of the schema with this id.
    pub(crate) fn schema(&self, id: u32) -> (String, String, String) {
        self.state.lock().unwrap().schemas[id as usize - 1].clone()
    }
}

impl Inner {
    fn put(&mut self, subject: &str, kind: &str, schema: &str) -> u32 {
        let entry = (subject.to_owned(), kind.to_owned(), schema.to_owned());
        let at = self.schemas.iter().position(|known| *known == entry).unwrap_or_else(|| {
            self.schemas.push(entry);
            self.schemas.len() - 1
        });
        u32::try_from(at + 1).unwrap()
    }

    /// Notes the request; an answer if it goes no further.
    fn meet(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Answer> {
        self.requests.push(format!("{method} {}", uri.path()));
        if let Some(wanted) = &self.credential
            && headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(wanted)
        {
            return Some(problem(401, 401, "Unauthorized"));
        }
        let (status, body) = self.fault.clone()?;
        Some((StatusCode::from_u16(status).unwrap(), body))
    }
}

fn problem(status: u16, code: u32, message: &str) -> Answer {
    (StatusCode::from_u16(status).unwrap(), json!({ "error_code": code, "message": message }).to_string())
}

fn found(value: Value) -> Answer {
    (StatusCode::OK, value.to_string())
}

fn supplied(body: &Value) -> (String, String) {
    let kind = body["schemaType"].as_str().unwrap_or("AVRO");
    (kind.to_owned(), body["schema"].as_str().unwrap().to_owned())
}

async fn register(
    State(state): Shared,
    method: Method,
    uri: Uri,
    Path(subject): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let mut state = state.lock().unwrap();
    if let Some(answer) = state.meet(&method, &uri, &headers) {
        return answer;
    }
    let (kind, schema) = supplied(&serde_json::from_str(&body).unwrap());
    found(json!({ "id": state.put(&subject, &kind, &schema) }))
}

async fn look_up(
    State(state): Shared,
    method: Method,
    uri: Uri,
    Path(subject): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Answer {
    let mut state = state.lock().unwrap();
    if let Some(answer) = state.meet(&method, &uri, &headers) {
        return answer;
    }
    let (kind, schema) = supplied(&serde_json::from_str(&body).unwrap());
    let wanted = (subject.clone(), kind, schema.clone());
    match state.schemas.iter().position(|known| *known == wanted) {
        Some(at) => found(json!({ "subject": subject, "id": at + 1, "version": 1, "schema": schema })),
        None => problem(404, 40403, "Schema not found"),
    }
}

async fn latest(
    State(state): Shared,
    method: Method,
    uri: Uri,
    Path(subject): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let mut state = state.lock().unwrap();
    if let Some(answer) = state.meet(&method, &uri, &headers) {
        return answer;
    }
    match state.schemas.iter().rposition(|(known, _, _)| *known == subject) {
        Some(at) => {
            let (_, kind, schema) = &state.schemas[at];
            let mut answer = json!({ "subject": subject, "id": at + 1, "version": 1, "schema": schema });
            if kind != "AVRO" {
                answer["schemaType"] = kind.as_str().into();
            }
            found(answer)
        }
        None => problem(404, 40401, "Subject not found"),
    }
}

/// Not JSON, as what stands before a registry answers.
pub(crate) const PAGE: &str = "<html>Bad gateway</html>";
