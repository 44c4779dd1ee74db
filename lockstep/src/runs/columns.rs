//! Columns of text that fit a width: those that may be cut are, the widest first.

/// What a text that was cut ends or begins with.
const CUT: &str = "..";
/// Least width of a column that is cut.
const LEAST: usize = 6;
/// Spaces between columns, where there is room, and where there is not.
const GAPS: [usize; 2] = [2, 1];

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// At the right, whole.
    Right,
    /// At the left, whole.
    Left,
    /// At the left; its end may be cut.
    CutEnd,
    /// At the left; its beginning may be cut.
    CutStart,
}

/// Lines of aligned columns, at most `most` characters wide if cutting can do it. The first row is the heads.
#[must_use]
pub fn lines(sets: &[Set], rows: &[Vec<String>], most: usize) -> String {
    let longest =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let mut widths: Vec<usize> = (0..sets.len()).map(|column| longest(column).unwrap_or(0)).collect();
    let wide =
        |widths: &[usize], gap: usize| widths.iter().sum::<usize>() + gap * sets.len().saturating_sub(1);
    let gap = GAPS.into_iter().find(|&gap| wide(&widths, gap) <= most).unwrap_or(GAPS[1]);
    while wide(&widths, gap) > most {
        let may_be_cut =
            |column: &usize| matches!(sets[*column], Set::CutEnd | Set::CutStart) && widths[*column] > LEAST;
        let Some(widest) = (0..sets.len()).filter(may_be_cut).max_by_key(|&column| widths[column]) else {
            break;
        };
        widths[widest] -= 1;
    }
    rows.iter().map(|row| line(sets, row, &widths, gap)).collect()
}

fn line(sets: &[Set], row: &[String], widths: &[usize], gap: usize) -> String {
    let cells = row.iter().zip(sets).zip(widths).map(|((cell, set), &width)| match set {
        Set::Right => format!("{cell:>width$}"),
        Set::Left => format!("{cell:<width$}"),
        Set::CutEnd => format!("{:<width$}", cut(cell, width, false)),
        Set::CutStart => format!("{:<width$}", cut(cell, width, true)),
    });
    cells.collect::<Vec<_>>().join(&" ".repeat(gap)).trim_end().to_owned() + "\n"
}

/// A text in at most so many characters.
fn cut(text: &str, width: usize, start: bool) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(CUT.len());
    if start {
        CUT.chars().chain(text.chars().skip(count - kept)).collect()
    } else {
        text.chars().take(kept).chain(CUT.chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 3]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn what_fits_is_whole_and_what_does_not_is_cut_where_it_may() {
        let rows =
            [row(["name", "model", "test"]), row(["sweep/trials/trial-0001", "conv(32,3) relu", "98.93"])];
        let sets = [Set::CutStart, Set::CutEnd, Set::Right];
        let wide = "name                     model             test\nsweep/trials/trial-0001  conv(32,3) relu  98.93\n";
        assert_eq!(lines(&sets, &rows, 100), wide);
        let narrow = "name          model          test\n../trial-0001 conv(32,3).. 98.93\n";
        let cut = lines(&sets, &rows, 32);
        assert!(cut.lines().all(|line| line.chars().count() <= 32), "{cut}");
        assert_eq!(cut.split_whitespace().collect::<Vec<_>>(), narrow.split_whitespace().collect::<Vec<_>>());
        assert!(lines(&sets, &rows, 1).contains("98.93"), "numbers are never cut");
    }
}
