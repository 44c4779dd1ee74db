//! Images inside borders of zeros, as the kernels read them.

use crate::engine::op::conv::Geometry;
use crate::engine::op::scratch::Scratch;

/// Values that a kernel may read behind the last image.
const SLACK: usize = 16;

/// Where images lie in memory: each inside zeros, every pixel with room for some channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Rows and columns of an image.
    pub(super) content: (usize, usize),
    /// Rows and columns of zeros above and to the left of it.
    pub(super) before: (usize, usize),
    /// Rows and columns with all zeros around.
    pub(super) total: (usize, usize),
    /// Values of a pixel, the last of which may be zeros too.
    pub(super) channels: usize,
}

impl Frame {
    /// Values of one image with its zeros.
    pub(super) fn len(&self) -> usize {
        self.total.0 * self.total.1 * self.channels
    }

    /// Memory for some images, all zero.
    pub(super) fn zeros(&self, images: usize) -> Scratch {
        Scratch::zeros(images * self.len() + SLACK)
    }

    /// Where a pixel of the content starts.
    pub(super) fn at(&self, image: usize, row: usize, column: usize) -> usize {
        let (top, left) = self.before;
        ((image * self.total.0 + top + row) * self.total.1 + left + column) * self.channels
    }

    /// Where each kernel row lies in a framed input, from a patch's start on.
    pub(super) fn rows(&self, geometry: &Geometry) -> Vec<usize> {
        (0..geometry.kernel_h).map(|row| row * self.total.1 * self.channels).collect()
    }

    /// Where each kernel value lies in a framed input, from a patch's start on.
    pub(super) fn taps(&self, geometry: &Geometry) -> Vec<usize> {
        let taps = |row: usize| (0..geometry.kernel_w).map(move |column| row + column * self.channels);
        self.rows(geometry).into_iter().flat_map(taps).collect()
    }

    /// Whether images without zeros, of that many channels, lie as this frame says.
    pub(super) fn is_bare(&self, channels: usize) -> bool {
        self.content == self.total && self.channels == channels
    }

    /// Copies images of `channels` channels into the contents of `to`.
    pub(super) fn fill(&self, images: &[f32], channels: usize, to: &mut [f32]) {
        let (rows, columns) = self.content;
        for (index, row) in images.chunks_exact(columns * channels).enumerate() {
            let to = &mut to[self.at(index / rows, index % rows, 0)..][..columns * self.channels];
            if self.channels == channels {
                to.copy_from_slice(row);
            } else {
                let pixels = to.chunks_exact_mut(self.channels).zip(row.chunks_exact(channels));
                pixels.for_each(|(to, from)| to[..channels].copy_from_slice(from));
            }
        }
    }

    /// The inverse of [`fill`](Self::fill): copies the contents out of `from`.
    pub(super) fn take(&self, from: &[f32], channels: usize, images: &mut [f32]) {
        let (rows, columns) = self.content;
        for (index, row) in images.chunks_exact_mut(columns * channels).enumerate() {
            let from = &from[self.at(index / rows, index % rows, 0)..][..columns * self.channels];
            let pixels = row.chunks_exact_mut(channels).zip(from.chunks_exact(self.channels));
            pixels.for_each(|(to, from)| to.copy_from_slice(&from[..channels]));
        }
    }
}
