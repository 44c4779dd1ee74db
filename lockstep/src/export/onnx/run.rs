//! Computes a graph of those that are written here, slowly: each operator as ONNX's documentation defines it,
//! sums in f64. It shares nothing with the engine, so that an export can be compared with the model.

use super::nodes::{INT8, UINT8};
use super::proto::{ModelProto, NodeProto, TensorProto};
use super::{FLOAT, INPUT, OUTPUT};
use common::data::samples::Samples;
use std::collections::HashMap;

/// A tensor's sizes and values, in row-major order.
#[derive(Clone, Debug, PartialEq)]
struct Value {
    sizes: Vec<usize>,
    values: Vec<f32>,
}

/// Logits of samples, `[n, classes]`, or what is wrong with the graph.
pub(super) fn logits(model: &ModelProto, samples: &Samples) -> Result<Vec<f32>, String> {
    let graph = model.graph.as_ref().ok_or("there is no graph")?;
    let mut values: HashMap<&str, Value> = HashMap::from([(INPUT, images(samples))]);
    for tensor in &graph.initializer {
        values.insert(&tensor.name, constant(tensor)?);
    }
    for node in &graph.node {
        let inputs = node.input.iter().map(|name| values.get(name.as_str()));
        let inputs: Vec<&Value> = inputs.collect::<Option<_>>().ok_or("a node's input is not computed")?;
        let output = compute(node, &inputs)?;
        values.insert(node.output.first().ok_or("a node has no output")?, output);
    }
    values.remove(OUTPUT).map(|value| value.values).ok_or_else(|| "there is no output".to_owned())
}

/// Images as `[n, channels, height, width]` in 0 to 1.
fn images(samples: &Samples) -> Value {
    let spec = samples.spec();
    let [height, width, channels] = [spec.height(), spec.width(), spec.channels()];
    let mut values = Vec::with_capacity(samples.pixels().len());
    for index in 0..samples.len() {
        let image = samples.image(index);
        for channel in 0..channels {
            values.extend(image.iter().skip(channel).step_by(channels).map(|&byte| f32::from(byte) / 255.0));
        }
    }
    Value { sizes: vec![samples.len(), channels, height, width], values }
}

fn constant(tensor: &TensorProto) -> Result<Value, String> {
    let sizes: Vec<usize> = tensor.dims.iter().map(|&size| size as usize).collect();
    let values: Vec<f32> = if tensor.data_type == Some(FLOAT) {
        tensor.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    } else if tensor.data_type == Some(UINT8) {
        tensor.raw_data.iter().map(|&byte| f32::from(byte)).collect()
    } else if tensor.data_type == Some(INT8) {
        tensor.raw_data.iter().map(|&byte| f32::from(byte as i8)).collect()
    } else {
        // Shapes, whose numbers are small.
        tensor.raw_data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f32).collect()
    };
    let is_whole = values.len() == sizes.iter().product::<usize>();
    if is_whole { Ok(Value { sizes, values }) } else { Err(format!("{} has other sizes", tensor.name)) }
}

