//! A tracker by its REST API: one question, one answer, with a deadline and a size.

use super::lines::Metric;
use super::state::is_run_id;
use crate::observe::server::Server;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use ureq::Agent;

/// Time for an answer, from the look-up of the tracker's name on.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Experiment of all runs.
const EXPERIMENT: &str = "lockstep";
/// Tag by which a run is found again.
const KEY_TAG: &str = "lockstep.key";
/// Most parameters of a batch, by MLflow's limits.
const PARAMS_MAX: usize = 100;
/// Most characters of a parameter's value that every version of MLflow takes.
const PARAM_CHARS_MAX: usize = 500;

/// The address of a tracker: http or https, without a name or password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri(String);

impl FromStr for Uri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let rest = rest.ok_or("it must begin with http:// or https://: the address of a tracking server")?;
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() || rest.contains(['?', '#', ' ']) || rest.chars().any(char::is_control) {
            return Err("it is no address of a server, such as http://127.0.0.1:5000".to_owned());
        }
        if host.contains('@') {
            return Err(
                "it must have no user name or password, which files and logs would show; docs/metrics.md names \
                 environment variables for them"
                    .to_owned(),
            );
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a question has no answer that is of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrackerError {
    /// It can't be reached or does not answer.
    #[error("it gives no answer ({0})")]
    Silent(ureq::Error),
    /// It refuses.
    #[error("it answers with HTTP status {status} {code}")]
    Refused { status: u16, code: String },
    /// It does not take the login, or misses one.
    #[error("it does not let this program in (HTTP status {0}); docs/metrics.md says how to log in")]
    Stranger(u16),
    /// The answer is another one than MLflow's.
    #[error("it does not answer as MLflow does; check the address")]
    Foreign,
}

impl TrackerError {
    /// Whether it says that what was asked for does not exist.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, code } if code == "RESOURCE_DOES_NOT_EXIST")
    }

    fn is_there_already(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "RESOURCE_ALREADY_EXISTS")
    }
}

/// How a run of the tracker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Running,
    Finished,
    Killed,
    Failed,
}

/// A tracker.
pub(super) struct Tracker {
    agent: Agent,
    server: Server,
    uri: String,
}

