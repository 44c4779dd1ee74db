//! Ruled lines of the paper, removed from the ink.
//!
//! A rule is thin, crosses the picture from border to border, and bends little. It is followed from column to
//! column as a thin vertical run of ink near the last one; strokes that cross it, or lie on it, are thicker
//! there and stay. A picture's own strokes do not reach both borders as thinly. Rules down the page are found
//! in the same way, with columns as rows.

use super::grey::Grey;
use super::ink::LOW;

/// A rule is at most one of so many parts of the shorter side thick.
const THIN: usize = 24;
/// Thickest rule whatever the picture, and the thickest in the smallest picture, in pixels.
const THICK_MAX: usize = 12;
const THICK_MIN: usize = 2;
/// Shortest picture with rules, in columns: a stroke may cross a shorter one.
const LENGTH_MIN: usize = 40;
/// Parts of a rule's length: it is seen in three eighths at least, and hidden by strokes for five at a time.
const EIGHTHS: usize = 8;
const SEEN: usize = 3;
const HIDDEN: usize = 5;
/// A rule begins and ends within one of so many parts of the borders; the bar of a 7 does not.
const BEYOND: usize = 16;
/// A rule slopes by at most a row in so many columns: a steeper one is a stroke.
const SLOPE: usize = 8;

/// A thin vertical run of ink in a column.
#[derive(Clone, Copy, Debug)]
struct Run {
    column: usize,
    top: usize,
    bottom: usize,
}

/// Runs that go on from each other; never empty.
struct Track {
    first: Run,
    last: Run,
    runs: Vec<Run>,
    /// Sum of the runs' thicknesses.
    thickness: usize,
}

/// Removes rules across and down the picture.
#[must_use]
pub fn removed(ink: &Grey) -> Grey {
    let mut ink = without_rows(ink.clone());
    ink = without_rows(ink.transposed()).transposed();
    ink
}

fn without_rows(mut ink: Grey) -> Grey {
    if ink.width < LENGTH_MIN {
        return ink;
    }
    let thick = (ink.width.min(ink.height) / THIN).clamp(THICK_MIN, THICK_MAX);
    let mut tracks: Vec<Track> = Vec::new();
    let mut rules: Vec<Track> = Vec::new();
    for column in 0..ink.width {
        follow(&mut tracks, thin_runs(&ink, column, thick));
        let hidden = ink.width * HIDDEN / EIGHTHS;
        let (kept, over): (Vec<_>, Vec<_>) = tracks.into_iter().partition(|track| {
            // What has just begun is no rule yet, and is not waited for.
            column - track.last.column <= hidden.min(4 * track.runs.len())
        });
        tracks = kept;
        rules.extend(over.into_iter().filter(|track| track.is_rule(ink.width)));
    }
    rules.extend(tracks.into_iter().filter(|track| track.is_rule(ink.width)));
    for run in rules.into_iter().flat_map(|rule| rule.runs) {
        // With the fringe.
        for row in run.top.saturating_sub(1)..(run.bottom + 1).min(ink.height) {
            ink.bytes[row * ink.width + run.column] = 0;
        }
    }
    ink
}

/// Runs of at most `thick` pixels of ink in a column, from top to bottom.
fn thin_runs(ink: &Grey, column: usize, thick: usize) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut start = None;
    for row in 0..=ink.height {
        let is_ink = row < ink.height && ink.bytes[row * ink.width + column] >= LOW;
        match (is_ink, start) {
            (true, None) => start = Some(row),
            (false, Some(top)) => {
                if row - top <= thick {
                    runs.push(Run { column, top, bottom: row });
                }
                start = None;
            }
            _ => {}
        }
    }
    runs
}

/// Adds each run to a track that it goes on from, or begins one. Tracks are in the order of their rows.
fn follow(tracks: &mut Vec<Track>, runs: Vec<Run>) {
    let mut begun = Vec::new();
    for run in runs {
        let near = tracks.iter_mut().filter(|track| track.last.column < run.column && track.leads_to(run));
        match near.max_by_key(|track| track.runs.len()) {
            Some(track) => {
                track.runs.push(run);
                track.thickness += run.thickness();
                track.last = run;
            }
            None => begun.push(Track { first: run, last: run, runs: vec![run], thickness: run.thickness() }),
        }
    }
    tracks.append(&mut begun);
}

impl Run {
    /// Twice the row of its middle.
    fn middle(&self) -> isize {
        (self.top + self.bottom) as isize
    }

    fn thickness(&self) -> usize {
        self.bottom - self.top
    }
}

impl Track {
    /// Whether a run lies where this track would be in its column, within a row; a row more where the track
    /// is hidden for long. A run that gets thicker is the edge of a stroke, which would lead it astray.
    fn leads_to(&self, run: Run) -> bool {
        let runs = self.runs.len();
        if run.thickness() * runs > self.thickness + runs {
            return false;
        }
        let length = (self.last.column - self.first.column) as isize;
        let ahead = (run.column - self.last.column) as isize;
        let slope = if length < 16 { 0 } else { (self.last.middle() - self.first.middle()) * ahead / length };
        (self.last.middle() + slope - run.middle()).abs() <= 2 + 2 * isize::from(ahead > 8)
    }

    fn is_rule(&self, width: usize) -> bool {
        let margin = width / BEYOND;
        let slopes = self.first.middle().abs_diff(self.last.middle()) / 2;
        self.first.column <= margin
            && self.last.column + 1 + margin >= width
            && self.runs.len() * EIGHTHS >= width * SEEN
            && slopes * SLOPE <= width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture with this ink where `is_ink` says so.
    fn drawn(width: usize, height: usize, is_ink: impl Fn(usize, usize) -> bool) -> Grey {
        let pixel = |at: usize| if is_ink(at % width, at / width) { 220 } else { 0 };
        Grey { width, height, bytes: (0..width * height).map(pixel).collect() }
    }

    #[test]
    fn rules_go_and_the_stroke_that_crosses_them_stays() {
        let is_stroke = |x: usize, y: usize| (45..53).contains(&x) && (10..90).contains(&y);
        // One slopes by a row in 20 columns.
        let is_rule = |x: usize, y: usize| y == 20 || y == 60 + x / 20 || y == 61 + x / 20 || x == 5;
        let ink = drawn(100, 100, |x, y| is_stroke(x, y) || is_rule(x, y));
        let without = removed(&ink);
        for at in 0..10_000 {
            let (x, y) = (at % 100, at / 100);
            // A slope's corners touch the stroke.
            if !(43..55).contains(&x) {
                assert_eq!(without.bytes[at], 0, "{x}, {y}");
            } else if (46..52).contains(&x) {
                assert_eq!(without.bytes[at] > 0, is_stroke(x, y), "{x}, {y}");
            }
        }
    }

    #[test]
    fn strokes_that_do_not_reach_both_borders_stay() {
        let seven = drawn(80, 80, |x, y| ((10..70).contains(&x) && (10..13).contains(&y)) || x + y == 80);
        assert_eq!(removed(&seven), seven);
        for (width, height) in [(1, 1), (200, 1), (1, 200)] {
            let even = drawn(width, height, |_, _| true);
            assert_eq!(removed(&even).bytes.len(), width * height);
        }
    }
}
