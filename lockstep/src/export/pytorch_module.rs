//! The network as Python source: PyTorch's module, which takes the weights of `--format pytorch`, and what
//! has to be known to feed it and to read its answer.
//!
//! Numbers and names are written as JSON, which is Python too.

use super::ExportError;
use common::checkpoint::Model;
use common::data::normalize::Normalization;
use common::model::infer::Shape;
use serde_json::json;

/// How each such file begins.
pub(super) const START: &[u8] = b"\"\"\"A network that Lockstep has trained";

/// The source, and what was checked.
pub(super) fn encode(model: &Model) -> Result<(Vec<u8>, String), ExportError> {
    let architecture = &model.architecture;
    let Shape::Image { height, width, channels } = architecture.shapes()[0] else {
        unreachable!("samples are images")
    };
    let of_channels: Vec<(f64, f64)> = match &model.normalization {
        Normalization::Unit => vec![(0.0, 1.0); channels],
        Normalization::Standard(known) => {
            known.iter().map(|channel| (channel.mean(), channel.deviation())).collect()
        }
    };
    let (mean, deviation): (Vec<f64>, Vec<f64>) = of_channels.into_iter().unzip();
    let classes: Vec<&str> = (0..model.classes.len()).map(|class| model.classes.get(class)).collect();
    let source = format!(
        "\"\"\"A network that Lockstep has trained, as a module of PyTorch.\n\n\
         Network() takes the weights of lockstep export --format pytorch. Its input is\n\
         (pixels / 255 - MEAN) / DEVIATION, of each channel, in the shape [n, *INPUT].\n\"\"\"\n\n\
         {}\n\n\
         LAYERS = {}\nINPUT = {}\nMEAN = {}\nDEVIATION = {}\nCLASSES = {}\n",
        architecture.to_pytorch(),
        json!(architecture.layers().to_string()),
        json!([channels, height, width]),
        json!(mean),
        json!(deviation),
        json!(classes),
    );
    Ok((source.into_bytes(), "it is the module that coordinator --describe shows".to_owned()))
}
