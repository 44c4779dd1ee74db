//! What the functions of PyTorch would build: descriptions of tensors.

use super::{Machine, Tensor, Value};
use common::model::element::Element;
use std::rc::Rc;

/// Most dimensions of a tensor.
const DIMENSIONS_MAX: usize = 8;

impl Machine<'_> {
    /// What a persistent id stands for: `("storage", class, key, device, elements)`.
    pub(super) fn storage(&self, id: &Value) -> Value {
        match self.values(id) {
            [Value::Text(kind), Value::Class(class), Value::Text(key), ..] if &**kind == "storage" => {
                Value::Storage(Rc::clone(class), Rc::clone(key))
            }
            _ => Value::Other,
        }
    }

    /// What a class or function gives for these arguments.
    pub(super) fn built(&mut self, callee: &Value, arguments: &Value) -> Value {
        let Value::Class(name) = callee else { return Value::Other };
        match &**name {
            "collections OrderedDict" | "collections defaultdict" => self.dict(),
            "torch._utils _rebuild_tensor_v2" => {
                self.tensor(arguments).map_or(Value::Other, |tensor| Value::Tensor(Rc::new(tensor)))
            }
            "torch._utils _rebuild_parameter" => {
                self.values(arguments).first().cloned().unwrap_or(Value::Other)
            }
            "torch._tensor _rebuild_from_type_v2" => match self.values(arguments) {
                // The function may be this one again, but not without end: only one step is taken.
                [Value::Class(function), _, arguments, ..]
                    if **function == *"torch._utils _rebuild_tensor_v2" =>
                {
                    self.tensor(arguments).map_or(Value::Other, |tensor| Value::Tensor(Rc::new(tensor)))
                }
                _ => Value::Other,
            },
            _ => Value::Other,
        }
    }

    /// The tensor of `(storage, offset, shape, strides, ...)`.
    fn tensor(&self, arguments: &Value) -> Option<Tensor> {
        let [Value::Storage(class, key), Value::Int(offset), shape, strides, ..] = self.values(arguments)
        else {
            return None;
        };
        let sizes = |tuple: &Value| -> Option<Vec<usize>> {
            let size =
                |value: &Value| if let Value::Int(size) = value { usize::try_from(*size).ok() } else { None };
            if !matches!(tuple, Value::Tuple(_)) || self.values(tuple).len() > DIMENSIONS_MAX {
                return None;
            }
            self.values(tuple).iter().map(size).collect()
        };
        let element = match &**class {
            "torch FloatStorage" => Ok(Element::F32),
            "torch HalfStorage" => Ok(Element::F16),
            "torch BFloat16Storage" => Ok(Element::Bf16),
            "torch DoubleStorage" => Ok(Element::F64),
            other => Err(common::text::shortened(other)),
        };
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        Some(Tensor { key: key.to_string(), element, shape, strides, offset: usize::try_from(*offset).ok()? })
    }
}
