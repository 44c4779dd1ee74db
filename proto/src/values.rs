//! Reusable f32 buffers. Allocating a tensor of megabytes anew for each step costs mostly page faults.
//!
//! [`Values`] is a vector that remembers the [`Buffers`] it was taken from, and returns there when it is
//! dropped. Which numbers it holds is not decided here.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Largest number of buffers that wait for reuse; others are freed. There is one for each child of a tree's
/// last levels: more tensors than that are rarely dropped at once.
const SPARE_MAX: usize = 8;

/// A store of buffers; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<f32>>>>);

impl Buffers {
    /// A buffer of `len` values, to be overwritten: it holds zeros or its last contents.
    #[must_use]
    pub fn take(&self, len: usize) -> Values {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = match spare {
            Some(mut buffer) => {
                buffer.resize(len, 0.0);
                buffer
            }
            None => vec![0.0; len],
        };
        Values { buffer, home: Some(self.clone()) }
    }

    fn put(&self, buffer: Vec<f32>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX {
            spare.push(buffer);
        }
    }
}

/// A vector of values that returns to its store when dropped.
#[derive(Default)]
pub struct Values {
    buffer: Vec<f32>,
    home: Option<Buffers>,
}

impl From<Vec<f32>> for Values {
    fn from(buffer: Vec<f32>) -> Self {
        Self { buffer, home: None }
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer
    }
}

impl DerefMut for Values {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.put(std::mem::take(&mut self.buffer));
        }
    }
}

impl Clone for Values {
    fn clone(&self) -> Self {
        self.buffer.clone().into()
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.buffer == other.buffer
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.buffer.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_taken_again() {
        let buffers = Buffers::default();
        let first = buffers.take(100);
        let place = first.as_ptr();
        drop(first);
        let second = buffers.take(50);
        assert_eq!((second.as_ptr(), second.len()), (place, 50));
        assert_ne!(buffers.take(100).as_ptr(), place);
    }

    #[test]
    fn no_more_than_a_few_buffers_wait() {
        let buffers = Buffers::default();
        drop((0..3 * SPARE_MAX).map(|_| buffers.take(10)).collect::<Vec<_>>());
        assert_eq!(buffers.0.lock().unwrap().len(), SPARE_MAX);
    }
}
