//! A disk in memory that forgets what was not synced, keeps every state that it was in, and fails when told
//! to.
//!
//! After a crash each directory has its entries as they were after any of its changes since its last sync.
//! Each file has any beginning of its content that is not shorter than what was synced. Each node is
//! independent of the others, because no file system promises an order between them.

use super::super::disk::{Disk, NewFile};
use common::rng::Stream;
use host::files::{FileError, Kind};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Entries = BTreeMap<String, usize>;

#[derive(Clone, Debug)]
enum Node {
    /// The entries after each change since the last sync, the synced ones first.
    Directory(Vec<Entries>),
    File {
        content: Vec<u8>,
        /// Number of durable bytes.
        synced: usize,
        /// Whether a sync has failed, so that the file must not be used.
        lost: bool,
    },
}

/// Everything on the disk or on its way there. Node 0 is the root.
#[derive(Clone, Debug)]
pub(super) struct State(Vec<Node>);

/// The fault to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The nth call fails with this error, a write in the middle.
    Error(usize, ErrorKind),
    /// The nth sync does nothing and reports success.
    IgnoredSync(usize),
    /// There are no renames.
    NoRename,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// The state after each call.
    history: Vec<State>,
    fault: Option<Fault>,
    calls: usize,
    syncs: usize,
}

/// The disk; its clones are the same disk.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The path of its root.
    root: PathBuf,
    inner: Arc<Mutex<Inner>>,
}

