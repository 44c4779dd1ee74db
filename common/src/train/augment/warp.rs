//! Pictures resampled along a random map: an affine one, drawn for each image, and an elastic displacement.
//!
//! A pixel of the new picture is read from the old one by bilinear interpolation and rounded. Around the old
//! picture all is 0. The operations on coordinates and values are f32 additions and products in one order, so
//! the bits are the same whatever the instruction set.

use super::elastic::Elastic;
use super::{Geometry, either_way};
use crate::data::spec::DataSpec;
use crate::rng::Stream;
use crate::simd::{self, Loops};

/// Rows and columns of zeros around a picture, on all sides together: one before it, two behind.
const BORDER: usize = 3;

/// Resamples images of one form.
#[derive(Debug)]
pub(super) struct Warper {
    geometry: Geometry,
    height: usize,
    width: usize,
    channels: usize,
    elastic: Option<Elastic>,
    /// The old picture with a border of zeros.
    padded: Vec<f32>,
    row: Row,
}

/// Coordinates and values of a row of the new picture.
#[derive(Debug)]
struct Row {
    /// Place of a column, from the picture's centre.
    offset: Vec<f32>,
    x: Vec<f32>,
    y: Vec<f32>,
    /// First of the four old pixels, counted in the padded picture.
    at: Vec<u32>,
    /// New values, `[width, channels]`.
    values: Vec<f32>,
}

/// An affine map from a new pixel's place to the old one's, from centre to centre.
#[derive(Clone, Copy, Debug)]
struct Affine {
    xx: f32,
    xy: f32,
    yx: f32,
    yy: f32,
    shift_x: f32,
    shift_y: f32,
}

impl Geometry {
    /// Draws the map of one image. The new picture is the old one slanted, turned, scaled, mirrored and
    /// shifted, and the map its inverse.
    fn draw(&self, height: usize, width: usize, stream: &mut Stream) -> Affine {
        let radians = |degrees: f32| f64::from(degrees).to_radians();
        let angle = radians(either_way(stream, self.rotate));
        let slant = libm::tan(radians(either_way(stream, self.shear))) as f32;
        let size = 1.0 + either_way(stream, self.scale);
        let is_mirrored = stream.unit() < self.flip;
        let mut shift = |side: usize| {
            let whole = stream.below(2 * self.crop + 1) as f32 - self.crop as f32;
            whole + either_way(stream, self.shift) * side as f32
        };
        let [shift_x, shift_y] = [shift(width), shift(height)];
        let [sine, cosine] = [libm::sin(angle), libm::cos(angle)].map(|value| value as f32 / size);
        let mirror = if is_mirrored { -1.0 } else { 1.0 };
        Affine {
            xx: (cosine + slant * sine) * mirror,
            xy: slant * cosine - sine,
            yx: sine * mirror,
            yy: cosine,
            shift_x,
            shift_y,
        }
    }
}

impl Warper {
    pub(super) fn new(geometry: &Geometry, spec: DataSpec) -> Self {
        let [height, width, channels] = [spec.height(), spec.width(), spec.channels()];
        let centre = (width - 1) as f32 / 2.0;
        let zeros = || vec![0.0; width];
        Self {
            geometry: *geometry,
            height,
            width,
            channels,
            elastic: Elastic::new(geometry, height, width),
            padded: vec![0.0; (height + BORDER) * (width + BORDER) * channels],
            row: Row {
                offset: (0..width).map(|x| x as f32 - centre).collect(),
                x: zeros(),
                y: zeros(),
                at: vec![0; width],
                values: vec![0.0; width * channels],
            },
        }
    }

    /// Resamples images, `[n, height, width, channels]`, each along a map of its own.
    pub(super) fn warp(&mut self, pixels: &mut [u8], stream: &mut Stream) {
        for image in pixels.chunks_exact_mut(self.height * self.width * self.channels) {
            let affine = self.geometry.draw(self.height, self.width, stream);
            simd::widest(Image { warper: self, affine, image, stream });
        }
    }
}

/// One image and its map.
struct Image<'a> {
    warper: &'a mut Warper,
    affine: Affine,
    image: &'a mut [u8],
    stream: &'a mut Stream,
}

impl Loops for Image<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { warper, affine, image, stream } = self;
        let Warper { height, width, channels, elastic, padded, row, .. } = warper;
        let [height, width, channels] = [*height, *width, *channels];
        if let Some(elastic) = elastic {
            elastic.draw(stream);
        }
        let stride = (width + BORDER) * channels;
        let inner = padded[stride..].chunks_exact_mut(stride).zip(image.chunks_exact(width * channels));
        for (padded, image) in inner {
            let padded = &mut padded[channels..][..image.len()];
            padded.iter_mut().zip(image).for_each(|(padded, &value)| *padded = f32::from(value));
        }
        for (y, image) in image.chunks_exact_mut(width * channels).enumerate() {
            row.place(affine, y, height, width);
            if let Some(elastic) = elastic {
                elastic.add(y, [&mut row.x, &mut row.y]);
            }
            row.find(height, width);
            row.read(padded, stride, channels);
            let values = image.iter_mut().zip(&row.values);
            values.for_each(|(pixel, value)| *pixel = (value + 0.5) as u8);
        }
    }
}

impl Row {
    /// Old coordinates of the pixels of row `y`.
    #[inline(always)]
    fn place(&mut self, map: Affine, y: usize, height: usize, width: usize) {
        let [centre_x, centre_y] = [width, height].map(|side| (side - 1) as f32 / 2.0);
        let v = y as f32 - centre_y - map.shift_y;
        let [from_x, from_y] = [map.xy * v + centre_x, map.yy * v + centre_y];
        let places = self.x.iter_mut().zip(&mut self.y).zip(&self.offset);
        for ((x, y), offset) in places {
            let u = offset - map.shift_x;
            *x = map.xx * u + from_x;
            *y = map.yx * u + from_y;
        }
    }

    /// Divides the coordinates into the first of the old pixels and the shares of the others.
    #[inline(always)]
    fn find(&mut self, height: usize, width: usize) {
        let stride = (width + BORDER) as f32;
        for ((x, y), at) in self.x.iter_mut().zip(&mut self.y).zip(&mut self.at) {
            // Places in the padded picture, where nothing is negative.
            let [place_x, place_y] = [(*x, width), (*y, height)].map(|(place, side)| {
                let place = place + 1.0;
                place.max(0.0).min((side + 1) as f32)
            });
            let [first_x, first_y] = [place_x, place_y].map(|place| place as i32 as f32);
            *at = (first_y * stride + first_x) as i32 as u32;
            *x = place_x - first_x;
            *y = place_y - first_y;
        }
    }

    /// Reads the old pixels and interpolates between them.
    #[inline(always)]
    fn read(&mut self, padded: &[f32], stride: usize, channels: usize) {
        let between = |from: f32, to: f32, share: f32| from + (to - from) * share;
        let places = self.at.iter().zip(self.x.iter().zip(&self.y));
        for (values, (&at, (&x, &y))) in self.values.chunks_exact_mut(channels).zip(places) {
            let at = at as usize * channels;
            let upper = &padded[at..at + 2 * channels];
            let lower = &padded[at + stride..at + stride + 2 * channels];
            for (channel, value) in values.iter_mut().enumerate() {
                let next = channel + channels;
                let upper = between(upper[channel], upper[next], x);
                let lower = between(lower[channel], lower[next], x);
                *value = between(upper, lower, y);
            }
        }
    }
}
