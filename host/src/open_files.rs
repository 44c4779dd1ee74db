//! The limit of open files, raised as far as the system lets every user raise it.
//!
//! Shells and service managers often start programs with a soft limit of 1,024, and a hard one far above.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. Where the system refuses it stays as it is, which is said where too
/// few files are left for what is asked.
pub fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Most files that this process may have open at the same time; `None` for any number.
#[must_use]
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_systems_after_it_was_raised() {
        raise_limit();
        assert_eq!(limit(), getrlimit(Resource::Nofile).maximum);
    }
}
