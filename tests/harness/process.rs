//! The two programs as processes, with folders and ports of their own.
//!
//! Dropping a [`Process`] kills it and waits for it, so a test leaves nothing behind. Every wait has a
//! timeout, and its failure shows what the process has written.

mod left;

pub use left::{checkpoints, with_argument};

use crate::told::event_of;
use common::event::Event;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Timeout of anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(300);
/// Flags with which a coordinator logs events in JSON.
pub const JSON: &[&str] = &["--log-format", "json"];
/// Interval of polling.
const LOOK: Duration = Duration::from_millis(2);

/// A running program whose output is collected.
pub struct Process {
    name: String,
    child: Child,
    said: Arc<Mutex<Said>>,
    reader: Option<JoinHandle<()>>,
}

/// Standard error of a program so far.
#[derive(Debug, Default)]
struct Said {
    text: String,
    /// Events among the lines, if it is a coordinator that logs in JSON.
    events: Vec<Event>,
}

/// Result of a program that has ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code; `None` if a signal ended the program.
    pub code: Option<i32>,
    /// All events that were logged.
    pub events: Vec<Event>,
    /// The whole standard output.
    pub output: String,
    /// The whole standard error.
    pub errors: String,
}

/// Path of the program of that name, built along with this test.
///
/// # Panics
/// When it does not exist: `cargo test --workspace` builds it.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test has a path");
    let folder = this.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built; run cargo test --workspace, or cargo build", path.display());
    path
}