impl Tracker {
    pub(super) fn new(server: &Server) -> Self {
        let (agent, uri) = (server.agent(REQUEST_TIMEOUT), server.uri().to_string());
        Self { agent, server: server.clone(), uri }
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// The run that has this key; a new one if there is none.
    pub(super) fn run(&self, key: &str, name: &str, base_ms: u64) -> Result<String, TrackerError> {
        let experiment = self.experiment()?;
        let filter = format!("tags.`{KEY_TAG}` = '{key}'");
        let found = self.post(
            "runs/search",
            &json!({"experiment_ids": [experiment], "filter": filter, "max_results": 1}),
        )?;
        if let Some(run_id) = found["runs"][0]["info"]["run_id"].as_str() {
            return checked(run_id);
        }
        let tags =
            json!([{"key": KEY_TAG, "value": key}, {"key": "mlflow.source.name", "value": "lockstep"}]);
        let run = json!({"experiment_id": experiment, "start_time": base_ms, "run_name": name, "tags": tags});
        checked(self.post("runs/create", &run)?["run"]["info"]["run_id"].as_str().unwrap_or_default())
    }

    fn experiment(&self) -> Result<String, TrackerError> {
        let get = || {
            let found = self.get(&format!("experiments/get-by-name?experiment_name={EXPERIMENT}"))?;
            found["experiment"]["experiment_id"].as_str().map(str::to_owned).ok_or(TrackerError::Foreign)
        };
        match get() {
            Err(error) if error.is_missing() => {
                match self.post("experiments/create", &json!({"name": EXPERIMENT})) {
                    // Another run was faster.
                    Err(error) if error.is_there_already() => get(),
                    created => {
                        let created = created?;
                        created["experiment_id"].as_str().map(str::to_owned).ok_or(TrackerError::Foreign)
                    }
                }
            }
            other => other,
        }
    }

    /// The last step of each number that the tracker has of a run.
    pub(super) fn latest(&self, run_id: &str) -> Result<BTreeMap<String, u64>, TrackerError> {
        let found = self.get(&format!("runs/get?run_id={run_id}"))?;
        if !found["run"]["info"].is_object() {
            return Err(TrackerError::Foreign);
        }
        let metrics = found["run"]["data"]["metrics"].as_array();
        let latest = metrics.into_iter().flatten().filter_map(|metric| {
            // Versions differ in whether they write a large number as a text.
            let step = &metric["step"];
            let step = step.as_u64().or_else(|| step.as_str()?.parse().ok()).unwrap_or(0);
            Some((metric["key"].as_str()?.to_owned(), step))
        });
        Ok(latest.collect())
    }

    /// Has it keep numbers. The time of a number is a function of its step.
    pub(super) fn log(&self, run_id: &str, metrics: &[Metric], base_ms: u64) -> Result<(), TrackerError> {
        let one = |metric: &Metric| {
            let Metric { key, value, step } = metric;
            json!({"key": key, "value": value, "step": step, "timestamp": base_ms.saturating_add(*step)})
        };
        let metrics: Vec<Value> = metrics.iter().map(one).collect();
        self.post("runs/log-batch", &json!({"run_id": run_id, "metrics": metrics})).map(drop)
    }

    /// Has it keep the settings, of each its beginning.
    pub(super) fn log_params(
        &self,
        run_id: &str,
        params: &BTreeMap<String, String>,
    ) -> Result<(), TrackerError> {
        let param = |(key, value): (&String, &String)| {
            let value: String = value.chars().take(PARAM_CHARS_MAX).collect();
            json!({"key": key, "value": value})
        };
        let params: Vec<Value> = params.iter().map(param).collect();
        for params in params.chunks(PARAMS_MAX) {
            self.post("runs/log-batch", &json!({"run_id": run_id, "params": params}))?;
        }
        Ok(())
    }

    /// Has it keep a tag.
    pub(super) fn tag(&self, run_id: &str, key: &str, value: &str) -> Result<(), TrackerError> {
        self.post("runs/set-tag", &json!({"run_id": run_id, "key": key, "value": value})).map(drop)
    }

    /// Says how a run stands, and when it ended if it has.
    pub(super) fn update(&self, run_id: &str, status: Status, now_ms: u64) -> Result<(), TrackerError> {
        let name = match status {
            Status::Running => "RUNNING",
            Status::Finished => "FINISHED",
            Status::Killed => "KILLED",
            Status::Failed => "FAILED",
        };
        let mut update = json!({"run_id": run_id, "status": name});
        if status != Status::Running {
            update["end_time"] = now_ms.into();
        }
        self.post("runs/update", &update).map(drop)
    }

    fn get(&self, path: &str) -> Result<Value, TrackerError> {
        answer(self.server.show_login(self.agent.get(self.address(path))).call())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, TrackerError> {
        let request = self.server.show_login(self.agent.post(self.address(path)));
        let request = request.content_type("application/json");
        answer(request.send(body.to_string()))
    }

    fn address(&self, path: &str) -> String {
        format!("{}/api/2.0/mlflow/{path}", self.uri)
    }
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, TrackerError> {
    let mut response = result.map_err(TrackerError::Silent)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    let body: Option<Value> = serde_json::from_slice(&body.map_err(TrackerError::Silent)?).ok();
    match status {
        200 => return body.ok_or(TrackerError::Foreign),
        401 | 403 => return Err(TrackerError::Stranger(status)),
        _ => {}
    }
    let code = body.as_ref().and_then(|body| body["error_code"].as_str()).unwrap_or_default();
    let code: String = code.chars().filter(|c| c.is_ascii_uppercase() || *c == '_').take(60).collect();
    Err(TrackerError::Refused { status, code })
}

fn checked(run_id: &str) -> Result<String, TrackerError> {
    if is_run_id(run_id) { Ok(run_id.to_owned()) } else { Err(TrackerError::Foreign) }
}
