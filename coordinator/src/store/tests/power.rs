//! Power loss: what was not synced is gone. A disk in memory shows it, and shows that no sync can be left out.

use super::*;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Entries of a directory: what a program sees, and what a loss of power leaves.
#[derive(Clone, Debug, Default)]
struct Folder {
    seen: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
}

/// Contents are shared, as an inode is: a directory keeps its entries under its new name.
#[derive(Clone, Debug)]
enum Entry {
    File(Vec<u8>),
    Folder(Arc<Mutex<Folder>>),
}

/// A disk whose root is `root`.
#[derive(Clone, Debug)]
struct Volatile {
    root: PathBuf,
    top: Arc<Mutex<Folder>>,
    /// Calls of `sync_dir` so far, and the one that does nothing.
    syncs: Arc<AtomicUsize>,
    left_out: Option<usize>,
}

impl Volatile {
    fn new(root: &Path, left_out: Option<usize>) -> Self {
        let (top, syncs) = (Arc::default(), Arc::default());
        Self { root: root.to_owned(), top, syncs, left_out }
    }

    fn folder(&self, path: &Path) -> io::Result<Arc<Mutex<Folder>>> {
        let mut folder = Arc::clone(&self.top);
        for name in path.strip_prefix(&self.root).expect("below the root") {
            let entry = folder.lock().unwrap().seen.get(name.to_str().unwrap()).cloned();
            folder = match entry {
                Some(Entry::Folder(inner)) => inner,
                _ => return Err(io::ErrorKind::NotFound.into()),
            };
        }
        Ok(folder)
    }

    /// The folder around `path`, and the name in it.
    fn place(&self, path: &Path) -> io::Result<(Arc<Mutex<Folder>>, String)> {
        let name = path.file_name().expect("a name").to_str().unwrap().to_owned();
        Ok((self.folder(path.parent().expect("a parent"))?, name))
    }

    fn insert(&self, path: &Path, entry: Entry) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        folder.lock().unwrap().seen.insert(name, entry);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<Option<Entry>> {
        let (folder, name) = self.place(path)?;
        Ok(folder.lock().unwrap().seen.remove(&name))
    }

    fn lose_power(&self) {
        fn lose(folder: &Mutex<Folder>) {
            let mut folder = folder.lock().unwrap();
            folder.seen = folder.durable.clone();
            for entry in folder.seen.values() {
                if let Entry::Folder(inner) = entry {
                    lose(inner);
                }
            }
        }
        lose(&self.top);
    }
}

impl Disk for Volatile {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.insert(path, Entry::Folder(Arc::default()))
    }
    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.insert(path, Entry::File(bytes.to_vec()))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.left_out != Some(self.syncs.fetch_add(1, Ordering::SeqCst)) {
            let folder = self.folder(path)?;
            let mut folder = folder.lock().unwrap();
            folder.durable = folder.seen.clone();
        }
        Ok(())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let entry = self.remove(from)?.ok_or(io::ErrorKind::NotFound)?;
        self.insert(to, entry)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.remove(path).map(drop)
    }
    fn exists(&self, path: &Path) -> bool {
        self.place(path).is_ok_and(|(folder, name)| folder.lock().unwrap().seen.contains_key(&name))
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Ok(self.folder(path)?.lock().unwrap().seen.keys().cloned().collect())
    }
    fn read(&self, path: &Path, _: u64) -> io::Result<Vec<u8>> {
        let (folder, name) = self.place(path)?;
        match folder.lock().unwrap().seen.get(&name) {
            Some(Entry::File(bytes)) => Ok(bytes.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Saves two checkpoints, of which the first need not be kept, and loses power. Returns the step that is found then and
/// how often a directory was synced.
fn found_after_power_loss(left_out: Option<usize>) -> (Option<u64>, usize) {
    let root = tempfile::tempdir().unwrap();
    let disk = Volatile::new(root.path(), left_out);
    let store = Store::open_on(Box::new(disk.clone()), root.path(), 1).unwrap();
    store.save(&checkpoint(1), &layout()).unwrap();
    store.save(&checkpoint(2), &layout()).unwrap();
    disk.lose_power();
    let found = store.newest().unwrap().newest;
    (found.map(|(_, verified)| verified.manifest.position.step.0), disk.syncs.load(Ordering::SeqCst))
}

#[test]
fn what_was_saved_is_there_after_a_loss_of_power() {
    let (found, syncs) = found_after_power_loss(None);
    assert_eq!((found, syncs), (Some(2), 4));
}

#[test]
fn a_sync_left_out_while_saving_is_noticed() {
    for left_out in 2..4 {
        let (found, _) = found_after_power_loss(Some(left_out));
        assert_ne!(found, Some(2), "sync {left_out} was left out and nothing was lost");
    }
}
