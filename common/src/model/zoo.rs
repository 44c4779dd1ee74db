//! Networks by name. Each file here has one network's list of layers. To add one, write such a file and add
//! it to [`ALL`].

mod allconv;
mod cnn;
mod lenet5;
mod linear;
mod mlp;
mod resnet;
mod tiny;

/// A network that `--model` knows by name.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Named {
    pub name: &'static str,
    /// Description for `--help`, of one line.
    pub about: &'static str,
    /// Numbers that may stand in parentheses after the name, for an error message; empty if there are none.
    pub settings: &'static str,
    /// Layers as text, given the numbers in parentheses after the name; `None` if the network does not take
    /// them.
    pub layers: fn(&[usize]) -> Option<String>,
}

/// All named networks, in the order in which `--help` lists them.
pub const ALL: &[Named] =
    &[cnn::CNN, resnet::RESNET, allconv::ALLCONV, lenet5::LENET5, tiny::TINY, mlp::MLP, linear::LINEAR];

/// Layers of a network that takes no settings.
fn fixed(settings: &[usize], layers: &str) -> Option<String> {
    settings.is_empty().then(|| layers.to_owned())
}
