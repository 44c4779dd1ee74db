//! Parameter groups: tensors, chosen by name, with optimizer settings of their own.
//!
//! As text: `PATTERN(frozen)` or `PATTERN(lr_factor=F,weight_decay=D)`, separated by spaces. A `*` in a
//! pattern stands for any characters. A tensor belongs to the first group whose pattern matches its name, or
//! to none. A pattern that matches no tensor is refused: it is a spelling mistake. Running statistics belong
//! to no group: no optimizer changes them, and they go on while what is around them is frozen, as in PyTorch.

use crate::model::params::{Layout, Role, TensorSpec};
use crate::text::{Call, TextError, shortened, words};
use crate::train::patterns::{Patterns, matches};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Largest number of groups in a run.
const GROUPS_MAX: usize = 64;
/// Text form of an empty list of groups.
const NONE: &str = "none";

/// The parameter groups of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups(Vec<Group>);

/// Tensors with optimizer settings of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pattern: String,
    treatment: Treatment,
}

/// Optimizer settings of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Treatment {
    /// The parameters stay unchanged, and their gradient counts as 0.
    Frozen,
    /// The parameters are trained.
    Trained {
        /// Factor applied to the schedule's learning rate.
        lr_factor: f64,
        /// Weight decay that replaces the optimizer's.
        weight_decay: Option<f64>,
        /// Whether values that are 0 stay 0. A mask says so, and no group.
        masked: bool,
    },
    /// The values follow the step's mean, and count in no norm.
    Running,
}

/// Tensors that the optimizer's weight decay is for. A group's own weight decay is for all of the group's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decayed {
    /// All that are trained.
    All,
    /// Those of two or more dimensions: biases, and the scales and shifts of norms, have one.
    Weights,
}

/// Reason why groups are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum GroupError {
    /// A group's text is malformed.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A number is out of its range.
    #[error("{pattern}: {name} is {got}; it must be 0 or more and finite")]
    Range { pattern: String, name: &'static str, got: f64 },
    /// A pattern matches no tensor that an earlier pattern does not.
    #[error("{pattern} matches no tensor that an earlier group does not; the tensors are {tensors}")]
    Empty {
        pattern: String,
        /// Names of all tensors in the network.
        tensors: String,
    },
    /// There are more groups than a run may have.
    #[error("there are {0} groups; at most {GROUPS_MAX} are possible")]
    Count(usize),
    /// Every tensor is frozen.
    #[error("all tensors are frozen: nothing is trained")]
    AllFrozen,
}

/// The parameters, divided into ranges that are treated alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// Ranges in order, without gaps.
    ranges: Vec<(Range<usize>, Treatment)>,
}

impl Treatment {
    /// Treatment of tensors that belong to no group.
    pub const DEFAULT: Self = Self::Trained { lr_factor: 1.0, weight_decay: None, masked: false };

    /// The same without the optimizer's weight decay, if the tensor has one dimension.
    fn sparing(self, tensor: &TensorSpec) -> Self {
        match self {
            Self::Trained { lr_factor, weight_decay: None, masked } if tensor.shape.len() < 2 => {
                Self::Trained { lr_factor, weight_decay: Some(0.0), masked }
            }
            other => other,
        }
    }

    /// The same with a mask, if it is trained.
    pub(super) fn masked(self) -> Self {
        match self {
            Self::Trained { lr_factor, weight_decay, .. } => {
                Self::Trained { lr_factor, weight_decay, masked: true }
            }
            other => other,
        }
    }

    /// Whether values that are 0 stay 0 while the others are trained.
    pub(super) fn is_masked(self) -> bool {
        matches!(self, Self::Trained { masked: true, .. })
    }
}

impl fmt::Display for Decayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Weights => "weights",
        })
    }
}

impl FromStr for Decayed {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "all" => Ok(Self::All),
            "weights" => Ok(Self::Weights),
            _ => Err(TextError::Unknown { got: shortened(text), known: "all and weights".to_owned() }),
        }
    }
}

impl Groups {
    /// A frozen group for each pattern, before these ones.
    #[must_use]
    pub fn behind_frozen(self, patterns: &Patterns) -> Self {
        let frozen = |pattern: &str| Group { pattern: pattern.to_owned(), treatment: Treatment::Frozen };
        Self(patterns.iter().map(frozen).chain(self.0).collect())
    }

    /// Whether the first groups are those.
    #[must_use]
    pub fn begin_with(&self, first: &Self) -> bool {
        self.0.starts_with(&first.0)
    }

