//! A row of digits, read from left to right.
//!
//! The row is cut into more pieces than there are digits ([`seams`]). One to a few pieces together may be a
//! digit; the model looks at each such group, and the path over the row of the lowest [`prices`] is taken
//! (dynamic programming): where digits touch, they are cut where the model likes both sides. It looks at each
//! group once, and in all [`views`](super::views) at those that the path takes; then the path is looked for
//! again, until it takes none that has been seen only once.

use super::components::{self, Bounds, Components};
use super::glyph::{Cutout, Field};
use super::grey::Grey;
use super::ink::HIGH;
use super::novelty::{self, SIDE_MIN};
use super::prices::{self, Shape};
use super::reader::{ComputeError, Reader};
use super::seams::{self, Seam};
use super::{Limits, Seen};

/// Height of digits at which a row is cut; larger ones are made smaller.
const HEIGHT: usize = 48;
/// Most pieces of a digit.
const PIECES_MAX: usize = 16;
/// A digit is at most so many hundredths of the row's height wide.
const WIDTH_MAX: usize = 150;
/// What has no piece of so many hundredths of the height is a point or a speck, which is not read.
const POINT: usize = 35;
/// Most times that the path is looked for.
const LOOKS_MAX: usize = 50;

/// What may be a digit: the pieces between two cuts.
struct Group {
    from: usize,
    to: usize,
    cutout: Cutout,
    shape: Shape,
    is_point: bool,
}

/// Reads the digits of a row; `ink` holds nothing else. `None` where there is more than the limits allow.
///
/// # Errors
/// When the tensor library fails.
pub fn read(reader: &mut Reader, ink: &Grey, limits: &mut Limits) -> Result<Option<Vec<Seen>>, ComputeError> {
    let Some(cut) = Cut::of(ink, limits) else { return Ok(None) };
    let mut seen = cut.chosen(reader)?;
    for seen in &mut seen {
        seen.bounds = seen.bounds.map(|bounds| bounds.scaled(cut.size, [ink.width, ink.height]));
    }
    Ok(Some(seen))
}

/// A row with all its cuts, and all that may be a digit between them.
pub(super) struct Cut {
    /// Width and height of the row as it was cut.
    size: [usize; 2],
    /// Height of its digits.
    height: usize,
    seams: Vec<Seam>,
    groups: Vec<Group>,
    fields: Vec<Field>,
}

impl Cut {
    /// Cuts a row; `None` where there is more than the limits allow.
    pub(super) fn of(ink: &Grey, limits: &mut Limits) -> Option<Self> {
        let height = height(&components::find(ink)).filter(|&height| height >= SIDE_MIN);
        let Some(height) = height else {
            let (seams, groups, fields) = (Vec::new(), Vec::new(), Vec::new());
            return Some(Self { size: [ink.width, ink.height], height: SIDE_MIN, seams, groups, fields });
        };
        let is_large = height > HEIGHT;
        let side = |length: usize| if is_large { (length * HEIGHT / height).max(1) } else { length };
        let small = if is_large { ink.resized(side(ink.width), side(ink.height)) } else { ink.clone() };
        let height = height.min(HEIGHT);
        let seams = seams::all(&small, height);
        let groups = groups(&small, &seams, height, limits)?;
        let fields = groups.iter().map(|group| group.cutout.field()).collect();
        Some(Self { size: [small.width, small.height], height, seams, groups, fields })
    }

    /// The groups of the path that the model is surest of, as it sees them in all views.
    fn chosen(&self, reader: &mut Reader) -> Result<Vec<Seen>, ComputeError> {
        let Self { height, seams, groups, fields, .. } = self;
        let mut verdicts = reader.inputs(fields.as_flattened())?;
        let priced = groups.iter().zip(&verdicts);
        let mut prices: Vec<f64> =
            priced.map(|(group, verdict)| prices::of_digit(&group.shape, verdict, *height)).collect();
        let mut is_seen = vec![false; groups.len()];
        let mut path = cheapest(seams, groups, &prices, *height);
        for _ in 0..LOOKS_MAX {
            let open: Vec<usize> = path.iter().copied().filter(|&at| !is_seen[at]).collect();
            if open.is_empty() {
                break;
            }
            let of_open: Vec<Field> = open.iter().map(|&at| fields[at]).collect();
            for (at, verdict) in open.into_iter().zip(reader.digits(&of_open)?) {
                is_seen[at] = true;
                prices[at] = prices::of_digit(&groups[at].shape, &verdict, *height);
                verdicts[at] = verdict;
            }
            path = cheapest(seams, groups, &prices, *height);
        }
        let doubt = if path.len() > 1 { novelty::of_neighbour } else { novelty::of_cutout };
        let seen = path.into_iter().map(|at| Seen {
            doubt: doubt(&groups[at].cutout, &verdicts[at]),
            verdict: Some(verdicts[at].clone()),
            bounds: Some(groups[at].cutout.bounds),
            input: fields[at].to_vec(),
        });
        Ok(seen.collect())
    }
}

