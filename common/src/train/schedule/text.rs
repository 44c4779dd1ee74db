//! A shape as text, as a checkpoint keeps it.

use super::{OneCycle, Plateau, Shape};
use crate::text::{Call, TextError, shortened};
use std::fmt;
use std::str::FromStr;

impl Shape {
    /// Name of the shape, as `--schedule` takes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Cosine => "cosine",
            Self::CosineRestarts { .. } => "cosine-restarts",
            Self::Step { .. } => "step",
            Self::OneCycle(_) => "one-cycle",
            Self::Plateau(_) => "plateau",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Constant | Self::Cosine => Ok(()),
            Self::CosineRestarts { epochs, factor } => write!(f, "(epochs={epochs},factor={factor})"),
            Self::Step { every_epochs, factor } => write!(f, "(every_epochs={every_epochs},factor={factor})"),
            Self::OneCycle(OneCycle { rise, div, final_div, momentum }) => {
                write!(f, "(rise={rise},div={div},final_div={final_div},momentum={momentum})")
            }
            Self::Plateau(Plateau { factor, patience, threshold, min_lr }) => {
                write!(f, "(factor={factor},patience={patience},threshold={threshold},min_lr={min_lr})")
            }
        }
    }
}

impl FromStr for Shape {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let call = Call::parse(text)?;
        match call.name {
            "constant" => call.expect_keys(&[]).map(|()| Self::Constant),
            "cosine" => call.expect_keys(&[]).map(|()| Self::Cosine),
            "cosine-restarts" => {
                call.expect_keys(&["epochs", "factor"])?;
                Ok(Self::CosineRestarts { epochs: call.key("epochs")?, factor: call.key("factor")? })
            }
            "step" => {
                call.expect_keys(&["every_epochs", "factor"])?;
                Ok(Self::Step { every_epochs: call.key("every_epochs")?, factor: call.key("factor")? })
            }
            "one-cycle" => {
                call.expect_keys(&["rise", "div", "final_div", "momentum"])?;
                let [rise, div, final_div] = [call.key("rise")?, call.key("div")?, call.key("final_div")?];
                Ok(Self::OneCycle(OneCycle { rise, div, final_div, momentum: call.key("momentum")? }))
            }
            "plateau" => {
                call.expect_keys(&["factor", "patience", "threshold", "min_lr"])?;
                Ok(Self::Plateau(Plateau {
                    factor: call.key("factor")?,
                    patience: call.key("patience")?,
                    threshold: call.key("threshold")?,
                    min_lr: call.key("min_lr")?,
                }))
            }
            name => Err(TextError::Unknown {
                got: shortened(name),
                known: "constant, cosine, cosine-restarts, step, one-cycle and plateau".to_owned(),
            }),
        }
    }
}