    /// Divides the tensors of a network into ranges that are treated alike.
    ///
    /// # Errors
    /// When a group has no tensor, or all are frozen.
    pub fn partition(&self, layout: &Layout, decayed: Decayed) -> Result<Partition, GroupError> {
        let is_trained = |tensor: &TensorSpec| tensor.role == Role::Trained;
        let group_of = |tensor: &TensorSpec| self.group_of(tensor);
        if self.0.len() > GROUPS_MAX {
            return Err(GroupError::Count(self.0.len()));
        }
        for (at, group) in self.0.iter().enumerate() {
            if !layout.iter().any(|(tensor, _)| group_of(tensor) == Some(at)) {
                let trained = layout.iter().filter(|(tensor, _)| is_trained(tensor));
                let names: Vec<&str> = trained.map(|(tensor, _)| tensor.name.as_str()).collect();
                return Err(GroupError::Empty { pattern: group.pattern.clone(), tensors: names.join(", ") });
            }
        }
        let partition = Partition::of_tensors(layout.iter().map(|(tensor, range)| {
            let treatment = match tensor.role {
                Role::Running => Treatment::Running,
                Role::Trained if decayed == Decayed::Weights => self.treatment(tensor).sparing(tensor),
                Role::Trained => self.treatment(tensor),
            };
            (range, treatment)
        }));
        if !partition.ranges().any(|(_, treatment)| matches!(treatment, Treatment::Trained { .. })) {
            return Err(GroupError::AllFrozen);
        }
        Ok(partition)
    }

    /// Number of tensors that [`Decayed::Weights`] excepts from the optimizer's weight decay.
    #[must_use]
    pub fn spared(&self, layout: &Layout) -> usize {
        let trained = layout.iter().filter(|(tensor, _)| tensor.role == Role::Trained);
        trained.filter(|(tensor, _)| self.treatment(tensor) != self.treatment(tensor).sparing(tensor)).count()
    }

    /// Position of the group that a tensor belongs to.
    fn group_of(&self, tensor: &TensorSpec) -> Option<usize> {
        let group = self.0.iter().position(|group| matches(&group.pattern, &tensor.name));
        group.filter(|_| tensor.role == Role::Trained)
    }

    /// Treatment of a trained tensor.
    fn treatment(&self, tensor: &TensorSpec) -> Treatment {
        self.group_of(tensor).map_or(Treatment::DEFAULT, |at| self.0[at].treatment)
    }
}

impl Partition {
    /// A partition of `len` parameters that are all treated alike.
    #[must_use]
    pub fn whole(len: usize) -> Self {
        Self { ranges: vec![(0..len, Treatment::DEFAULT)] }
    }

    /// A partition of tensors that follow each other without gaps.
    pub(super) fn of_tensors(tensors: impl Iterator<Item = (Range<usize>, Treatment)>) -> Self {
        let mut ranges: Vec<(Range<usize>, Treatment)> = Vec::new();
        for (range, treatment) in tensors {
            match ranges.last_mut() {
                Some((last, same)) if *same == treatment => last.end = range.end,
                _ => ranges.push((range, treatment)),
            }
        }
        Self { ranges }
    }

    /// Number of parameters, frozen ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.last().map_or(0, |(range, _)| range.end)
    }

    /// Whether there are no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ranges with their treatment, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (Range<usize>, Treatment)> {
        self.ranges.iter().cloned()
    }

    /// Treatment of the parameter at that place.
    pub(super) fn at(&self, at: usize) -> Option<Treatment> {
        self.ranges().find(|(range, _)| range.contains(&at)).map(|(_, treatment)| treatment)
    }

    /// Ranges of that treatment.
    pub(super) fn of(&self, of: Treatment) -> impl Iterator<Item = Range<usize>> {
        self.ranges().filter(move |(_, treatment)| *treatment == of).map(|(range, _)| range)
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NONE);
        }
        for (at, Group { pattern, treatment }) in self.0.iter().enumerate() {
            write!(f, "{}{pattern}(", if at == 0 { "" } else { " " })?;
            match treatment {
                Treatment::Frozen => f.write_str("frozen")?,
                // No group's text parses to it.
                Treatment::Running => {}
                Treatment::Trained { lr_factor, weight_decay, .. } => {
                    write!(f, "lr_factor={lr_factor}")?;
                    weight_decay.iter().try_for_each(|decay| write!(f, ",weight_decay={decay}"))?;
                }
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl FromStr for Groups {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        if text == NONE {
            return Ok(Self::default());
        }
        let words = words(text);
        if words.len() > GROUPS_MAX {
            return Err(GroupError::Count(words.len()));
        }
        Ok(Self(words.into_iter().map(str::parse).collect::<Result<_, _>>()?))
    }
}

impl FromStr for Group {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        let call = Call::parse(text)?;
        let pattern = call.name.to_owned();
        if let [only] = &call.arguments[..]
            && (only.key, only.value) == (None, "frozen")
        {
            return Ok(Self { pattern, treatment: Treatment::Frozen });
        }
        let mut lr_factor: f64 = 1.0;
        let mut weight_decay: Option<f64> = None;
        for argument in &call.arguments {
            match argument.key {
                Some("lr_factor") => lr_factor = call.key("lr_factor")?,
                Some("weight_decay") => weight_decay = Some(call.key("weight_decay")?),
                _ => return Err(call.settings("frozen, or lr_factor=F, weight_decay=D or both").into()),
            }
        }
        for (name, got) in [("lr_factor", lr_factor), ("weight_decay", weight_decay.unwrap_or(0.0))] {
            if !(got >= 0.0 && got.is_finite()) {
                return Err(GroupError::Range { pattern, name, got });
            }
        }
        if call.arguments.is_empty() {
            return Err(call.settings("frozen, or lr_factor=F, weight_decay=D or both").into());
        }
        Ok(Self { pattern, treatment: Treatment::Trained { lr_factor, weight_decay, masked: false } })
    }
}

#[cfg(test)]
mod tests;
