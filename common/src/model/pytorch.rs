//! A network as PyTorch code: a module whose `state_dict` has the names and shapes of a checkpoint's tensors,
//! so that it loads one strictly and gives the same logits up to rounding.

use super::activation::Activation;
use super::architecture::Architecture;
use super::infer::Shape;
use super::layer::{Convolution, Layer, Window};
use std::fmt::Write as _;

impl Architecture {
    /// The code of a module `Network`. Its input is `[n, channels, height, width]` in f32.
    #[must_use]
    pub fn to_pytorch(&self) -> String {
        let mut modules = String::new();
        let mut steps = String::new();
        // Numbers of the residuals that are open, and whether their shortcut has begun.
        let mut open: Vec<(usize, bool)> = Vec::new();
        let mut residuals = 0;
        for (at, (layer, shapes)) in self.layers().as_slice().iter().zip(self.shapes().windows(2)).enumerate()
        {
            let step = match layer {
                Layer::Residual => {
                    residuals += 1;
                    open.push((residuals, false));
                    format!("residual{residuals} = x")
                }
                Layer::Shortcut => {
                    let Some((number, has_shortcut)) = open.last_mut() else { continue };
                    *has_shortcut = true;
                    format!("body{number}, x = x, residual{number}")
                }
                Layer::Add => match open.pop() {
                    Some((number, true)) => format!("x = body{number} + x"),
                    Some((number, false)) => format!("x = x + residual{number}"),
                    None => continue,
                },
                _ => {
                    let name = self.module_name(at);
                    if let (Some(name), Some(module)) = (&name, module(*layer, shapes[0], shapes[1])) {
                        // Writing to a string can't fail.
                        let _ = writeln!(modules, "        self.{name} = {module}");
                    }
                    format!("x = {}", call(*layer, name.as_deref().unwrap_or_default(), shapes[0]))
                }
            };
            let _ = writeln!(steps, "        {step}");
        }
        let Shape::Image { height, width, channels } = self.shapes()[0] else {
            unreachable!("samples are images")
        };
        format!(
            "import torch.nn.functional as F\nfrom torch import nn\n\n\nclass Network(nn.Module):\n    \
             \"\"\"From [n, {channels}, {height}, {width}] to [n, {}], before softmax.\"\"\"\n\n    \
             def __init__(self):\n        super().__init__()\n{modules}\n    def forward(self, x):\n{steps}        \
             return x\n",
            self.input().classes()
        )
    }

    /// Name of the module with the tensors of layer `at`.
    fn module_name(&self, at: usize) -> Option<String> {
        let place = *self.places(at).first()?;
        let (tensor, _) = self.layout().iter().nth(place)?;
        Some(tensor.name.split('.').next().unwrap_or_default().to_owned())
    }
}

/// The constructor of a layer's module; `None` for one without tensors.
fn module(layer: Layer, input: Shape, output: Shape) -> Option<String> {
    let channels = input.channels();
    Some(match layer {
        Layer::Conv(Convolution { outputs, kernel, stride, padding, groups, bias }) => {
            let mut text = format!("nn.Conv2d({channels}, {outputs}, {kernel}");
            for (name, value, default) in
                [("stride", stride, 1), ("padding", padding, 0), ("groups", groups, 1)]
            {
                if value != default {
                    let _ = write!(text, ", {name}={value}");
                }
            }
            text + if bias { ")" } else { ", bias=False)" }
        }
        Layer::Dense { .. } => format!("nn.Linear({channels}, {})", output.len()),
        Layer::BatchNorm => {
            let dimensions = if matches!(input, Shape::Image { .. }) { "2d" } else { "1d" };
            format!("nn.BatchNorm{dimensions}({channels})")
        }
        Layer::GroupNorm { groups } => format!("nn.GroupNorm({groups}, {channels})"),
        Layer::LayerNorm => format!("nn.LayerNorm({channels})"),
        _ => return None,
    })
}

/// The expression of a layer's output for `x`.
fn call(layer: Layer, name: &str, input: Shape) -> String {
    let pool = |function, Window { window, stride }| format!("F.{function}(x, {window}, {stride})");
    match layer {
        Layer::MaxPool(window) => pool("max_pool2d", window),
        Layer::AvgPool(window) => pool("avg_pool2d", window),
        Layer::GlobalAvgPool => "x.mean(dim=(2, 3))".to_owned(),
        Layer::Flatten => "x.flatten(1)".to_owned(),
        Layer::Dropout { rate } => format!("F.dropout(x, {rate}, self.training)"),
        Layer::Activation(activation) => match activation {
            Activation::Relu => "F.relu(x)".to_owned(),
            Activation::LeakyRelu { slope } => format!("F.leaky_relu(x, {slope})"),
            Activation::Gelu => "F.gelu(x)".to_owned(),
            Activation::Silu => "F.silu(x)".to_owned(),
            Activation::Tanh => "x.tanh()".to_owned(),
            Activation::Sigmoid => "x.sigmoid()".to_owned(),
        },
        // Over the channels of each pixel.
        Layer::LayerNorm if matches!(input, Shape::Image { .. }) => {
            format!("self.{name}(x.movedim(1, -1)).movedim(-1, 1)")
        }
        _ => format!("self.{name}(x)"),
    }
}

#[cfg(test)]
mod tests {
    use crate::data::digits::SPEC;
    use crate::model::architecture::Architecture;

    #[test]
    fn a_network_is_written_as_a_module() {
        let text = "conv(4,3,padding=1,bias=false) batchnorm relu residual conv(8,3,stride=2) layernorm \
                    shortcut avgpool(3,stride=2) conv(8,1) add residual leaky_relu add flatten dropout(0.5) dense";
        let network = Architecture::parse(SPEC, text).unwrap();
        let expected = r#"import torch.nn.functional as F
from torch import nn


class Network(nn.Module):
    """From [n, 1, 28, 28] to [n, 10], before softmax."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 8, 3, stride=2)
        self.norm1 = nn.LayerNorm(8)
        self.conv3 = nn.Conv2d(4, 8, 1)
        self.fc1 = nn.Linear(1352, 10)

    def forward(self, x):
        x = self.conv1(x)
        x = self.bn1(x)
        x = F.relu(x)
        residual1 = x
        x = self.conv2(x)
        x = self.norm1(x.movedim(1, -1)).movedim(-1, 1)
        body1, x = x, residual1
        x = F.avg_pool2d(x, 3, 2)
        x = self.conv3(x)
        x = body1 + x
        residual2 = x
        x = F.leaky_relu(x, 0.01)
        x = x + residual2
        x = x.flatten(1)
        x = F.dropout(x, 0.5, self.training)
        x = self.fc1(x)
        return x
"#;
        assert_eq!(network.to_pytorch(), expected);
    }
}
