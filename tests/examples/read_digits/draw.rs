//! Pictures of digits and of other things, drawn from a seed.

use common::rng::Stream;
use image::{GrayImage, ImageFormat};
use std::path::{Path, PathBuf};

/// Side of MNIST's images.
const SIDE: usize = 28;

/// Choices drawn from a seed.
#[derive(Debug)]
pub(crate) struct Random(Stream);

/// A picture of how much ink there is, 0 to 1.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    ink: Vec<f32>,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Stream::new(seed, "pictures of digits", &[]))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u32) as usize
    }

    /// From -1 to 1.
    fn either(&mut self) -> f32 {
        self.0.between(-1.0, 1.0)
    }
}

impl Canvas {
    fn empty(width: usize, height: usize) -> Self {
        Self { width, height, ink: vec![0.0; width * height] }
    }

    /// Digits side by side, each turned by up to 10 degrees and up to `high` pixels high; some touch.
    pub(crate) fn digits(images: &[&[u8]], high: usize, random: &mut Random) -> Self {
        let scale = high as f32 / 20.0;
        let margin = high * (3 + random.below(5)) / 10;
        let mut canvas = Self::empty(2 * margin + high * 5 / 4 * images.len(), 2 * margin + high * 5 / 4);
        let mut pen = margin as f32 + random.either() * margin as f32 * 0.3;
        let middle = canvas.height as f32 / 2.0 + random.either() * margin as f32 * 0.5;
        for image in images {
            let angle = random.either() * 10.0 * std::f32::consts::PI / 180.0;
            let turn = [libm::cosf(angle) / scale, libm::sinf(angle) / scale];
            let columns = (0..SIDE).filter(|x| (0..SIDE).any(|y| image[y * SIDE + x] > 64));
            let (left, right) = (columns.clone().min().unwrap_or(0), columns.max().unwrap_or(SIDE));
            let half = (right - left + 1) as f32 * scale / 2.0;
            let x = pen + half;
            let from = (left + right) as f32 / 2.0;
            canvas.put(image, [x, middle + random.either() * scale], [from, 13.5], turn);
            // A quarter of the digits touch the next one, or nearly.
            let gap = if random.below(4) == 0 { 0.2 * random.either() } else { 2.5 + 1.5 * random.either() };
            pen = x + half + gap * scale;
        }
        if images.len() > 1 {
            let width = (pen as usize + margin).min(canvas.width);
            canvas = canvas.cropped(width);
        }
        canvas
    }

    fn cropped(self, width: usize) -> Self {
        let rows = self.ink.chunks_exact(self.width).flat_map(|row| row[..width].to_vec());
        Self { ink: rows.collect(), width, ..self }
    }

    fn put(&mut self, image: &[u8], middle: [f32; 2], from: [f32; 2], [cos, sin]: [f32; 2]) {
        let value = |x: f32, y: f32| {
            let inside = (0.0..SIDE as f32).contains(&x) && (0.0..SIDE as f32).contains(&y);
            if inside { f32::from(image[y as usize * SIDE + x as usize]) / 255.0 } else { 0.0 }
        };
        for at in 0..self.ink.len() {
            let [dx, dy] = [(at % self.width) as f32 - middle[0], (at / self.width) as f32 - middle[1]];
            let (x, y) = (cos * dx + sin * dy + from[0], cos * dy - sin * dx + from[1]);
            let (left, top) = (x.floor(), y.floor());
            let (a, b) = (x - left, y - top);
            let along = |y: f32| value(left, y) * (1.0 - a) + value(left + 1.0, y) * a;
            self.ink[at] = self.ink[at].max(along(top) * (1.0 - b) + along(top + 1.0) * b);
        }
    }

