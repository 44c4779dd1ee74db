//! Networks by name. Each is a file with a list of layers; a new one is such a file and a line in [`ALL`].

mod cnn;
mod lenet5;
mod linear;
mod mlp;

/// A network that `--model` knows by name.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// Its layers as text, given the numbers between parentheses after the name; `None` where it does not take them.
    pub layers: fn(&[usize]) -> Option<String>,
}

/// All of them, in the order in which `--help` lists them.
pub const ALL: &[Named] = &[cnn::CNN, lenet5::LENET5, mlp::MLP, linear::LINEAR];

/// For a network without settings.
fn fixed(settings: &[usize], layers: &str) -> Option<String> {
    settings.is_empty().then(|| layers.to_owned())
}
