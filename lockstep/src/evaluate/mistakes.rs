//! The images that a model gets wrong, as PNG files in a folder.
//!
//! A file's name has the image's place in the test samples, its class, and the answer with its probability:
//! `00247-is-4-taken-for-2-at-91.png`. The worst come first in `mistakes.csv`: those to whose class the model
//! gave the least probability.

use super::Judged;
use common::data::classes::ClassNames;
use common::data::samples::Samples;
use coordinator::dataset::picture;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Most pictures that are written; the worst ones.
const PICTURES_MAX: usize = 10_000;
/// Characters of a class's name in a file's name.
const NAME_CHARS: usize = 24;

/// Why mistakes can't be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum MistakesError {
    /// The folder has something in it.
    #[error("--mistakes {}: the folder is not empty; name a new one", .0.display())]
    NotEmpty(PathBuf),
    /// The file system refuses.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Writes the mistakes to a new or empty folder, and returns how many pictures were written.
///
/// # Errors
/// When the folder holds anything, or can't be written.
pub fn write(
    folder: &Path,
    samples: &Samples,
    judged: &[Judged],
    classes: &ClassNames,
) -> Result<usize, MistakesError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| MistakesError::Write { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    if std::fs::read_dir(folder).map_err(failed(folder))?.next().is_some() {
        return Err(MistakesError::NotEmpty(folder.to_owned()));
    }
    let mut mistakes = worst_first(judged);
    mistakes.truncate(PICTURES_MAX);
    let mut table = "file,index,class,answer,probability,probability_of_class\n".to_owned();
    for &at in &mistakes {
        let Judged { label, answer } = judged[at];
        let [class, guess] = [label, answer.class].map(|class| in_file_name(classes.get(class.into())));
        let percent = 100.0 * answer.probability;
        let name = format!("{at:05}-is-{class}-taken-for-{guess}-at-{percent:.0}.png");
        let path = folder.join(&name);
        picture(samples, at).save(&path).map_err(io::Error::other).map_err(failed(&path))?;
        let of_class = libm::exp(-answer.loss);
        // Writing to a string can't fail.
        let _ =
            writeln!(table, "{name},{at},{label},{},{:.6},{of_class:.6}", answer.class, answer.probability);
    }
    let path = folder.join("mistakes.csv");
    std::fs::write(&path, table).map_err(failed(&path))?;
    Ok(mistakes.len())
}

/// Places of the mistakes, those first to whose class the model gave the least probability.
#[must_use]
pub fn worst_first(judged: &[Judged]) -> Vec<usize> {
    let mut mistakes: Vec<usize> = (0..judged.len()).filter(|&at| !judged[at].is_right()).collect();
    mistakes.sort_by(|&a, &b| judged[b].answer.loss.total_cmp(&judged[a].answer.loss));
    mistakes
}

/// A class's name with nothing in it that means something in a path or a table.
fn in_file_name(name: &str) -> String {
    name.chars().take(NAME_CHARS).map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::judged;
    use super::*;
    use common::data::spec::DataSpec;

    #[test]
    fn mistakes_are_pictures_and_rows_worst_first() {
        let folder = tempfile::tempdir().unwrap();
        let spec = DataSpec::new(2, 2, 1, 2).unwrap();
        let samples = Samples::new(spec, (0..12).collect(), vec![0; 3]).unwrap();
        let answers = [judged(0.7, false), judged(0.9, true), judged(0.8, false)];
        let names = ClassNames::new(["a/b", "../c"]);
        let into = folder.path().join("new");
        assert_eq!(write(&into, &samples, &answers, &names).unwrap(), 2);
        let table = std::fs::read_to_string(into.join("mistakes.csv")).unwrap();
        let rows: Vec<&str> = table.lines().skip(1).collect();
        assert!(rows[0].starts_with("00002-is-a_b-taken-for-___c-at-80.png,2,0,1,0.8"), "{table}");
        let name = rows[1].split(',').next().unwrap();
        let picture = image::open(into.join(name)).unwrap().to_luma8();
        assert_eq!(picture.into_raw(), [0, 1, 2, 3]);
        let again = write(&into, &samples, &answers, &names).unwrap_err();
        assert!(matches!(again, MistakesError::NotEmpty(_)), "{again}");
    }
}