/// Height of the row's digits: the median of those pieces that are no specks beside the highest.
fn height(components: &Components) -> Option<usize> {
    let heights = components.all.iter().filter(|piece| piece.peak >= HIGH).map(|piece| piece.bounds.height());
    let mut heights: Vec<usize> = heights.collect();
    let highest = *heights.iter().max()?;
    heights.retain(|&height| height * 2 >= highest);
    heights.sort_unstable();
    Some(heights[heights.len() / 2])
}

/// All groups, in the order of their first cuts.
fn groups(ink: &Grey, seams: &[Seam], height: usize, limits: &mut Limits) -> Option<Vec<Group>> {
    let mut groups = Vec::new();
    for from in 0..seams.len() - 1 {
        for to in from + 1..seams.len().min(from + 1 + PIECES_MAX) {
            let left = seams[from].columns.iter().copied().min().unwrap_or(0);
            let right = seams[to].columns.iter().copied().max().unwrap_or(0);
            if right <= left {
                continue;
            }
            limits.groups = limits.groups.checked_sub(1)?;
            let bounds = Bounds { left, top: 0, right, bottom: ink.height };
            let belongs = |x: usize, y: usize| (seams[from].columns[y]..seams[to].columns[y]).contains(&x);
            let Some(cutout) = Cutout::of(ink, bounds, belongs) else { continue };
            if cutout.bounds.width() * 100 > height * WIDTH_MAX {
                break;
            }
            groups.push(Group::of(from, to, cutout, height));
        }
    }
    Some(groups)
}

impl Group {
    fn of(from: usize, to: usize, cutout: Cutout, row: usize) -> Self {
        let pieces = components::find(&cutout.ink).all;
        let highest = pieces.iter().map(|piece| piece.bounds.height()).max().unwrap_or(0);
        let tall = pieces.iter().map(|piece| piece.bounds).filter(|bounds| bounds.height() * 2 >= row);
        let mut tall: Vec<Bounds> = tall.collect();
        tall.sort_unstable_by_key(|bounds| bounds.left + bounds.right);
        let is_beside = |two: &&[Bounds]| {
            let overlap = two[0].right.saturating_sub(two[1].left);
            overlap * 2 <= two[0].width().min(two[1].width())
        };
        let beside = tall.windows(2).filter(is_beside).count();
        let is_odd = novelty::of_shape(&cutout).is_some();
        let shape = Shape { bounds: cutout.bounds, tall: tall.len().min(1 + beside), is_odd };
        Self { from, to, shape, cutout, is_point: highest * 100 < row * POINT }
    }
}

/// The groups of the cheapest path.
fn cheapest(seams: &[Seam], groups: &[Group], prices: &[f64], height: usize) -> Vec<usize> {
    let mut costs = vec![f64::INFINITY; seams.len()];
    // The cut before, and the group between, if it is read.
    let mut ways: Vec<(usize, Option<usize>)> = vec![(0, None); seams.len()];
    if let Some(first) = costs.first_mut() {
        *first = 0.0;
    }
    let mut next = 0;
    for at in 0..seams.len() {
        let mut is_paper_behind = true;
        while let Some(group) = groups.get(next).filter(|group| group.from == at) {
            is_paper_behind &= group.to != at + 1;
            let read = (!group.is_point).then_some(next);
            let price = if group.is_point { prices::LEFT_OUT } else { prices[next] };
            let cost = costs[at] + price + prices::of_cut(seams[group.to].crossed, height);
            if cost < costs[group.to] {
                (costs[group.to], ways[group.to]) = (cost, (at, read));
            }
            next += 1;
        }
        if is_paper_behind && at + 1 < seams.len() && costs[at] < costs[at + 1] {
            (costs[at + 1], ways[at + 1]) = (costs[at], (at, None));
        }
    }
    let mut chosen = Vec::new();
    let mut at = seams.len().saturating_sub(1);
    while at > 0 {
        let (before, read) = ways[at];
        chosen.extend(read);
        at = before;
    }
    chosen.reverse();
    chosen
}
