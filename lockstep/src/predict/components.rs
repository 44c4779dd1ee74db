//! Connected pieces of ink: pixels of at least [`LOW`] that touch by a side or a corner.

use super::grey::Grey;
use super::ink::LOW;

/// A rectangle of pixels; right and bottom lie outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Bounds {
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

/// A piece of ink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Where it lies.
    pub bounds: Bounds,
    /// Number of its pixels.
    pub area: usize,
    /// Most ink of a pixel.
    pub peak: u8,
}

/// All pieces of a picture.
#[derive(Clone, Debug)]
pub struct Components {
    /// The piece of each pixel, counted from 1; 0 for paper.
    pub labels: Vec<u32>,
    /// The pieces; the first has label 1.
    pub all: Vec<Component>,
}

impl Bounds {
    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.right - self.left
    }

    /// Number of rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.bottom - self.top
    }

    /// The longer side.
    #[must_use]
    pub fn longer(&self) -> usize {
        self.width().max(self.height())
    }

    /// The smallest rectangle around both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// The same place in a picture that was brought from one width and height to another.
    #[must_use]
    pub fn scaled(&self, from: [usize; 2], to: [usize; 2]) -> Self {
        let [across, down] = [0, 1].map(|axis| (from[axis].max(1), to[axis]));
        let begin = |place: usize, (from, to): (usize, usize)| place * to / from;
        let end = |place: usize, (from, to): (usize, usize)| (place * to).div_ceil(from).min(to);
        Self {
            left: begin(self.left, across),
            top: begin(self.top, down),
            right: end(self.right, across),
            bottom: end(self.bottom, down),
        }
    }

    /// The same rectangle, so much further right and down.
    #[must_use]
    pub fn moved(&self, right: usize, down: usize) -> Self {
        Self {
            left: self.left + right,
            top: self.top + down,
            right: self.right + right,
            bottom: self.bottom + down,
        }
    }

    /// Rows or columns between both, whichever are more; 0 if they meet.
    #[must_use]
    pub fn gap(&self, other: &Self) -> usize {
        let across = other.left.saturating_sub(self.right).max(self.left.saturating_sub(other.right));
        let down = other.top.saturating_sub(self.bottom).max(self.top.saturating_sub(other.bottom));
        across.max(down)
    }
}

/// The pieces of ink, in the order of their first pixels.
#[must_use]
pub fn find(ink: &Grey) -> Components {
    let mut labels = vec![0u32; ink.bytes.len()];
    // Provisional labels, and the smaller one that each was found to be the same as.
    let mut same = vec![0u32];
    for at in 0..ink.bytes.len() {
        if ink.bytes[at] < LOW {
            continue;
        }
        let (x, y) = (at % ink.width, at / ink.width);
        let above = |dx: isize| match x.checked_add_signed(dx) {
            Some(x) if y > 0 && x < ink.width => labels[(y - 1) * ink.width + x],
            _ => 0,
        };
        let left = if x > 0 { labels[at - 1] } else { 0 };
        let mut label = 0;
        for near in [left, above(-1), above(0), above(1)] {
            if near == 0 {
                continue;
            }
            let root = root(&mut same, near);
            if label == 0 {
                label = root;
            } else if root != label {
                let (first, second) = (label.min(root), label.max(root));
                same[second as usize] = first;
                label = first;
            }
        }
        if label == 0 {
            label = same.len() as u32;
            same.push(label);
        }
        labels[at] = label;
    }
    numbered(ink, labels, &mut same)
}

fn root(same: &mut [u32], mut label: u32) -> u32 {
    while same[label as usize] != label {
        same[label as usize] = same[same[label as usize] as usize];
        label = same[label as usize];
    }
    label
}

/// Gives the pieces consecutive numbers, and measures them.
fn numbered(ink: &Grey, mut labels: Vec<u32>, same: &mut [u32]) -> Components {
    let mut numbers = vec![0u32; same.len()];
    let mut all: Vec<Component> = Vec::new();
    for (at, label) in labels.iter_mut().enumerate() {
        if *label == 0 {
            continue;
        }
        let root = root(same, *label) as usize;
        let (x, y) = (at % ink.width, at / ink.width);
        let pixel = Bounds { left: x, top: y, right: x + 1, bottom: y + 1 };
        if numbers[root] == 0 {
            all.push(Component { bounds: pixel, area: 0, peak: 0 });
            numbers[root] = all.len() as u32;
        }
        *label = numbers[root];
        let component = &mut all[*label as usize - 1];
        component.bounds = component.bounds.with(&pixel);
        component.area += 1;
        component.peak = component.peak.max(ink.bytes[at]);
    }
    Components { labels, all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_touch_by_sides_and_corners() {
        let drawing = "
            #..#
            #..#
            ####
            ....
            #.#.
            .#..";
        let rows: Vec<&str> = drawing.split_whitespace().collect();
        let bytes = rows.iter().flat_map(|row| row.bytes()).map(|c| if c == b'#' { 200 } else { 75 });
        let ink = Grey { width: 4, height: 6, bytes: bytes.collect() };
        let Components { labels, all } = find(&ink);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].area, all[1].area, all[0].peak), (8, 3, 200));
        assert_eq!(all[1].bounds, Bounds { left: 0, top: 4, right: 3, bottom: 6 });
        assert_eq!((labels[3], labels[4 * 4 + 2], labels[1]), (1, 2, 0));
        assert_eq!(all[0].bounds.gap(&all[1].bounds), 1);
    }

    #[test]
    fn a_place_in_a_smaller_picture_is_one_in_the_larger_and_holds_all_of_it() {
        let bounds = Bounds { left: 1, top: 2, right: 3, bottom: 4 };
        let larger = bounds.scaled([4, 4], [10, 9]);
        assert_eq!(larger, Bounds { left: 2, top: 4, right: 8, bottom: 9 });
        assert_eq!(bounds.scaled([4, 4], [4, 4]).moved(3, 0), Bounds { left: 4, right: 6, ..bounds });
    }
}
