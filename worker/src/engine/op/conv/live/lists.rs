//! Lists of the non-zero gradients, by output channel and by position.
//!
//! They are filled without branches on the data: every value is written to the end of a list, and only a live
//! one moves the end. Closed values go to a separate list that is never read.

use crate::engine::op::conv::{CLOSED, Geometry};

/// Lists of one output place: one for each of a window's four codes, and one for closed values.
const CODES: usize = CLOSED as usize + 1;

/// A non-zero gradient and its position.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Live {
    /// In a channel's list the start of its patch in x; in a position's list the channel.
    pub(super) at: u32,
    pub(super) gradient: f32,
}

/// The live gradients of a block of images.
#[derive(Debug)]
pub(super) struct Lists {
    geometry: Geometry,
    /// Number of output places in a full block.
    places: usize,
    /// Gradients `[outputs, places]`, of which the first `output_lens` of each row are filled.
    by_output: Vec<Live>,
    output_lens: Vec<usize>,
    /// Gradients `[places, CODES, outputs]`, of which the first `position_lens` of each row are filled.
    by_position: Vec<Live>,
    position_lens: Vec<usize>,
    /// Start in padded x of the patch of each place's code 0.
    starts: Vec<usize>,
}

impl Lists {
    /// Empty lists for blocks of at most `images` images.
    pub(super) fn new(geometry: &Geometry, images: usize) -> Self {
        let Geometry { inputs, outputs, pool, .. } = *geometry;
        let (height, width) = geometry.padded();
        let (rows, columns) = geometry.out();
        let step = if pool { 2 } else { 1 };
        let start = |place: usize| {
            let image = place / (rows * columns);
            let place = place % (rows * columns);
            ((image * height + step * (place / columns)) * width + step * (place % columns)) * inputs
        };
        let places = images * rows * columns;
        Self {
            geometry: *geometry,
            places,
            by_output: vec![Live::default(); outputs * places],
            output_lens: vec![0; outputs],
            by_position: vec![Live::default(); places * CODES * outputs],
            position_lens: vec![0; places * CODES],
            starts: (0..places).map(start).collect(),
        }
    }

    /// Fills the lists with these codes and gradients, `[places, outputs]`.
    pub(super) fn fill(&mut self, codes: &[u32], grad: &[f32]) {
        let outputs = self.geometry.outputs;
        let offsets = self.offsets();
        self.output_lens.fill(0);
        self.position_lens.fill(0);
        let places = codes.chunks_exact(outputs).zip(grad.chunks_exact(outputs)).zip(&self.starts);
        let positions = self.by_position.chunks_exact_mut(CODES * outputs);
        let lens = self.position_lens.as_chunks_mut::<CODES>().0;
        for ((((codes, grad), &start), by_code), lens) in places.zip(positions).zip(lens) {
            let lists = self.by_output.chunks_exact_mut(self.places).zip(&mut self.output_lens);
            let values = codes.iter().zip(grad).zip(lists).enumerate();
            for (output, ((&code, &gradient), (list, list_len))) in values {
                let code = code as usize;
                let len = &mut lens[code];
                by_code[code * outputs + *len] = Live { at: output as u32, gradient };
                *len += 1;
                list[*list_len] = Live { at: (start + offsets[code]) as u32, gradient };
                *list_len += usize::from(code != CLOSED as usize);
            }
        }
    }

    /// The live patches of a channel, in the order of the map.
    pub(super) fn of_output(&self, output: usize) -> &[Live] {
        &self.by_output[output * self.places..][..self.output_lens[output]]
    }

    /// Every position with live gradients: the start of its patch in x, and its live channels.
    pub(super) fn positions(&self) -> impl Iterator<Item = (usize, &[Live])> {
        let offsets = self.offsets();
        let outputs = self.geometry.outputs;
        let lists = self.by_position.chunks_exact(outputs).zip(&self.position_lens).enumerate();
        lists.filter_map(move |(index, (list, &len))| {
            let place = index / CODES;
            let code = index % CODES;
            let live = code != CLOSED as usize && len > 0;
            live.then(|| (self.starts[place] + offsets[code], &list[..len]))
        })
    }

    /// Offset in x of each code's position from the window's first position.
    fn offsets(&self) -> [usize; CODES] {
        let Geometry { inputs, .. } = self.geometry;
        let (_, width) = self.geometry.padded();
        [0, inputs, width * inputs, (width + 1) * inputs, 0]
    }
}