impl State {
    fn entries(&self, directory: usize) -> io::Result<&Entries> {
        match &self.0[directory] {
            Node::Directory(versions) => Ok(versions.last().expect("one at least")),
            Node::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// Changes a directory's entries.
    fn change(&mut self, directory: usize, change: impl FnOnce(&mut Entries)) -> io::Result<()> {
        let mut entries = self.entries(directory)?.clone();
        change(&mut entries);
        let Node::Directory(versions) = &mut self.0[directory] else { unreachable!("it has entries") };
        versions.push(entries);
        Ok(())
    }

    fn add(&mut self, directory: usize, name: String, node: Node) -> io::Result<usize> {
        if self.entries(directory)?.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.0.push(node);
        let id = self.0.len() - 1;
        self.change(directory, |entries| {
            entries.insert(name, id);
        })?;
        Ok(id)
    }

    /// Number of ways in which each node may survive a crash; the product may be huge.
    fn outcomes(&self, node: &Node) -> usize {
        match node {
            Node::Directory(versions) => versions.len(),
            Node::File { content, synced, .. } => content.len() - synced + 1,
        }
    }

    /// The disk after a crash; `choose` picks one of a node's possible states.
    pub(super) fn crashed(&self, mut choose: impl FnMut(usize, usize) -> usize) -> Self {
        let after = self.0.iter().enumerate().map(|(id, node)| {
            let chosen = choose(id, self.outcomes(node));
            match node {
                Node::Directory(versions) => Node::Directory(vec![versions[chosen].clone()]),
                Node::File { content, synced, .. } => {
                    let content = content[..synced + chosen].to_vec();
                    Node::File { synced: content.len(), content, lost: false }
                }
            }
        });
        Self(after.collect())
    }

    /// The states in which one node survives in each of its ways while all others are complete or as synced,
    /// and a number of states in which each node is drawn at random.
    pub(super) fn crashes(&self, by_chance: u64) -> Vec<Self> {
        let mut all = Vec::new();
        for (id, node) in self.0.iter().enumerate() {
            for outcome in 0..self.outcomes(node) {
                for others_complete in [false, true] {
                    all.push(self.crashed(|other, of| match other == id {
                        true => outcome,
                        false if others_complete => of - 1,
                        false => 0,
                    }));
                }
            }
        }
        for seed in 0..by_chance {
            let mut random = Stream::new(seed, "crash", &[]);
            all.push(self.crashed(|_, of| random.below(of as u32) as usize));
        }
        all
    }
}

impl Model {
    /// An empty disk whose root has this path.
    pub(super) fn new(root: &Path) -> Self {
        Self::of(root, State(vec![Node::Directory(vec![Entries::new()])]))
    }

    /// A disk in this state.
    pub(super) fn of(root: &Path, state: State) -> Self {
        let inner = Inner { state, history: Vec::new(), fault: None, calls: 0, syncs: 0 };
        Self { root: root.to_owned(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// Sets the fault for all further calls, and forgets the history.
    pub(super) fn set(&self, fault: Option<Fault>) {
        let mut inner = self.lock();
        inner.fault = fault;
        inner.calls = 0;
        inner.syncs = 0;
        inner.history = vec![inner.state.clone()];
    }

    /// Every state since the last [`set`](Self::set), that one first.
    pub(super) fn history(&self) -> Vec<State> {
        self.lock().history.clone()
    }

    /// Calls that change something, and syncs among them, since the last [`set`](Self::set).
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.calls, inner.syncs)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change, unless the fault forbids it.
    fn call<T>(&self, change: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.lock();
        inner.calls += 1;
        let result = match inner.fault {
            Some(Fault::Error(at, kind)) if at == inner.calls => Err(kind.into()),
            _ => change(&mut inner),
        };
        let state = inner.state.clone();
        inner.history.push(state);
        result
    }

    fn fails_now(&self) -> bool {
        let inner = self.lock();
        matches!(inner.fault, Some(Fault::Error(at, _)) if at == inner.calls + 1)
    }

    fn find(&self, state: &State, path: &Path) -> io::Result<usize> {
        let inside = path.strip_prefix(&self.root).map_err(|_| ErrorKind::NotFound)?;
        inside.components().try_fold(0, |directory, component| {
            let Component::Normal(name) = component else { return Err(ErrorKind::InvalidInput.into()) };
            let name = name.to_str().ok_or(ErrorKind::InvalidInput)?;
            state.entries(directory)?.get(name).copied().ok_or(ErrorKind::NotFound.into())
        })
    }

    /// The directory of a path, and the name in it.
    fn place(&self, state: &State, path: &Path) -> io::Result<(usize, String)> {
        let parent = path.parent().ok_or(ErrorKind::InvalidInput)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?;
        Ok((self.find(state, parent)?, name.to_owned()))
    }
}

impl Inner {
    /// Whether this sync takes effect.
    fn sync(&mut self) -> bool {
        self.syncs += 1;
        self.fault != Some(Fault::IgnoredSync(self.syncs))
    }
}

impl Disk for Model {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|inner| {
            let (directory, name) = self.place(&inner.state, path)?;
            inner.state.add(directory, name, Node::Directory(vec![Entries::new()])).map(drop)
        })
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let id = self.call(|inner| {
            let (directory, name) = self.place(&inner.state, path)?;
            inner.state.add(directory, name, Node::File { content: Vec::new(), synced: 0, lost: false })
        })?;
        Ok(Box::new(Open { disk: self.clone(), id }))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|inner| {
            let id = self.find(&inner.state, path)?;
            if inner.sync()
                && let Node::Directory(versions) = &mut inner.state.0[id]
            {
                versions.drain(..versions.len() - 1);
            }
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|inner| {
            if inner.fault == Some(Fault::NoRename) {
                return Err(ErrorKind::Unsupported.into());
            }
            let ((directory, old), (same, new)) =
                (self.place(&inner.state, from)?, self.place(&inner.state, to)?);
            assert_eq!(directory, same, "renamed within a directory");
            let id = self.find(&inner.state, from)?;
            inner.state.change(directory, |entries| {
                entries.remove(&old);
                entries.insert(new, id);
            })
        })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        if self.lock().state_has(self, path) {
            // Entry by entry, as the operating system does it.
            for name in self.list(path)? {
                self.call(|inner| {
                    let id = self.find(&inner.state, path)?;
                    inner.state.change(id, |entries| {
                        entries.remove(&name);
                    })
                })?;
            }
            self.call(|inner| {
                let (directory, name) = self.place(&inner.state, path)?;
                inner.state.change(directory, |entries| {
                    entries.remove(&name);
                })
            })?;
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.lock().state_has(self, path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        let id = self.find(&inner.state, path)?;
        Ok(inner.state.entries(id)?.keys().cloned().collect())
    }

    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
        let inner = self.lock();
        match &inner.state.0[self.find(&inner.state, path)?] {
            Node::Directory(_) => Err(FileError::NotRegular(Kind::Directory)),
            Node::File { content, .. } if content.len() as u64 > bytes_max => {
                Err(FileError::TooLarge { bytes: content.len() as u64, bytes_max })
            }
            Node::File { content, .. } => Ok(content.clone()),
        }
    }
}

impl Inner {
    fn state_has(&self, disk: &Model, path: &Path) -> bool {
        disk.find(&self.state, path).is_ok()
    }
}

/// A file that has just been created.
struct Open {
    disk: Model,
    id: usize,
}

impl NewFile for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A full disk takes a part of the bytes.
        let taken = if self.disk.fails_now() { bytes.len() / 2 } else { bytes.len() };
        if let Node::File { content, .. } = &mut self.disk.lock().state.0[self.id] {
            content.extend(&bytes[..taken]);
        }
        self.disk.call(|_| Ok(()))
    }

    fn sync(&mut self) -> io::Result<()> {
        let fails = self.disk.fails_now();
        if let Node::File { lost, .. } = &mut self.disk.lock().state.0[self.id] {
            assert!(!*lost, "a file whose sync failed is synced again");
            *lost = fails;
        }
        self.disk.call(|inner| {
            if inner.sync()
                && let Node::File { content, synced, .. } = &mut inner.state.0[self.id]
            {
                *synced = content.len();
            }
            Ok(())
        })
    }
}
