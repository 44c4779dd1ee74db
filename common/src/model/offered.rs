//! Which tensor of a file belongs to which of a network: by name and shape, all of them.
//!
//! 1. Every tensor of the network is found, but for those that are drawn.
//! 2. Every tensor of the file is used, but for those whose names belong to drawn ones, which a new head
//!    leaves behind.
//!
//! What does not fit is listed, all at once.

use super::params::Layout;
use crate::text::shortened;
use std::fmt;

/// Most tensors that a list in an error shows.
const SHOWN_MAX: usize = 20;

/// Name and shape of a tensor that a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Offered {
    pub name: String,
    pub shape: Vec<usize>,
}

/// What does not fit between a file and a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Tensors of the network that the file does not have, with their shapes.
    pub missing: Vec<Offered>,
    /// Tensors that have another shape in the file: the network's, and the file's shape.
    pub other_shape: Vec<(Offered, Vec<usize>)>,
    /// Tensors of the file that the network does not have, with their shapes.
    pub left_over: Vec<Offered>,
}

/// The place in `offered` of each of the network's tensors, in layout order; `None` for those that are drawn.
///
/// # Errors
/// When something is missing, has another shape or is left over.
pub fn assign(
    layout: &Layout,
    offered: &[Offered],
    is_drawn: impl Fn(&str) -> bool,
) -> Result<Vec<Option<usize>>, Misfit> {
    let mut misfit = Misfit::default();
    let mut is_used = vec![false; offered.len()];
    let mut places = Vec::new();
    for (tensor, _) in layout.iter() {
        if is_drawn(&tensor.name) {
            places.push(None);
            continue;
        }
        let own = || Offered { name: tensor.name.clone(), shape: tensor.shape.clone() };
        let place = offered.iter().position(|offered| offered.name == tensor.name);
        match place {
            None => misfit.missing.push(own()),
            Some(at) if offered[at].shape != tensor.shape => {
                misfit.other_shape.push((own(), offered[at].shape.clone()));
            }
            Some(_) => {}
        }
        place.into_iter().for_each(|at| is_used[at] = true);
        places.push(place);
    }
    let left = offered.iter().zip(is_used).filter(|(offered, is_used)| !is_used && !is_drawn(&offered.name));
    misfit.left_over = left.map(|(offered, _)| offered.clone()).collect();
    if misfit == Misfit::default() { Ok(places) } else { Err(misfit) }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |all: &[Offered]| -> Vec<String> {
            all.iter().map(|one| format!("{} {:?}", shortened(&one.name), one.shape)).collect()
        };
        let other = |(own, got): &(Offered, Vec<usize>)| {
            format!("{}: the network's is {:?}, the file's {got:?}", own.name, own.shape)
        };
        let others: Vec<String> = self.other_shape.iter().map(other).collect();
        let parts = [
            ("missing", plain(&self.missing)),
            ("of another shape", others),
            ("left over", plain(&self.left_over)),
        ];
        for (title, all) in parts.iter().filter(|(_, all)| !all.is_empty()) {
            write!(f, "\n  {title}: {}", all[..all.len().min(SHOWN_MAX)].join("; "))?;
            if all.len() > SHOWN_MAX {
                write!(f, "; and {} more", all.len() - SHOWN_MAX)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits::SPEC;
    use crate::model::architecture::Architecture;
    use crate::model::params::TensorSpec;

    fn layout(text: &str) -> Layout {
        Architecture::parse(SPEC, text).unwrap().layout().clone()
    }

    /// The tensors of that layout, last ones first.
    fn offered(layout: &Layout) -> Vec<Offered> {
        let one = |tensor: &TensorSpec| Offered { name: tensor.name.clone(), shape: tensor.shape.clone() };
        let mut all: Vec<Offered> = layout.iter().map(|(tensor, _)| one(tensor)).collect();
        all.reverse();
        all
    }

    #[test]
    fn tensors_are_found_by_name_in_any_order() {
        let layout = layout("conv(2,3) batchnorm relu flatten dense");
        let all = offered(&layout);
        let places = assign(&layout, &all, |_| false).unwrap();
        assert_eq!(places, (0..all.len()).rev().map(Some).collect::<Vec<_>>());
        let drawn = assign(&layout, &all, |name| name.starts_with("fc1")).unwrap();
        assert_eq!(drawn.iter().filter(|place| place.is_none()).count(), 2);
    }

    #[test]
    fn all_that_does_not_fit_is_listed() {
        let deeper = layout("conv(2,3) relu flatten dense(4) relu dense");
        let other = layout("conv(3,3) relu conv(3,3) flatten dense");
        let misfit = assign(&deeper, &offered(&other), |_| false).unwrap_err();
        let text = misfit.to_string();
        let expected = [
            "missing: fc2.bias [10]; fc2.weight [10, 4]",
            "of another shape: conv1.bias: the network's is [2], the file's [3]; conv1.weight: the network's is \
             [2, 1, 3, 3], the file's [3, 1, 3, 3]; fc1.bias: the network's is [4], the file's [10]",
            "left over: conv2.weight [3, 3, 3, 3]; conv2.bias [3]",
        ];
        expected.iter().for_each(|part| assert!(text.contains(part), "{text}"));
        // What is drawn is neither wanted nor left over.
        let misfit = assign(&deeper, &offered(&other), |name| !name.starts_with("conv2")).unwrap_err();
        assert!(misfit.missing.is_empty() && misfit.other_shape.is_empty() && misfit.left_over.len() == 2);
        let many: Vec<_> = (0..100).map(|at| Offered { name: at.to_string(), shape: vec![] }).collect();
        let text = assign(&deeper, &many, |name| deeper.find(name).is_some()).unwrap_err().to_string();
        assert!(text.ends_with("; 19 []; and 80 more"), "{text}");
    }
}
