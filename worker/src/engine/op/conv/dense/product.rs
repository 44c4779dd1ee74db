//! Sums of patches times weights, for patches that lie in memory in runs.
//!
//! Lanes are output channels, [`WIDTH`] of them a panel. A tile of `T` places keeps its sums in registers
//! while the runs are walked once.

use crate::engine::op::conv::registers::{PanelKernel, WIDTH};
use crate::engine::op::conv::tile::multiply;
use pulp::Simd;

/// Neighbouring values of every patch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Where it starts, from the patch's start on.
    pub(super) at: usize,
    pub(super) len: usize,
    /// Whether a sum ends with it: it is added to the total, and the next begins at 0.
    pub(super) ends: bool,
}

/// A patch and where its result goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Start of the patch in the source.
    pub(super) from: usize,
    /// Start of the result in the map.
    pub(super) to: usize,
}

/// `map[place] = ((start + sum) + sum) ...`, each sum over the runs up to one that ends it, in order.
pub(super) struct Product<'a> {
    pub(super) source: &'a [f32],
    pub(super) places: &'a [Place],
    pub(super) runs: &'a [Run],
    /// Weights `[panels, values of all runs, WIDTH]`.
    pub(super) weights: &'a [f32],
    /// The total's first value; -0 leaves the bits of whatever is added.
    pub(super) start: f32,
    /// Results; the channels of a place lie together.
    pub(super) map: &'a mut [f32],
}

impl PanelKernel for Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize, const T: usize>(self, simd: S) {
        let Self { source, places, runs, weights, start, map } = self;
        let depth: usize = runs.iter().map(|run| run.len).sum();
        for (index, weights) in weights.chunks_exact(depth * WIDTH).enumerate() {
            let panel = Panel { source, runs, weights, start };
            let map = &mut map[index * WIDTH..];
            let mut rest = places;
            while rest.len() > T / 2 {
                rest = panel.tile::<S, R, T>(simd, rest, map);
            }
            if !rest.is_empty() {
                panel.tile::<S, R, 4>(simd, rest, map);
            }
        }
    }
}

/// The weights of one panel of channels, and what they are multiplied with.
struct Panel<'a> {
    source: &'a [f32],
    runs: &'a [Run],
    weights: &'a [f32],
    start: f32,
}

impl Panel<'_> {
    /// Computes the first `T` of `places`, or fewer if there are. Returns the others.
    #[inline(always)]
    fn tile<'a, S: Simd, const R: usize, const T: usize>(
        &self,
        simd: S,
        places: &'a [Place],
        map: &mut [f32],
    ) -> &'a [Place] {
        // A tile may repeat its last place.
        let tile: [Place; T] = std::array::from_fn(|t| places[t.min(places.len() - 1)]);
        let zeros = [[simd.splat_f32s(0.0); R]; T];
        let mut totals = [[simd.splat_f32s(self.start); R]; T];
        let mut sums = zeros;
        let mut weights = self.weights;
        for run in self.runs {
            let (own, others) = weights.split_at(run.len * WIDTH);
            weights = others;
            let rows = std::array::from_fn(|t| &self.source[tile[t].from + run.at..][..run.len]);
            sums = multiply(simd, rows, own, sums);
            if run.ends {
                for (total, sum) in totals.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                    *total = simd.add_f32s(*total, *sum);
                }
                sums = zeros;
            }
        }
        for (place, totals) in tile.iter().zip(totals) {
            S::as_mut_simd_f32s(&mut map[place.to..][..WIDTH]).0.copy_from_slice(&totals);
        }
        &places[T.min(places.len())..]
    }
}
