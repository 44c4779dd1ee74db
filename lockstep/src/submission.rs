//! `lockstep submit`: a model's answers to Kaggle's digit recogniser, as its page takes them.
//!
//! The images are those of `test.csv`, in its order. Each gets a row, `ImageId,Label`, counted from 1; the
//! label is the name of the class that is most likely.

use crate::answers;
use crate::export::{self, ExportError};
use common::checkpoint::Model;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use coordinator::dataset::{self, CsvError};
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use worker::engine::network::NetworkError;

/// First line of a submission.
const HEADER: &str = "ImageId,Label\n";

/// Why there is no submission.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum SubmitError {
    /// The table can't be used.
    #[error(transparent)]
    Table(#[from] CsvError),
    /// The table has no images.
    #[error("{}: there is no row in it; get Kaggle's test.csv again", .0.display())]
    Empty(PathBuf),
    /// The model takes other images.
    #[error("{}: its images are {images}x{images}x1, and the model takes {model}; use a model that was trained on such images", path.display())]
    OtherForm { path: PathBuf, images: usize, model: DataSpec },
    /// The network can't compute.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The file can't be written.
    #[error(transparent)]
    Write(#[from] ExportError),
}

/// Writes the answers to the images of `table` to `output`, over an older submission, and returns their
/// number.
///
/// # Errors
/// When the table can't be used or has other images than the model takes, the network can't compute, or there
/// is a file that is no submission.
pub fn write(
    model: &Model,
    table: &Path,
    output: &Path,
    threads: NonZeroUsize,
) -> Result<usize, SubmitError> {
    let images = dataset::read_unlabelled(table)?;
    if images.is_empty() {
        return Err(SubmitError::Empty(table.to_owned()));
    }
    let (spec, of_table) = (model.architecture.input(), images.spec());
    let form = |spec: DataSpec| [spec.height(), spec.width(), spec.channels()];
    if form(spec) != form(of_table) {
        let path = table.to_owned();
        return Err(SubmitError::OtherForm { path, images: of_table.height(), model: spec });
    }
    let (pixels, labels) = images.into_parts();
    let samples = Samples::new(spec, pixels, labels).expect("images of the model's form, all of class 0");
    let logits = answers::logits(model, &samples, threads)?;
    let text = text(model, &answers::answers(&logits, samples.labels()));
    export::put(text.as_bytes(), output, |start| start.starts_with(HEADER.as_bytes()))?;
    Ok(samples.len())
}

fn text(model: &Model, answers: &[answers::Answer]) -> String {
    let mut text = HEADER.to_owned();
    for (number, answer) in (1..).zip(answers) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{number},{}", model.classes.get(answer.class.into()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::checkpoint::Origin;
    use common::data::classes::ClassNames;
    use common::data::normalize::Normalization;
    use common::model::architecture::Architecture;

    /// Of 2x2 pixels the brightest one is the class.
    fn model() -> Model {
        let spec = DataSpec::new(2, 2, 1, 4).unwrap();
        let architecture = Architecture::parse(spec, "flatten dense").unwrap();
        let mut params = vec![0.0; architecture.layout().len()];
        let (_, weights) = architecture.layout().iter().find(|(_, range)| range.len() == 16).unwrap();
        (0..4).for_each(|class| params[weights.start + class * 5] = 1.0);
        let (normalization, classes) = (Normalization::default(), ClassNames::numbers(4));
        Model { architecture, params, normalization, classes, origin: Origin::default() }
    }

    fn written(table: &str, before: Option<&str>) -> (Result<usize, SubmitError>, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let [input, output] = ["test.csv", "submission.csv"].map(|name| folder.path().join(name));
        std::fs::write(&input, table).unwrap();
        before.into_iter().for_each(|text| std::fs::write(&output, text).unwrap());
        let count = write(&model(), &input, &output, NonZeroUsize::MIN);
        (count, std::fs::read_to_string(&output).ok())
    }

    #[test]
    fn each_image_has_a_row_and_only_a_submission_is_replaced() {
        let table = "pixel0,pixel1,pixel2,pixel3\n9,0,200,0\n255,0,0,0\n0,0,0,7\n";
        let rows = Some("ImageId,Label\n1,2\n2,0\n3,3\n".to_owned());
        let (count, text) = written(table, None);
        assert_eq!((count.unwrap(), &text), (3, &rows));
        assert_eq!(written(table, Some("ImageId,Label\n1,7\n")).1, rows);
        let (refused, text) = written(table, Some("a diary"));
        assert!(matches!(refused, Err(SubmitError::Write(ExportError::Other(_)))));
        assert_eq!(text.as_deref(), Some("a diary"));
    }

    #[test]
    fn tables_that_do_not_fit_are_named_and_nothing_is_written() {
        let error_of = |table: &str| {
            let (result, text) = written(table, None);
            assert_eq!(text, None);
            result.unwrap_err().to_string()
        };
        assert!(error_of("pixel0\n3\n").contains("test.csv: its images are 1x1x1, and the model takes"));
        assert!(error_of("pixel0,pixel1,pixel2,pixel3\n").contains("test.csv: there is no row"));
        assert!(error_of("1,2,3,4\n1,2,x,4\n").contains("test.csv, line 2, column 3: the pixel is \"x\""));
    }
}
