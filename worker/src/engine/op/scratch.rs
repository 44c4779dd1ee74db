//! Zeroed working memory whose first value starts a cache line, so that no register-wide load straddles two.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest register.
const LINE: usize = 64;

/// Working memory of one kernel call.
#[derive(Debug)]
pub(crate) struct Scratch {
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

impl Scratch {
    /// `len` values, all zero.
    pub(crate) fn zeros(len: usize) -> Self {
        let storage = vec![0.0; len + LINE / size_of::<f32>()];
        // If the alignment can't be determined, only speed suffers.
        let start = storage.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
        Self { storage, start, len }
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.storage[self.start..][..self.len]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..][..self.len]
    }
}
