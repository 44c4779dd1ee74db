//! First values from a file that Keras 3's `model.save_weights` wrote: a group for each layer in HDF5.
//!
//! Which layer is which, and in what order its numbers lie, is in `order`. With branches the order of layers
//! is not known, and networks with `residual` are refused. What a layer's epsilon is, the file does not say.

mod order;

pub use order::KerasLayer;

use super::strided::in_order;
use super::{Entry, Problem, Source};
use common::model::architecture::Architecture;
use common::model::element::Element;
use common::model::layer::Layer;
use common::model::offered::Offered;
use hdf5_pure::{DType, File, Group, Layout, ReadSeekSource};
use host::files::{Links, open_regular};
use std::collections::BTreeMap;
use std::path::Path;

/// Most layers that are looked at.
const LAYERS_MAX: usize = 4096;
/// Most variables of a layer that are looked at.
const VARIABLES_MAX: usize = 64;

/// Why a file of Keras's can't be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum KerasError {
    /// It is not HDF5, or damaged.
    #[error(
        "it can't be read as HDF5 ({0}); write it with model.save_weights(\"NAME.weights.h5\") of Keras 3"
    )]
    Hdf5(String),
    /// There are more groups than a network has.
    #[error("{group} has {got} members, and {most} is the most that is looked at; check which file it is")]
    Crowded { group: String, got: usize, most: usize },
    /// The network has branches.
    #[error(
        "the order of Keras's layers is not known for a network with residual; load its weights into PyTorch, and give a .pth"
    )]
    Branches,
    /// A variable's numbers do not lie in one piece of its size.
    #[error("{0} is not stored in one piece of its size; write the file again with model.save_weights")]
    Storage(String),
}

/// A variable of the file, and how it becomes a tensor of the network.
struct Variable {
    /// Its path in the file.
    path: String,
    /// Shape and strides in which its numbers are read; they give the order of the tensor.
    view: (Vec<usize>, Vec<usize>),
}

/// A file whose groups were read.
pub(super) struct Keras {
    file: File,
    entries: Vec<Entry>,
    variables: Vec<Variable>,
    said: Vec<String>,
}

/// A layer of the file: shapes and types of its variables.
struct Stored {
    group: String,
    variables: Vec<Numbers>,
}

/// Shape and type of a variable.
type Numbers = (Vec<usize>, Result<Element, String>);