impl Process {
    /// Starts a program without any of this project's environment variables.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program(name));
        command.args(args);
        Self::spawn(name, command)
    }

    /// Starts a program from a shell that first runs `prepare`, a line of POSIX shell.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_after(prepare: &str, name: &str, args: &[&str]) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{prepare}; exec \"$0\" \"$@\"")).arg(program(name)).args(args);
        Self::spawn(name, command)
    }

    /// Starts a program in a process namespace of its own, like a container's; `None` if that is not
    /// permitted.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_contained(name: &str, args: &[&str]) -> Option<Self> {
        let contained = |program: &Path| {
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork", "--kill-child"]).arg(program);
            command
        };
        let permitted = contained(Path::new("true")).stderr(Stdio::null()).status();
        if !permitted.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut command = contained(&program(name));
        command.args(args);
        Some(Self::spawn(name, command))
    }

    /// Starts a program that is talked to: its standard input and output are the caller's.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_to_talk(name: &str, args: &[&str]) -> (Self, ChildStdin, ChildStdout) {
        let mut command = Command::new(program(name));
        command.args(args);
        let mut process = Self::spawn_with(name, command, Stdio::piped());
        let pipes = (process.child.stdin.take(), process.child.stdout.take());
        (process, pipes.0.expect("a pipe"), pipes.1.expect("a pipe"))
    }

    fn spawn(name: &str, command: Command) -> Self {
        Self::spawn_with(name, command, Stdio::null())
    }

    fn spawn_with(name: &str, mut command: Command, input: Stdio) -> Self {
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("LOCKSTEP_") || text == "RUST_LOG" {
                command.env_remove(&variable);
            }
        }
        let pipes = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let said = Arc::<Mutex<Said>>::default();
        let stderr = child.stderr.take().expect("a pipe");
        let sink = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let event = event_of(&line);
                let mut said = sink.lock().unwrap_or_else(PoisonError::into_inner);
                said.text += &line;
                said.text.push('\n');
                said.events.extend(event);
            }
        });
        Self { name: name.to_owned(), child, said, reader: Some(reader) }
    }

    /// Starts a coordinator that listens on `bind` and logs in JSON. Returns it with its address.
    ///
    /// # Panics
    /// When it does not report its address.
    #[must_use]
    pub fn coordinator(bind: &str, args: &[&str]) -> (Self, String) {
        let mut process = Self::start("coordinator", &[&["--bind", bind], JSON, args].concat());
        let address = process.address();
        (process, address)
    }

    /// Waits until a coordinator that logs in JSON reports its address.
    ///
    /// # Panics
    /// When it does not, or has no open port.
    pub fn address(&mut self) -> String {
        match self.wait_for_event("says where it listens", |event| matches!(event, Event::Listening { .. })) {
            Event::Listening { address: Some(address), .. } => address,
            event => panic!("no address: {event}"),
        }
    }

    /// Starts a worker with one thread.
    #[must_use]
    pub fn worker(address: &str, name: &str) -> Self {
        Self::start("worker", &["--connect", address, "--name", name, "--threads", "1"])
    }

    /// Starts a worker with one thread on an x86-64 CPU that `qemu-x86_64` imitates; `None`, with a word on
    /// standard error, where that is not installed.
    ///
    /// # Panics
    /// When the worker does not start.
    #[must_use]
    pub fn worker_on_cpu(cpu: &str, address: &str, name: &str) -> Option<Self> {
        let emulator = || Command::new("qemu-x86_64");
        if !emulator().arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
            host::report("there is no qemu-x86_64 (Debian's qemu-user), so no other CPU is imitated");
            return None;
        }
        let mut command = emulator();
        command.args(["-cpu", cpu]).arg(program("worker"));
        command.args(["--connect", address, "--name", name, "--threads", "1"]);
        Some(Self::spawn(name, command))
    }

    /// Id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A number that the system keeps about the process in `/proc/ID/status`, such as `VmHWM` (peak memory in
    /// kB).
    ///
    /// # Panics
    /// When the process is gone or the system keeps no such number.
    #[must_use]
    pub fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {field} in {status}"))
    }

    /// Number of files and connections that the process has open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).map_or(0, Iterator::count)
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        let sent = kill(Pid::from_raw(self.child.id() as i32), signal);
        sent.unwrap_or_else(|error| panic!("{signal} to {}: {error}\n{}", self.name, self.errors()));
    }

    /// Standard error so far.
    #[must_use]
    pub fn errors(&self) -> String {
        self.said().text.clone()
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of matching events so far.
    #[must_use]
    pub fn events_with(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        self.said().events.iter().filter(|event| is_it(event)).count()
    }

    /// Waits for a matching event and returns the first. `what` describes it in the failure message.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for_event(&mut self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        self.wait_for_events(1, what, is_it)
    }

    /// Waits for `count` matching events and returns the last of them.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_for_events(&mut self, count: usize, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let mut found = None;
        self.wait_until(&format!("{what} ({count} times)"), |said| {
            found = said.events.iter().filter(|event| is_it(event)).nth(count - 1).cloned();
            found.is_some()
        });
        found.expect("found above")
    }

    /// Waits until a line of standard error contains `text`; returns the line.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        self.wait_for_lines(1, text)
    }

    /// Waits until `count` lines of standard error contain `text`; returns the last of them.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_for_lines(&mut self, count: usize, text: &str) -> String {
        let mut found = None;
        self.wait_until(&format!("says {text:?} {count} times"), |said| {
            found = said.text.lines().filter(|line| line.contains(text)).nth(count - 1).map(str::to_owned);
            found.is_some()
        });
        found.expect("found above")
    }

    /// Number of lines of standard error that contain `text` so far.
    #[must_use]
    pub fn lines_with(&self, text: &str) -> usize {
        self.errors().lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until `folder` holds a checkpoint of step `step` or later.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for_checkpoint(&mut self, folder: &Path, step: u64) {
        self.wait_until(&format!("writes a checkpoint of step {step}"), |_| {
            checkpoints(folder).last().is_some_and(|&newest| newest >= step)
        });
    }

    /// Whether the process is still running.
    ///
    /// # Panics
    /// When the system does not know its own child.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// Waits until the process has ended; its output stays available.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait_for_end(&mut self) {
        self.wait_until_ended(PATIENCE);
    }

    fn wait_until_ended(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.is_running() {
            assert!(Instant::now() < deadline, "{} does not end:\n{}", self.name, self.errors());
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn wait(self) -> Outcome {
        self.wait_for(PATIENCE)
    }

    /// Waits for the end of the process, with a timeout of the caller's.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn wait_for(mut self, patience: Duration) -> Outcome {
        // None where the caller reads it.
        let stdout = self.child.stdout.take();
        let output = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.map_or(Ok(0), |stdout| BufReader::new(stdout).read_to_string(&mut text)).map(|_| text)
        });
        self.wait_until_ended(patience);
        let status = self.child.wait().expect("our own child");
        let output = output.join().expect("no panic").expect("text");
        self.reader.take().into_iter().for_each(|reader| reader.join().expect("no panic"));
        let events = self.said().events.clone();
        Outcome { code: status.code(), events, output, errors: self.errors() }
    }

    fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&Said) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().expect("our own child").is_some();
            if ended {
                // The last lines may not have been read yet.
                self.reader.take().into_iter().for_each(|reader| reader.join().expect("no panic"));
            }
            if is_so(&self.said()) {
                return;
            }
            let late = ended || Instant::now() > deadline;
            assert!(!late, "waited in vain until {} {what} (ended: {ended}):\n{}", self.name, self.errors());
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.reader.take().into_iter().for_each(|reader| drop(reader.join()));
    }
}
