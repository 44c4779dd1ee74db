//! A row of digits, read from left to right.
//!
//! The row is cut into more pieces than there are digits ([`seams`]). One to a few pieces together may be a
//! digit; the model looks at each such group, and the path over the row that it is surest of is taken (dynamic
//! programming). What a path costs: for each digit the negative logarithm of its probability, and a
//! price for an odd shape; for each cut the ink that it crosses.

use super::Seen;
use super::components::{self, Bounds, Components};
use super::glyph::Cutout;
use super::grey::Grey;
use super::ink::HIGH;
use super::novelty;
use super::reader::{ComputeError, Reader, Verdict};
use super::seams::{self, Seam};

/// Height of digits at which a row is cut; larger ones are made smaller.
const HEIGHT: usize = 48;
/// Most pieces of a digit.
const PIECES_MAX: usize = 14;
/// A digit is at most so many hundredths of the row's height wide.
const WIDTH_MAX: usize = 150;
/// Digits of less than so many hundredths of the height are points and specks, which are not read.
const POINT: usize = 35;
/// Most groups of a row that the model looks at.
const GROUPS_MAX: usize = 20_000;
/// Prices in nats: a point that is left out, a gap within a digit, a doubt, a cut through a stroke of a tenth of
/// the height.
const LEFT_OUT: f64 = 1.0;
const GAP: f64 = 2.0;
const DOUBT: f64 = 1.5;
const CUT: f64 = 0.8;
/// Price of a digit for each tenth of the height that it is lower than the row.
const LOW: f64 = 0.35;
/// Least probability that counts: no single doubt outweighs everything.
const PROBABILITY_MIN: f64 = 1e-4;

/// What may be a digit: the pieces between two cuts.
struct Group {
    from: usize,
    to: usize,
    cutout: Cutout,
    /// Whether paper parts it from top to bottom, with half the row's height of ink on both sides.
    has_gap: bool,
}

/// Reads the digits of a row; `ink` holds nothing else.
///
/// # Errors
/// When there is no answer.
pub fn read(reader: &mut Reader, ink: &Grey) -> Result<Vec<Seen>, ComputeError> {
    let Some(height) = height(&components::find(ink)) else { return Ok(Vec::new()) };
    let is_large = height > HEIGHT;
    let side = |length: usize| if is_large { (length * HEIGHT / height).max(1) } else { length };
    let small = if is_large { ink.resized(side(ink.width), side(ink.height)) } else { ink.clone() };
    let height = height.min(HEIGHT);
    let seams = seams::all(&small, height);
    let groups = groups(&small, &seams, height);
    let fields: Vec<_> = groups.iter().map(|group| group.cutout.field()).collect();
    let verdicts = reader.digits(&fields)?;
    let looked = groups.iter().zip(&verdicts);
    let prices: Vec<f64> = looked.map(|(group, verdict)| price(group, verdict, height)).collect();
    let chosen = cheapest(&seams, &groups, &prices, height);
    let seen = chosen.into_iter().map(|at| {
        let Bounds { left, top, right, bottom } = groups[at].cutout.bounds;
        let x = |place: usize| place * ink.width / small.width;
        let y = |place: usize| place * ink.height / small.height;
        let bounds = Bounds { left: x(left), top: y(top), right: x(right), bottom: y(bottom) };
        let doubt = novelty::of_cutout(&groups[at].cutout, &verdicts[at]);
        Seen { verdict: Some(verdicts[at].clone()), doubt, bounds: Some(bounds), input: fields[at].to_vec() }
    });
    Ok(seen.collect())
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

fn groups(ink: &Grey, seams: &[Seam], height: usize) -> Vec<Group> {
    let mut groups = Vec::new();
    for from in 0..seams.len() - 1 {
        for to in from + 1..seams.len().min(from + 1 + PIECES_MAX) {
            let left = seams[from].columns.iter().copied().min().unwrap_or(0);
            let right = seams[to].columns.iter().copied().max().unwrap_or(0);
            if right <= left || groups.len() >= GROUPS_MAX {
                continue;
            }
            let bounds = Bounds { left, top: 0, right, bottom: ink.height };
            let belongs = |x: usize, y: usize| (seams[from].columns[y]..seams[to].columns[y]).contains(&x);
            let Some(cutout) = Cutout::of(ink, bounds, belongs) else { continue };
            if cutout.bounds.width() * 100 > height * WIDTH_MAX {
                break;
            }
            groups.push(Group { from, to, cutout, has_gap: false });
        }
    }
    let high: std::collections::BTreeSet<[usize; 2]> = groups
        .iter()
        .filter(|group| group.cutout.bounds.height() * 2 >= height)
        .map(|group| [group.from, group.to])
        .collect();
    for group in &mut groups {
        let inner = group.from + 1..group.to;
        let is_gap = |cut: usize| {
            seams[cut].crossed == 0 && high.contains(&[group.from, cut]) && high.contains(&[cut, group.to])
        };
        group.has_gap = inner.into_iter().any(is_gap);
    }
    groups
}

fn price(group: &Group, verdict: &Verdict, height: usize) -> f64 {
    let probability = verdict.probabilities[verdict.best_two()[0]];
    let doubt = if novelty::of_cutout(&group.cutout, verdict).is_some() { DOUBT } else { 0.0 };
    let lower = height.saturating_sub(group.cutout.bounds.height()) as f64 / height as f64;
    let gap = if group.has_gap { GAP } else { 0.0 };
    gap + doubt - libm::log(probability.max(PROBABILITY_MIN)) + 10.0 * LOW * (lower - 0.2).max(0.0)
}

/// The groups of the cheapest path.
fn cheapest(seams: &[Seam], groups: &[Group], prices: &[f64], height: usize) -> Vec<usize> {
    let mut costs = vec![f64::INFINITY; seams.len()];
    // The cut before, and the group between, if it is read.
    let mut ways: Vec<(usize, Option<usize>)> = vec![(0, None); seams.len()];
    costs[0] = 0.0;
    let mut next = 0;
    for at in 0..seams.len() {
        let mut is_paper_behind = true;
        while let Some(group) = groups.get(next).filter(|group| group.from == at) {
            is_paper_behind &= group.to != at + 1;
            let cut = CUT * 10.0 * seams[group.to].crossed as f64 / height as f64;
            let own = group.cutout.bounds.height();
            let left_out = (own * 100 < height * POINT).then_some((LEFT_OUT, None));
            for (price, read) in left_out.into_iter().chain([(prices[next], Some(next))]) {
                let cost = costs[at] + price + cut;
                if cost < costs[group.to] {
                    (costs[group.to], ways[group.to]) = (cost, (at, read));
                }
            }
            next += 1;
        }
        if is_paper_behind && at + 1 < seams.len() && costs[at] < costs[at + 1] {
            (costs[at + 1], ways[at + 1]) = (costs[at], (at, None));
        }
    }
    let mut chosen = Vec::new();
    let mut at = seams.len() - 1;
    while at > 0 {
        let (before, read) = ways[at];
        chosen.extend(read);
        at = before;
    }
    chosen.reverse();
    chosen
}