fn compute(node: &NodeProto, inputs: &[&Value]) -> Result<Value, String> {
    let x = inputs.first().ok_or("a node without an input")?;
    let second = || inputs.get(1).copied().ok_or_else(|| format!("{} lacks an input", node.op_type));
    Ok(match node.op_type.as_str() {
        "Add" => broadcast(x, second()?, |a, b| a + b),
        "Sub" => broadcast(x, second()?, |a, b| a - b),
        "Mul" => broadcast(x, second()?, |a, b| a * b),
        "Div" => broadcast(x, second()?, |a, b| a / b),
        "Relu" => map(x, |value| value.max(0.0)),
        "LeakyRelu" => {
            let slope = attribute_float(node, "alpha");
            map(x, |value| if value < 0.0 { slope * value } else { value })
        }
        "Tanh" => map(x, libm::tanhf),
        "Sigmoid" => map(x, |value| (1.0 / (1.0 + libm::exp(-f64::from(value)))) as f32),
        "Erf" => map(x, libm::erff),
        "Sqrt" => map(x, f32::sqrt),
        "Conv" => convolution(node, inputs)?,
        "MaxPool" => pool(node, x, |window| window.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        "AveragePool" => pool(node, x, mean),
        "GlobalAveragePool" => {
            let [n, channels, height, width] = four(x)?;
            let values = x.values.chunks(height * width);
            let values =
                values.map(|image| mean(&image.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()) as f32);
            Value { sizes: vec![n, channels, 1, 1], values: values.collect() }
        }
        "Flatten" => {
            let n = x.sizes[0];
            Value { sizes: vec![n, x.values.len() / n.max(1)], values: x.values.clone() }
        }
        "Reshape" => reshape(x, second()?),
        "Gemm" => dense(inputs)?,
        "BatchNormalization" => batch_norm(node, inputs)?,
        "InstanceNormalization" => instance_norm(node, x),
        "ReduceMean" => mean_of_channels(x),
        "QuantizeLinear" => quantized(inputs)?,
        "DequantizeLinear" => dequantized(inputs)?,
        other => return Err(format!("the operator {other} is not known")),
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn map(x: &Value, function: impl Fn(f32) -> f32) -> Value {
    Value { sizes: x.sizes.clone(), values: x.values.iter().map(|&value| function(value)).collect() }
}

/// A function of two values, the second of which is repeated along dimensions of size 1 and before its own.
fn broadcast(x: &Value, y: &Value, function: impl Fn(f32, f32) -> f32) -> Value {
    let missing = x.sizes.len() - y.sizes.len().min(x.sizes.len());
    let at = |mut index: usize| {
        let (mut place, mut stride) = (0, 1);
        for (axis, &size) in x.sizes.iter().enumerate().rev() {
            let own = if axis < missing { 1 } else { y.sizes[axis - missing] };
            if own > 1 {
                place += index % size * stride;
            }
            stride *= own;
            index /= size;
        }
        place
    };
    let values = x.values.iter().enumerate().map(|(index, &value)| function(value, y.values[at(index)]));
    Value { sizes: x.sizes.clone(), values: values.collect() }
}

fn four(x: &Value) -> Result<[usize; 4], String> {
    x.sizes.as_slice().try_into().map_err(|_| "an image has four dimensions".to_owned())
}

fn attribute_float(node: &NodeProto, name: &str) -> f32 {
    node.attribute.iter().find(|attribute| attribute.name == name).and_then(|of| of.f).unwrap_or(0.0)
}

/// The first number of a list, or the only one.
fn attribute_size(node: &NodeProto, name: &str) -> usize {
    let found = node.attribute.iter().find(|attribute| attribute.name == name);
    found.and_then(|of| of.ints.first().copied().or(of.i)).unwrap_or(0) as usize
}

fn convolution(node: &NodeProto, inputs: &[&Value]) -> Result<Value, String> {
    let [n, _, height, width] = four(inputs[0])?;
    let &[x, weight, ..] = inputs else { return Err("a convolution without weights".to_owned()) };
    let [outputs, channels, kernel, _] = four(weight)?;
    let [stride, padding, groups] = ["strides", "pads", "group"].map(|name| attribute_size(node, name));
    let [rows, columns] = [height, width].map(|size| (size + 2 * padding - kernel) / stride + 1);
    let mut values = Vec::with_capacity(n * outputs * rows * columns);
    for sample in 0..n {
        for output in 0..outputs {
            let first = output / (outputs / groups) * channels;
            let bias = inputs.get(2).map_or(0.0, |bias| f64::from(bias.values[output]));
            for place in 0..rows * columns {
                let mut sum = bias;
                for tap in 0..channels * kernel * kernel {
                    let [channel, dy, dx] = [tap / (kernel * kernel), tap / kernel % kernel, tap % kernel];
                    let y = (place / columns * stride + dy).wrapping_sub(padding);
                    let at = (place % columns * stride + dx).wrapping_sub(padding);
                    if y < height && at < width {
                        let plane = (sample * channels * groups + first + channel) * height;
                        let pixel = x.values[(plane + y) * width + at];
                        let weight = weight.values[output * channels * kernel * kernel + tap];
                        sum += f64::from(pixel) * f64::from(weight);
                    }
                }
                values.push(sum as f32);
            }
        }
    }
    Ok(Value { sizes: vec![n, outputs, rows, columns], values })
}

/// A function of each window of each channel; pixels left over at the edge are dropped.
fn pool(node: &NodeProto, x: &Value, function: impl Fn(&[f64]) -> f64) -> Value {
    let [window, stride] = ["kernel_shape", "strides"].map(|name| attribute_size(node, name));
    let &[n, channels, height, width] = x.sizes.as_slice() else { return x.clone() };
    let [rows, columns] = [height, width].map(|size| (size - window) / stride + 1);
    let mut values = Vec::with_capacity(n * channels * rows * columns);
    for image in x.values.chunks(height * width) {
        for place in 0..rows * columns {
            let corner = place / columns * stride * width + place % columns * stride;
            let taps = (0..window * window).map(|tap| image[corner + tap / window * width + tap % window]);
            values.push(function(&taps.map(f64::from).collect::<Vec<_>>()) as f32);
        }
    }
    Value { sizes: vec![n, channels, rows, columns], values }
}

/// Sizes of which 0 stands for the one that there is, and -1 for what is left.
fn reshape(x: &Value, shape: &Value) -> Value {
    let mut sizes: Vec<usize> = Vec::new();
    for (axis, &size) in shape.values.iter().enumerate() {
        sizes.push(if size == 0.0 { x.sizes[axis] } else { size.max(1.0) as usize });
    }
    if let Some(free) = shape.values.iter().position(|&size| size < 0.0) {
        sizes[free] = x.values.len() / sizes.iter().product::<usize>().max(1);
    }
    Value { sizes, values: x.values.clone() }
}

fn dense(inputs: &[&Value]) -> Result<Value, String> {
    let &[x, weight, bias] = inputs else { return Err("a Gemm has three inputs here".to_owned()) };
    let &[outputs, width] = weight.sizes.as_slice() else { return Err("a Gemm without a matrix".to_owned()) };
    let product = |(row, &bias): (&[f32], &f32), x: &[f32]| {
        let terms = row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
        (terms.sum::<f64>() + f64::from(bias)) as f32
    };
    let rows = x.values.chunks(width);
    let values =
        rows.flat_map(|x| weight.values.chunks(width).zip(&bias.values).map(move |of| product(of, x)));
    Ok(Value { sizes: vec![x.sizes[0], outputs], values: values.collect() })
}

fn batch_norm(node: &NodeProto, inputs: &[&Value]) -> Result<Value, String> {
    let &[x, weight, bias, mean, variance] = inputs else { return Err("a norm has five inputs".to_owned()) };
    let epsilon = f64::from(attribute_float(node, "epsilon"));
    let channels = weight.values.len();
    let pixels = x.values.len() / (x.sizes[0] * channels).max(1);
    let value = |(index, &value): (usize, &f32)| {
        let of = |tensor: &Value| f64::from(tensor.values[index / pixels % channels]);
        ((f64::from(value) - of(mean)) / (of(variance) + epsilon).sqrt() * of(weight) + of(bias)) as f32
    };
    Ok(Value { sizes: x.sizes.clone(), values: x.values.iter().enumerate().map(value).collect() })
}

/// With a scale of 1 and no bias, as it is written here.
fn instance_norm(node: &NodeProto, x: &Value) -> Value {
    let epsilon = f64::from(attribute_float(node, "epsilon"));
    let length = x.sizes[2..].iter().product::<usize>();
    let normal = |group: &[f32]| {
        let values: Vec<f64> = group.iter().map(|&value| f64::from(value)).collect();
        let centre = mean(&values);
        let variance =
            mean(&values.iter().map(|value| (value - centre) * (value - centre)).collect::<Vec<_>>());
        let root = (variance + epsilon).sqrt();
        values.into_iter().map(|value| ((value - centre) / root) as f32).collect::<Vec<_>>()
    };
    Value { sizes: x.sizes.clone(), values: x.values.chunks(length).flat_map(normal).collect() }
}

/// The mean over dimension 1, which stays with size 1.
fn mean_of_channels(x: &Value) -> Value {
    let [n, channels] = [x.sizes[0], x.sizes[1]];
    let pixels = x.sizes[2..].iter().product::<usize>();
    let value = |place: usize| {
        let start = place / pixels * channels * pixels + place % pixels;
        let values = (0..channels).map(|channel| f64::from(x.values[start + channel * pixels]));
        (values.sum::<f64>() / channels as f64) as f32
    };
    let sizes = [&[n, 1], &x.sizes[2..]].concat();
    Value { sizes, values: (0..n * pixels).map(value).collect() }
}

/// Values as steps of 8 bits, rounded to the nearest, a half to the even one.
fn quantized(inputs: &[&Value]) -> Result<Value, String> {
    let &[x, scale, zero] = inputs else { return Err("a quantization has three inputs here".to_owned()) };
    let (Some(&scale), Some(&zero)) = (scale.values.first(), zero.values.first()) else {
        return Err("a quantization has a scale and a zero".to_owned());
    };
    Ok(map(x, |value| ((value / scale).round_ties_even() + zero).clamp(0.0, 255.0)))
}

/// Steps as values; one scale, or one for each place of dimension 0.
fn dequantized(inputs: &[&Value]) -> Result<Value, String> {
    let &[x, scale, zero] = inputs else { return Err("a dequantization has three inputs here".to_owned()) };
    let part = x.values.len().div_ceil(scale.values.len().max(1)).max(1);
    let parts = x.values.chunks(part).zip(scale.values.iter().zip(&zero.values));
    let values = parts.flat_map(|(part, (scale, zero))| part.iter().map(move |step| (step - zero) * scale));
    Ok(Value { sizes: x.sizes.clone(), values: values.collect() })
}