    /// A round spot.
    fn dot(&mut self, x: f32, y: f32, radius: f32) {
        for (at, ink) in self.ink.iter_mut().enumerate() {
            let (dx, dy) = ((at % self.width) as f32 - x, (at / self.width) as f32 - y);
            *ink = ink.max((radius + 0.5 - (dx * dx + dy * dy).sqrt()).clamp(0.0, 1.0));
        }
    }

    /// Writes the ink on paper of some kind, as PNG or JPEG.
    pub(crate) fn save(&self, folder: &Path, name: &str, random: &mut Random) -> anyhow::Result<PathBuf> {
        let (width, height) = (self.width as f32, self.height as f32);
        let slope = [random.either() * 40.0, random.either() * 40.0];
        let is_ruled = random.below(4) == 0;
        let spacing = (self.height / (3 + random.below(5))).max(12);
        let noise = if random.below(2) == 0 { 0.0 } else { 12.0 * (random.either() + 1.0) / 2.0 };
        let is_inverted = random.below(2) == 0;
        let depth = 110.0 + 60.0 * (random.either() + 1.0) / 2.0;
        let mut bytes = Vec::with_capacity(self.ink.len());
        for (at, &ink) in self.ink.iter().enumerate() {
            let (x, y) = (at % self.width, at / self.width);
            let shade = slope[0] * (x as f32 / width - 0.5) + slope[1] * (y as f32 / height - 0.5);
            let rule = if is_ruled && y % spacing < 1 + self.height / 150 { 0.5 } else { 0.0 };
            // Nearly normal: the sum of four even numbers.
            let rough: f32 =
                if noise > 0.0 { (0..4).map(|_| random.either()).sum::<f32>() * noise * 0.87 } else { 0.0 };
            let paper = 205.0 + shade - depth * ink.max(rule) + rough;
            let value = paper.clamp(0.0, 255.0) as u8;
            bytes.push(if is_inverted { 255 - value } else { value });
        }
        let picture = GrayImage::from_raw(self.width as u32, self.height as u32, bytes).expect("all pixels");
        let (end, format) =
            if random.below(2) == 0 { ("png", ImageFormat::Png) } else { ("jpg", ImageFormat::Jpeg) };
        let path = folder.join(format!("{name}.{end}"));
        picture.save_with_format(&path, format)?;
        Ok(path)
    }
}

/// Ten things that are no digits: empty paper, dots, a texture, a wave of light, scribbles.
pub(crate) fn others(random: &mut Random) -> Vec<Canvas> {
    let mut all = vec![Canvas::empty(120, 120), Canvas::empty(300, 200)];
    for count in [1, 5, 12] {
        let mut dots = Canvas::empty(160, 140);
        for _ in 0..count {
            dots.dot(
                80.0 + 55.0 * random.either(),
                70.0 + 50.0 * random.either(),
                5.0 + random.below(9) as f32,
            );
        }
        all.push(dots);
    }
    let mut texture = Canvas::empty(150, 150);
    let knots: Vec<f32> = (0..20 * 20).map(|_| (random.either() + 1.0) / 2.0).collect();
    for (at, ink) in texture.ink.iter_mut().enumerate() {
        *ink = knots[at / 150 / 8 * 20 + at % 150 / 8];
    }
    all.push(texture);
    let mut wave = Canvas::empty(150, 150);
    for (at, ink) in wave.ink.iter_mut().enumerate() {
        *ink = 0.5 + 0.5 * libm::sinf((at % 150) as f32 / 40.0);
    }
    all.push(wave);
    for turns in [25, 40, 60] {
        let mut scribble = Canvas::empty(160, 160);
        let mut pen = [80.0, 80.0];
        for _ in 0..turns {
            let next = [80.0 + 55.0 * random.either(), 80.0 + 55.0 * random.either()];
            for step in 0..40 {
                let part = step as f32 / 40.0;
                scribble.dot(pen[0] + (next[0] - pen[0]) * part, pen[1] + (next[1] - pen[1]) * part, 3.0);
            }
            pen = next;
        }
        all.push(scribble);
    }
    all
}
