//! A small tracker in this process, with MLflow's rule for equal numbers. It can go away, and break off an
//! answer after it has done what was asked.

use crate::observe::login::Login;
use crate::observe::server::Server;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Timeout for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Fake {
    address: SocketAddr,
    shared: Arc<(Mutex<Kept>, Condvar)>,
}

#[derive(Default)]
struct Kept {
    runs: Vec<Value>,
    /// Numbers of each run, in their order.
    metrics: Vec<Vec<Value>>,
    has_experiment: bool,
    is_away: bool,
    breaks_off: bool,
    largest_batch: usize,
    asked: usize,
    /// The header that asks to be let in, if others are not.
    wanted: Option<String>,
}

impl Fake {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new((Mutex::new(Kept::default()), Condvar::new()));
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(stream.unwrap(), &theirs);
            }
        });
        Self { address, shared }
    }

    pub(super) fn server(&self) -> Server {
        self.server_for(Login::default())
    }

    pub(super) fn server_for(&self, login: Login) -> Server {
        Server::new(format!("http://{}/", self.address).parse().unwrap(), login)
    }

    /// From now on it answers only to requests that have this header.
    pub(super) fn want(&self, header: &str) {
        self.kept(|kept| kept.wanted = Some(header.to_owned()));
    }

    fn kept<T>(&self, get: impl FnOnce(&mut Kept) -> T) -> T {
        get(&mut self.shared.0.lock().unwrap())
    }

    pub(super) fn go_away(&self, is_away: bool) {
        self.kept(|kept| kept.is_away = is_away);
    }

    /// The next batch is stored, and not answered.
    pub(super) fn break_off(&self) {
        self.kept(|kept| kept.breaks_off = true);
    }

    /// Waits until a run has so many steps.
    pub(super) fn when_steps(&self, steps: u64) {
        let has = |kept: &mut Kept| {
            let all = kept.metrics.last().into_iter().flatten();
            all.filter(|metric| metric["key"] == "train/loss").count() as u64 >= steps
        };
        let (kept, changed) = &*self.shared;
        let waited = changed.wait_timeout_while(kept.lock().unwrap(), PATIENCE, |kept| !has(kept)).unwrap();
        assert!(!waited.1.timed_out(), "no {steps} steps");
    }

    /// The numbers of the last run.
    pub(super) fn metrics(&self) -> Vec<Value> {
        self.kept(|kept| kept.metrics.last().cloned().unwrap_or_default())
    }

    pub(super) fn runs(&self) -> usize {
        self.kept(|kept| kept.runs.len())
    }

    pub(super) fn asked(&self) -> usize {
        self.kept(|kept| kept.asked)
    }

    pub(super) fn largest_batch(&self) -> usize {
        self.kept(|kept| kept.largest_batch)
    }

    /// What the last run is.
    pub(super) fn info(&self) -> Value {
        self.info_of(self.runs() - 1)
    }

    pub(super) fn info_of(&self, run: usize) -> Value {
        self.kept(|kept| kept.runs[run].clone())
    }
}

fn answer(stream: TcpStream, shared: &(Mutex<Kept>, Condvar)) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(&stream);
    let (mut first, mut length, mut headers) = (String::new(), 0, Vec::new());
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        headers.push(line.to_owned());
        if let Some(bytes) = line.to_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or_default().replace("/api/2.0/mlflow/", "");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut kept = shared.0.lock().unwrap();
    if kept.is_away {
        return Ok(());
    }
    kept.asked += 1;
    let is_let_in = kept.wanted.as_ref().is_none_or(|wanted| headers.contains(wanted));
    let reply = if is_let_in { kept.reply(&path, &body) } else { None };
    let is_batch = body["metrics"].is_array();
    shared.1.notify_all();
    if is_batch && std::mem::take(&mut kept.breaks_off) {
        return Ok(());
    }
    drop(kept);
    let (status, reply) = match reply {
        Some(reply) => ("200 OK", reply),
        None if !is_let_in => ("401 Unauthorized", json!({})),
        None => ("404 Not Found", json!({"error_code": "RESOURCE_DOES_NOT_EXIST"})),
    };
    let reply = reply.to_string();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", reply.len());
    (&stream).write_all((head + &reply).as_bytes())
}

impl Kept {
    fn reply(&mut self, path: &str, body: &Value) -> Option<Value> {
        let run_of = |id: &Value| id.as_str().and_then(|id| id.strip_prefix("run")?.parse::<usize>().ok());
        match path.split('?').next().unwrap_or_default() {
            "experiments/get-by-name" => {
                self.has_experiment.then(|| json!({"experiment": {"experiment_id": "7"}}))
            }
            "experiments/create" => {
                self.has_experiment = true;
                Some(json!({"experiment_id": "7"}))
            }
            "runs/search" => {
                let is_meant = |run: &&Value| {
                    let key = run["tags"]["lockstep.key"].as_str().unwrap();
                    body["filter"] == format!("tags.`lockstep.key` = '{key}'")
                };
                let found: Vec<Value> = self
                    .runs
                    .iter()
                    .filter(is_meant)
                    .map(|run| json!({"info": {"run_id": run["id"]}}))
                    .collect();
                Some(json!({ "runs": found }))
            }
            "runs/create" => {
                assert_eq!(body["experiment_id"], "7");
                let id = format!("run{}", self.runs.len());
                let mut run = json!({"id": id, "start_time": body["start_time"], "tags": {}, "params": {}});
                for tag in body["tags"].as_array().unwrap() {
                    run["tags"][tag["key"].as_str().unwrap()] = tag["value"].clone();
                }
                self.runs.push(run);
                self.metrics.push(Vec::new());
                Some(json!({"run": {"info": {"run_id": id}}}))
            }
            "runs/get" => {
                let run = run_of(&path.rsplit('=').next().unwrap_or_default().into())?;
                let mut latest = std::collections::BTreeMap::new();
                for metric in self.metrics.get(run)? {
                    latest.insert(metric["key"].as_str().unwrap(), metric.clone());
                }
                let metrics: Vec<Value> = latest.into_values().collect();
                Some(json!({"run": {"info": {"run_id": format!("run{run}")}, "data": {"metrics": metrics}}}))
            }
            "runs/set-tag" => {
                let run = run_of(&body["run_id"])?;
                self.runs[run]["tags"][body["key"].as_str().unwrap()] = body["value"].clone();
                Some(json!({}))
            }
            "runs/update" => {
                let run = run_of(&body["run_id"])?;
                self.runs[run]["status"] = body["status"].clone();
                Some(json!({}))
            }
            "runs/log-batch" => {
                let run = run_of(&body["run_id"])?;
                for param in body["params"].as_array().into_iter().flatten() {
                    self.runs[run]["params"][param["key"].as_str().unwrap()] = param["value"].clone();
                }
                let metrics = body["metrics"].as_array().cloned().unwrap_or_default();
                self.largest_batch = self.largest_batch.max(metrics.len());
                for metric in metrics {
                    if !self.metrics[run].contains(&metric) {
                        self.metrics[run].push(metric);
                    }
                }
                Some(json!({}))
            }
            _ => None,
        }
    }
}
