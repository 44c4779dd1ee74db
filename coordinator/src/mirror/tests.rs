//! A mirror on stores in memory and in a folder, behind one that fails, cuts and lies.

mod faults;
mod faulty;
mod hostile;
mod locks;

use self::faulty::Faulty;
use super::*;
use crate::store::Store;
use crate::store::tests::{checkpoint, expected, layout};
use common::checkpoint::{Checkpoint, Verified};
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use tempfile::TempDir;
use tokio::sync::watch;

/// Short times, so that tests wait for little.
const TIMES: Times = Times {
    renew_every: Duration::from_millis(20),
    lease: Duration::from_millis(400),
    look: Duration::from_millis(10),
    fresh: Duration::from_millis(5),
    pause: Duration::from_millis(5),
};
/// Times of a look at what is left, when nobody else is there any more.
const LATER: Times = Times { lease: Duration::from_millis(40), ..TIMES };
/// For the last upload of a test.
const GRACE: Duration = Duration::from_secs(20);
/// Checkpoints that are kept here and there.
const KEEP: usize = 2;

fn bucket(store: &Arc<dyn ObjectStore>) -> Bucket {
    Bucket::new(Arc::clone(store), ObjectPath::from("runs/one"), "memory://runs/one", None)
}

/// A coordinator's folder with its mirror.
struct Side {
    store: Store,
    mirror: Mirror,
}

impl Side {
    /// A run on a folder, whose checkpoints go to a store.
    fn begin(folder: &Path, bucket: Bucket) -> Result<Self, MirrorError> {
        let mut store = Store::open(folder, KEEP).unwrap();
        let mut mirror = Mirror::open_on(bucket, folder, KEEP, TIMES)?;
        store.begin();
        store.mirror_to(mirror.begin(None)?);
        Ok(Self { store, mirror })
    }

    /// Writes checkpoints, and waits until each is in the bucket, up to a while.
    fn save(&self, steps: impl IntoIterator<Item = u64>) {
        for step in steps {
            self.store.save(&checkpoint(step), &layout()).unwrap();
            self.wait(|standing| standing.saved == Some(Step(step)) || standing.problem.is_some());
        }
    }

    fn wait(&self, is_it: impl Fn(&Standing) -> bool) {
        let until = Instant::now() + GRACE;
        while !is_it(&self.mirror.shared.standing()) {
            assert!(Instant::now() < until, "{:?}", self.mirror.shared.standing());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn finish(self) -> Mirrored {
        self.mirror.finish_within(GRACE, &watch::channel(0).1)
    }
}

/// The checkpoints of a bucket that are whole, the newest first; each must be as it was written.
fn whole(store: &Arc<dyn ObjectStore>) -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let mut here = Store::open(folder.path(), KEEP).unwrap();
    let mut mirror = Mirror::open_on(bucket(store), folder.path(), KEEP, LATER).unwrap();
    assert!(mirror.candidates.damaged.is_empty(), "{:?}", mirror.candidates.damaged);
    let all = std::mem::take(&mut mirror.candidates.intact);
    let mut steps = Vec::new();
    for candidate in all {
        let step = candidate.step.0;
        mirror.candidates.intact = vec![candidate];
        let (_, verified) = mirror.bring_newer(&mut here, None, &expected()).unwrap().expect("it is whole");
        assert_eq!(decoded(verified), checkpoint(step));
        steps.push(step);
    }
    steps
}

/// Asks a bucket something on this thread.
fn block_on<T>(asked: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(asked)
}

fn decoded(verified: Verified) -> Checkpoint {
    verified.decode(&layout(), &["momentum_buffer"]).unwrap()
}

/// The newest checkpoint that a run on an empty folder would go on from.
fn newest(store: &Arc<dyn ObjectStore>) -> Option<u64> {
    let folder = tempfile::tempdir().unwrap();
    let mut here = Store::open(folder.path(), KEEP).unwrap();
    let mirror = Mirror::open_on(bucket(store), folder.path(), KEEP, LATER).unwrap();
    let found = mirror.bring_newer(&mut here, None, &expected()).unwrap();
    found.map(|(path, verified)| {
        let step = decoded(verified).position.step;
        assert_eq!(path, folder.path().join(directory(step)));
        here.begin();
        here.adopt().unwrap();
        assert!(crate::store::load(&path, &expected()).is_ok());
        step.0
    })
}
