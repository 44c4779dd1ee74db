//! The teacher of a run that is distilled: read at each start, and sent to the workers with the run's setup.
//!
//! A checkpoint has no teacher, but which one it was. So a run that goes on reads it again, and its file may
//! lie elsewhere.

use crate::trained::{self, OpenError};
use crate::training_flags::CompressionFlags;
use common::checkpoint::Model;
use common::data::classes::ClassNames;
use common::data::spec::DataSpec;
use common::train::compression::Compression;
use common::train::distil::{Distillation, Teacher};
use std::path::PathBuf;
use std::sync::Arc;

/// Why a teacher can't be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum TeacherError {
    /// It can't be opened.
    #[error("--distil: {0}")]
    Open(#[from] OpenError),
    /// It is for other samples.
    #[error(
        "--distil {}: the teacher is for images of {teacher}, and the data set has {data}; name one that was \
         trained on such images", path.display()
    )]
    Form { path: PathBuf, teacher: DataSpec, data: DataSpec },
    /// The run has a teacher, and it is not named at this start.
    #[error("this run learns from a teacher, which is not in its checkpoints; name it again with --distil")]
    NotNamed,
}

/// A teacher, and the setting that names it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) teacher: Arc<Teacher>,
    pub(crate) distillation: Distillation,
    /// What is doubtful about it.
    pub(crate) doubt: Option<String>,
}

/// The teacher that the flags name, for such samples. `settings` are the run's so far.
///
/// # Errors
/// When it can't be opened or is for other samples, or the run has one that is not named.
pub(crate) fn of(
    flags: &CompressionFlags,
    settings: &Compression,
    data: DataSpec,
    classes: &ClassNames,
) -> Result<Option<Named>, TeacherError> {
    let before = settings.distillation.as_ref().map(|distillation| distillation.blend);
    let Some(path) = &flags.distil else {
        return if before.is_some() { Err(TeacherError::NotNamed) } else { Ok(None) };
    };
    let Model { architecture, params, normalization, classes: known, .. } = trained::open(path, None)?;
    let teacher = Teacher { architecture, params, normalization };
    if teacher.form() != data {
        return Err(TeacherError::Form { path: path.clone(), teacher: teacher.form(), data });
    }
    let doubt = (known != *classes).then(|| {
        format!(
            "--distil {}: its classes have other names than the data set's, or another order",
            path.display()
        )
    });
    let distillation = Distillation { teacher: teacher.id(), blend: flags.blend(before) };
    Ok(Some(Named { teacher: Arc::new(teacher), distillation, doubt }))
}
