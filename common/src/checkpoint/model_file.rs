//! A trained network in one file, to hand on: weights in safetensors, with all that is needed to use them in
//! the header.
//!
//! The header's metadata has one entry, [`KEY`], which is a JSON object: the form of the images, the layers,
//! the normalization, the names of the classes, and where the weights come from. One entry, because the
//! library writes several in a random order, and equal models are to have equal bytes. A reader that knows
//! nothing of it, such as `safetensors.torch.load_file`, gets the tensors.

use super::tensors::{self, TensorsError};
use crate::data::classes::ClassNames;
use crate::data::normalize::Normalization;
use crate::data::spec::DataSpec;
use crate::model::architecture::{Architecture, Layers, ModelError, PARAMETERS_MAX};
use crate::text::shortened;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::str::FromStr;

/// Name of the entry in the header's metadata.
const KEY: &str = "lockstep";
/// Largest file, in bytes: the most parameters that a network can have, and a header.
pub const MODEL_FILE_BYTES_MAX: u64 = (PARAMETERS_MAX as u64) * 4 + (16 << 20);
/// Version of the entry, raised when older programs cannot read new files.
const VERSION: u32 = 1;

/// A network with its weights, and what a picture has to become before it is given to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Form of the images, and layers.
    pub architecture: Architecture,
    /// Weights as a flat vector in layout order.
    pub params: Vec<f32>,
    /// How pixels become its input.
    pub normalization: Normalization,
    /// Names of the classes.
    pub classes: ClassNames,
    /// Where the weights come from.
    pub origin: Origin,
}

/// Where a model's weights come from; only informative.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the data set that it was trained on.
    pub dataset: String,
    /// Fingerprint of the run.
    pub fingerprint: String,
    /// Steps that the run had completed.
    pub step: u64,
    /// Which version of the run's weights they are.
    pub weights: String,
}

/// The entry in the header.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: u32,
    input: String,
    layers: String,
    normalize: String,
    class_names: String,
    origin: Origin,
}

/// Why bytes are no model.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum ModelFileError {
    /// The bytes are not a safetensors file.
    #[error("it is no file of safetensors: {0}")]
    Format(String),
    /// The header does not say what network it is.
    #[error(
        "its header has no entry \"{KEY}\", so nothing says which network it is: name a checkpoint's folder, or a file that \
         lockstep export --format safetensors wrote"
    )]
    Plain,
    /// The entry is not understood.
    #[error("the entry \"{KEY}\" of its header is damaged: {0}")]
    Entry(String),
    /// A newer program wrote it.
    #[error("the entry \"{KEY}\" of its header has version {got}, and this program reads version {VERSION}")]
    Version { got: u32 },
    /// The layers are not a network.
    #[error("its network: {0}")]
    Model(#[from] ModelError),
    /// The tensors are not the network's.
    #[error(transparent)]
    Tensors(#[from] TensorsError),
}

impl Model {
    /// The file's bytes, the same for equal models.
    ///
    /// # Panics
    /// When there are more or fewer weights than the network has.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let entry = Entry {
            version: VERSION,
            input: self.architecture.input().to_string(),
            layers: self.architecture.layers().to_string(),
            normalize: self.normalization.to_string(),
            class_names: self.classes.to_string(),
            origin: self.origin.clone(),
        };
        let text = serde_json::to_string(&entry).expect("texts and a number are JSON");
        tensors::encode_with(self.architecture.layout(), &[("", &self.params)], Some((KEY, text)))
    }

    /// Reads a file, which may come from anywhere.
    ///
    /// # Errors
    /// When it is damaged, does not say which network it is, or its tensors are not that network's.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelFileError> {
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| ModelFileError::Format(error.to_string()))?;
        let entry = header.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let entry = Entry::parse(entry.ok_or(ModelFileError::Plain)?)?;
        let input: DataSpec = parsed("input", &entry.input)?;
        let layers: Layers = parsed("layers", &entry.layers)?;
        let normalization: Normalization = parsed("normalize", &entry.normalize)?;
        let classes: ClassNames = parsed("class_names", &entry.class_names)?;
        let architecture = Architecture::new(input, layers)?;
        if !normalization.fits(input.channels()) || !classes.fit(input) {
            let what = format!("its normalization and classes are not those of {input}");
            return Err(ModelFileError::Entry(what));
        }
        tensors::check_finite(bytes)?;
        let params = tensors::decode(bytes, architecture.layout(), &[""])?.remove(0);
        Ok(Self { architecture, params, normalization, classes, origin: entry.origin })
    }
}

impl Entry {
    fn parse(text: &str) -> Result<Self, ModelFileError> {
        /// The field that every version has.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let damaged = |error: serde_json::Error| ModelFileError::Entry(error.to_string());
        let Version { version: got } = serde_json::from_str(text).map_err(damaged)?;
        if got != VERSION {
            return Err(ModelFileError::Version { got });
        }
        serde_json::from_str(text).map_err(damaged)
    }
}

fn parsed<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, ModelFileError> {
    text.parse().map_err(|error| ModelFileError::Entry(format!("{what} is {:?}: {error}", shortened(text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::params::Init;

    fn model() -> Model {
        let data = DataSpec::new(8, 8, 3, 2).unwrap();
        let architecture = Architecture::parse(data, "conv(4,3) batchnorm relu flatten dense").unwrap();
        let params = Init::He.draw(architecture.layout(), 3);
        let normalization = "standard(mean=0.5 0.25 0.75,deviation=0.25 0.5 0.125)".parse().unwrap();
        let classes = ClassNames::new(["cat", "dög"]);
        let origin = Origin { dataset: "pets".to_owned(), step: 7, ..Origin::default() };
        Model { architecture, params, normalization, classes, origin }
    }

    #[test]
    fn a_file_reads_back_and_has_one_form() {
        let bytes = model().encode();
        assert_eq!(Model::decode(&bytes).unwrap(), model());
        assert_eq!(model().encode(), bytes);
    }

    /// The model with one text of its header changed.
    fn changed(from: &str, to: &str) -> String {
        let bytes = model().encode();
        let (length, _) = bytes.split_at(8);
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let old = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
        let header = old.replace(from, to);
        assert_ne!(header, old, "the text is there");
        let mut new = (header.len() as u64).to_le_bytes().to_vec();
        new.extend(header.as_bytes());
        new.extend(&bytes[8 + length..]);
        Model::decode(&new).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let error = Model::decode(b"12345678").unwrap_err();
        assert!(matches!(error, ModelFileError::Format(_)), "{error}");
        assert!(changed("\"lockstep\"", "\"other\"").contains("no entry \"lockstep\""));
        assert!(changed("\\\"version\\\":1", "\\\"version\\\":99").contains("has version 99"));
        assert!(changed("flatten dense", "dense").contains("its network: layer 4"));
        assert!(changed("flatten dense", "flatten dence").contains("layers is"));
        assert!(changed("standard(", "unknown-(").contains("normalize is"));
        assert!(
            changed("0.5 0.25 0.75,deviation=0.25 0.5 0.125", "0.5,deviation=0.5").contains("not those of")
        );
        assert!(changed("conv(4,3)", "conv(5,33)").contains("kernel"));
        assert!(changed("conv(4,3)", "conv(14,3)").contains("bn1.bias"));
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        let mut model = model();
        model.params[5] = f32::NAN;
        let error = Model::decode(&model.encode()).unwrap_err();
        assert!(matches!(error, ModelFileError::Tensors(TensorsError::NonFinite(_))), "{error}");
    }
}