/// The layers of a file: by kind, each kind in the order of the model; and those of other kinds.
type Layers = (BTreeMap<&'static str, Vec<Stored>>, Vec<Stored>);

/// Reads the groups.
pub(super) fn open(path: &Path, model: &Architecture) -> Result<Keras, Problem> {
    let file = open_regular(path, u64::MAX, Links::Followed)?;
    Ok(of(file, model)?)
}

fn hdf5(error: impl std::fmt::Display) -> KerasError {
    KerasError::Hdf5(common::text::shortened(&error.to_string()))
}

fn of(file: std::fs::File, model: &Architecture) -> Result<Keras, KerasError> {
    if model.layers().as_slice().contains(&Layer::Residual) {
        return Err(KerasError::Branches);
    }
    let source = ReadSeekSource::new(file).map_err(hdf5)?;
    let file = File::from_source(source).map_err(hdf5)?;
    let (mut of_kind, mut left) = layers(&file)?;
    let mut keras = Keras { file, entries: Vec::new(), variables: Vec::new(), said: Vec::new() };
    keras.take(model, &mut of_kind);
    left.extend(of_kind.into_values().flatten());
    for Stored { group, variables } in left {
        for (number, (shape, element)) in variables.into_iter().enumerate() {
            let path = format!("{group}/vars/{number}");
            keras.add(path.clone(), shape.clone(), element, path, (shape, Vec::new()));
        }
    }
    if keras.file.group("optimizer").is_ok() {
        keras.said.push("left out: the state of Keras's optimizer".to_owned());
    }
    Ok(keras)
}

/// The layers of the file that have variables.
fn layers(file: &File) -> Result<Layers, KerasError> {
    let root = file.group("layers").map_err(hdf5)?;
    let mut names = members(&root, "layers", LAYERS_MAX)?;
    names.sort_by_key(|name| numbered(name).1);
    let mut of_kind = BTreeMap::<&str, Vec<Stored>>::new();
    let mut left = Vec::new();
    for name in names {
        let group = format!("layers/{name}");
        let layer = root.group(&name).map_err(hdf5)?;
        for inner in members(&layer, &group, VARIABLES_MAX)? {
            // Dropout has a group for its random numbers. Layers within a layer are nothing that is known
            // here.
            if inner != "vars" && inner != "seed_generator" {
                left.push(Stored {
                    group: format!("{group}/{inner}"),
                    variables: vec![(Vec::new(), Err(inner))],
                });
            }
        }
        let Ok(vars) = layer.group("vars") else { continue };
        let stored = Stored { variables: variables(&vars, &group)?, group };
        if stored.variables.is_empty() {
            continue;
        }
        match order::KINDS.iter().find(|&&kind| kind == numbered(&name).0) {
            Some(kind) => of_kind.entry(kind).or_default().push(stored),
            None => left.push(stored),
        }
    }
    Ok((of_kind, left))
}

fn members(group: &Group, name: &str, most: usize) -> Result<Vec<String>, KerasError> {
    let members = group.groups().map_err(hdf5)?;
    let got = members.len();
    if got > most { Err(KerasError::Crowded { group: name.to_owned(), got, most }) } else { Ok(members) }
}

/// A layer's kind and number: `conv2d_1` is `conv2d`, 1.
fn numbered(name: &str) -> (&str, u32) {
    let parts = name.rsplit_once('_').and_then(|(kind, number)| Some((kind, number.parse().ok()?)));
    parts.unwrap_or((name, 0))
}

/// Shapes and types of a layer's variables, which are named by their numbers.
fn variables(vars: &Group, group: &str) -> Result<Vec<Numbers>, KerasError> {
    let got = vars.datasets().map_err(hdf5)?.len();
    if got > VARIABLES_MAX {
        return Err(KerasError::Crowded { group: format!("{group}/vars"), got, most: VARIABLES_MAX });
    }
    let variable = |number: usize| {
        let dataset = vars.dataset(&number.to_string()).map_err(hdf5)?;
        let shape = dataset.shape().map_err(hdf5)?.into_iter().map(|size| size as usize).collect();
        let element = match dataset.dtype().map_err(hdf5)? {
            DType::F32 => Ok(Element::F32),
            other => Err(other.to_string()),
        };
        Ok((shape, element))
    };
    (0..got).map(variable).collect()
}

impl Keras {
    fn add(
        &mut self,
        name: String,
        shape: Vec<usize>,
        element: Result<Element, String>,
        path: String,
        view: (Vec<usize>, Vec<usize>),
    ) {
        self.entries.push(Entry { offered: Offered { name, shape }, element });
        self.variables.push(Variable { path, view });
    }

    /// Gives each layer of the network the next one of its kind.
    fn take(&mut self, model: &Architecture, of_kind: &mut BTreeMap<&'static str, Vec<Stored>>) {
        for keras in KerasLayer::all(model) {
            let KerasLayer { at, kind, has_none, .. } = keras;
            let places = model.places(at);
            let names: Vec<String> = places
                .iter()
                .filter_map(|&place| model.layout().iter().nth(place))
                .map(|(tensor, _)| tensor.name.clone())
                .collect();
            let next = of_kind.get_mut(kind).filter(|all| !all.is_empty()).map(|all| all.remove(0));
            let Some(Stored { group, variables }) = next else { continue };
            let is_norm = !matches!(kind, "conv2d" | "dense");
            // Without its scale or its shift, a normalisation's variables can't be told apart.
            let is_odd = has_none || is_norm && variables.len() != names.len();
            for (number, (stored, element)) in variables.into_iter().enumerate() {
                let path = format!("{group}/vars/{number}");
                match names.get(number).filter(|_| !is_odd) {
                    Some(name) => {
                        let (shape, view) = keras.ours(stored);
                        self.add(name.clone(), shape, element, path, view);
                    }
                    None => self.add(path.clone(), stored.clone(), element, path, (stored, Vec::new())),
                }
            }
        }
    }
}

impl Source for Keras {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn values(&self, at: usize) -> Result<Vec<f32>, Problem> {
        let Variable { path, view: (shape, strides) } = &self.variables[at];
        let count = shape.iter().product::<usize>();
        let storage = || KerasError::Storage(path.clone());
        let dataset = self.file.dataset(path).map_err(hdf5)?;
        let bytes = (count * Element::F32.bytes()) as u64;
        match dataset.layout().map_err(hdf5)? {
            Layout::Contiguous { address: Some(_), size } if size == bytes => {}
            Layout::Compact { size } if size == bytes => {}
            _ => return Err(storage().into()),
        }
        let values = dataset.read_f32().map_err(hdf5)?;
        if values.len() != count {
            return Err(storage().into());
        }
        Ok(in_order(values, shape, strides))
    }

    fn said(&self) -> Vec<String> {
        self.said.clone()
    }
}
