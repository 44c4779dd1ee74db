//! The rules of the lock, without I/O.
//!
//! 1. The lock is an object that says who mirrors to the prefix. Whoever has it renews it every
//!    [`RENEW_EVERY`]: it writes the object anew on the condition that nobody else has.
//! 2. Another coordinator watches it for [`LEASE`] by its own monotonic clock. If the object changes
//!    meanwhile, its owner is alive, and the newcomer is refused. If not, the newcomer takes it, on the same
//!    condition. No two clocks are compared.
//! 3. Whoever has the owner's id takes it at once. It is in the checkpoint folder, which only one coordinator
//!    can have open.
//! 4. Each time that it changes hands, its incarnation grows. A released lock stays, so that the number does.
//! 5. Whoever finds another's name in the lock has lost it, and writes nothing any more. That somebody writes
//!    a last request at the moment in which it loses the lock can't be excluded; `contents` has why that does
//!    no harm.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Time between two renewals.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How long a lock is watched before it is taken over: four renewals, of which three may fail.
pub(super) const LEASE: Duration = Duration::from_secs(20);
/// Time between two looks at a lock that is watched.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// Age of a renewal after which the lock is renewed before anything is made visible or removed.
pub(super) const FRESH: Duration = Duration::from_secs(2);
/// Pause after a first failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest lock that is read, in bytes.
pub(super) const LOCK_BYTES_MAX: u64 = 4096;
/// Version of the lock's format.
const FORMAT: u32 = 1;

/// How long things take; tests have shorter ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) renew_every: Duration,
    pub(super) lease: Duration,
    pub(super) look: Duration,
    pub(super) fresh: Duration,
    /// Pause after a first failure.
    pub(super) pause: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { renew_every: RENEW_EVERY, lease: LEASE, look: LOOK, fresh: FRESH, pause: PAUSE }
    }
}

/// Who mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Random digits, which the checkpoint folder keeps.
    pub(super) id: String,
    /// Machine and folder, for people.
    pub(super) name: String,
}

/// Content of the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LockText {
    format: u32,
    /// Id of the owner; none once it is released.
    owner: Option<String>,
    /// Name of the present or last owner.
    pub(super) name: String,
    /// Number of times that the lock has changed hands.
    pub(super) incarnation: u64,
    /// Random number of the coordinator's process: a copy of a checkpoint folder has the same owner.
    hold: u64,
    /// Number of renewals, so that no two versions are alike.
    renewal: u64,
}

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was released.
    Free,
    /// It is our own, of an earlier start or of this one.
    Own,
    Others,
}

/// What watching a lock has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It was released meanwhile.
    Free,
    /// Its owner is alive.
    Renewed,
    /// Nobody has renewed it for the lease.
    Abandoned,
    /// It is too early to say.
    TooEarly,
}

impl LockText {
    /// The lock as a new owner writes it, after `before` and above that incarnation. `hold` is a random
    /// number.
    pub(super) fn taken(owner: &Owner, before: Option<&Self>, above: u64, hold: u64) -> Self {
        let incarnation = before.map_or(0, |before| before.incarnation).max(above).saturating_add(1);
        let (owner, name) = (Some(owner.id.clone()), owner.name.clone());
        Self { format: FORMAT, owner, name, incarnation, hold, renewal: 0 }
    }

    /// The next version of it.
    pub(super) fn renewed(&self) -> Self {
        Self { renewal: self.renewal.saturating_add(1), ..self.clone() }
    }

    /// The lock without an owner.
    pub(super) fn released(&self) -> Self {
        Self { owner: None, ..self.renewed() }
    }

    /// Reads a lock, which may be anything.
    ///
    /// # Errors
    /// When it is none of this format.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let lock: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if lock.format != FORMAT {
            return Err(format!("it has format {}, this program reads {FORMAT}", lock.format));
        }
        Ok(lock)
    }

    pub(super) fn text(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }

    /// Whose it is, for that owner.
    pub(super) fn standing(&self, me: &Owner) -> Standing {
        match &self.owner {
            None => Standing::Free,
            Some(owner) if *owner == me.id => Standing::Own,
            Some(_) => Standing::Others,
        }
    }

    /// Whether it is the same process's.
    pub(super) fn is_same_hold(&self, other: &Self) -> bool {
        let held = |lock: &Self| (lock.owner.clone(), lock.incarnation, lock.hold);
        self.owner.is_some() && held(self) == held(other)
    }
}

/// What follows for a lock of another owner that was first seen as `first`, and is `now` after some time of
/// watching.
pub(super) fn judge(first: &LockText, now: Option<&LockText>, watched: Duration, lease: Duration) -> Judged {
    match now {
        None => Judged::Free,
        Some(now) if now.owner.is_none() => Judged::Free,
        Some(now) if now != first => Judged::Renewed,
        Some(_) if watched >= lease => Judged::Abandoned,
        Some(_) => Judged::TooEarly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(id: &str) -> Owner {
        Owner { id: id.to_owned(), name: format!("machine:/{id}") }
    }

    #[test]
    fn a_lock_that_changes_is_alive_and_one_that_does_not_is_abandoned_after_the_lease() {
        let lock = LockText::taken(&owner("a"), None, 0, 1);
        let judged = |now: Option<&LockText>, seconds| judge(&lock, now, Duration::from_secs(seconds), LEASE);
        assert_eq!(judged(Some(&lock), 19), Judged::TooEarly);
        assert_eq!(judged(Some(&lock), 20), Judged::Abandoned);
        assert_eq!(judged(Some(&lock.renewed()), 1), Judged::Renewed);
        assert_eq!(judged(Some(&lock.renewed()), 60), Judged::Renewed);
        assert_eq!(judged(Some(&lock.released()), 1), Judged::Free);
        assert_eq!(judged(None, 1), Judged::Free);
        assert_eq!(judged(Some(&LockText::taken(&owner("b"), Some(&lock), 0, 2)), 60), Judged::Renewed);
    }

    #[test]
    fn incarnations_grow_over_releases_and_over_what_is_in_the_bucket() {
        let first = LockText::taken(&owner("a"), None, 0, 1);
        let second = LockText::taken(&owner("a"), Some(&first.released()), 0, 2);
        let third = LockText::taken(&owner("b"), None, 7, 3);
        assert_eq!([&first, &second, &third].map(|lock| lock.incarnation), [1, 2, 8]);
        assert!(first.is_same_hold(&first.renewed()) && !first.is_same_hold(&second));
        assert!(!first.is_same_hold(&LockText::taken(&owner("a"), None, 0, 9)), "of a copied folder");
        assert!(!first.released().is_same_hold(&first.released()));
        assert_eq!(first.standing(&owner("a")), Standing::Own);
        assert_eq!(first.standing(&owner("b")), Standing::Others);
        assert_eq!(first.released().standing(&owner("b")), Standing::Free);
    }

    #[test]
    fn a_lock_reads_back_and_anything_else_is_refused() {
        let lock = LockText::taken(&owner("a"), None, 0, 1).renewed();
        assert_eq!(LockText::parse(&lock.text()), Ok(lock.clone()));
        let other = String::from_utf8(lock.text()).unwrap().replace("\"format\":1", "\"format\":2");
        assert!(LockText::parse(other.as_bytes()).unwrap_err().contains("format 2"));
        for bad in ["", "{}", "[1]", "\u{1b}[31m"] {
            assert!(LockText::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
