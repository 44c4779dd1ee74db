//! Python's pickle, as far as `torch.save` writes a dictionary of tensors with it.
//!
//! 1. Nothing is ever called: a class is a name, and what it would build is either a tensor's description, a
//!    dictionary, or of no interest.
//! 2. Each instruction makes at most one small value. Values refer to each other by number, so that neither
//!    copies nor depth grow: time and memory are bounded by the length of the pickle.
//!
//! The instructions are those of CPython's `Lib/pickletools.py`, what they build that of PyTorch's
//! `torch/_utils.py`.

mod build;

use common::model::element::Element;
use std::collections::HashMap;
use std::rc::Rc;

/// Keys under which training programs keep a model's `state_dict` besides other things.
const KEYS: [&str; 3] = ["state_dict", "model", "model_state_dict"];

/// Why a pickle is no dictionary of tensors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum PickleError {
    /// It ends too early, or its instructions contradict each other.
    #[error("its pickle is damaged after {0} bytes; get the file again")]
    Damaged(usize),
    /// It has an instruction that such files do not have.
    #[error(
        "its pickle has the instruction {code:#04x} at {at}; write it with torch.save(model.state_dict(), FILE)"
    )]
    Code { at: usize, code: u8 },
    /// It is whole, and there is no tensor where they are looked for.
    #[error(
        "no tensors found: it is no dictionary of them, and has none under state_dict, model or model_state_dict; save \
         model.state_dict()"
    )]
    NoTensors,
}

/// A tensor of the dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub(super) struct Tensor {
    /// Name of its numbers' file within the folder `data`.
    pub(super) key: String,
    pub(super) element: Result<Element, String>,
    pub(super) shape: Vec<usize>,
    /// Elements from one index to the next, for each dimension.
    pub(super) strides: Vec<usize>,
    /// Element of the storage at which it begins.
    pub(super) offset: usize,
}

/// The entries of the dictionary: tensors by name, and names of what is no tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub(super) struct Entries {
    pub(super) tensors: Vec<(String, Tensor)>,
    pub(super) others: Vec<String>,
}

#[derive(Clone, Debug)]
enum Value {
    Int(i64),
    Text(Rc<str>),
    /// A class or function, as `module name`.
    Class(Rc<str>),
    /// A place in [`Machine::tuples`].
    Tuple(usize),
    /// A place in [`Machine::dicts`].
    Dict(usize),
    /// A class of storage, and the key of its numbers.
    Storage(Rc<str>, Rc<str>),
    Tensor(Rc<Tensor>),
    /// A value that no tensor is made of.
    Other,
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Lengths of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    tuples: Vec<Vec<Value>>,
    dicts: Vec<Vec<(Rc<str>, Value)>>,
}

/// The dictionary of tensors in a pickle.
pub(super) fn entries(bytes: &[u8]) -> Result<Entries, PickleError> {
    let mut machine = Machine { bytes, ..Machine::default() };
    while machine.step()? {}
    let Some(Value::Dict(top)) = machine.stack.pop() else { return Err(PickleError::NoTensors) };
    let of_key = |key: &&str| {
        let value = machine.dicts[top].iter().rev().find(|(name, _)| **name == **key);
        value.and_then(|(_, value)| if let Value::Dict(dict) = value { Some(*dict) } else { None })
    };
    let places = std::iter::once(top).chain(KEYS.iter().filter_map(of_key));
    let mut found = places.map(|place| machine.entries(place));
    found.find(|entries| !entries.tensors.is_empty()).ok_or(PickleError::NoTensors)
}

impl<'a> Machine<'a> {
    fn damaged(&self) -> PickleError {
        PickleError::Damaged(self.at)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let taken = taken.ok_or_else(|| self.damaged())?;
        self.at += taken.len();
        Ok(taken)
    }

    /// A little-endian number without a sign.
    fn number(&mut self, bytes: u64) -> Result<u64, PickleError> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn text(&mut self, length_bytes: u64) -> Result<Value, PickleError> {
        let length = self.number(length_bytes)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| self.damaged())?;
        Ok(Value::Text(text.into()))
    }

    fn line(&mut self) -> Result<&'a str, PickleError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| self.damaged())?;
        let line = self.take(length as u64 + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|_| self.damaged())
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        let value = if self.stack.len() > bottom { self.stack.pop() } else { None };
        value.ok_or_else(|| self.damaged())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.damaged())?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, values: Vec<Value>) -> Value {
        self.tuples.push(values);
        Value::Tuple(self.tuples.len() - 1)
    }

    fn dict(&mut self) -> Value {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }

    /// Sets items of the dictionary on top of the stack; what is none takes them without effect.
    fn set(&mut self, items: &[Value]) -> Result<(), PickleError> {
        if !items.len().is_multiple_of(2) {
            return Err(self.damaged());
        }
        let Some(top) = self.stack.last() else { return Err(self.damaged()) };
        if let Value::Dict(place) = *top {
            for pair in items.chunks_exact(2) {
                if let Value::Text(name) = &pair[0] {
                    self.dicts[place].push((Rc::clone(name), pair[1].clone()));
                }
            }
        }
        Ok(())
    }

    /// Does one instruction. Returns whether there is a next one.
    fn step(&mut self) -> Result<bool, PickleError> {
        let at = self.at;
        let code = self.number(1)? as u8;
        let value = match code {
            b'.' => return Ok(false),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(true);
            }
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            0x8a => self.long()?,
            b'X' => self.text(4)?,
            0x8c => self.text(1)?,
            0x8d => self.text(8)?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                Value::Class(format!("{module} {name}").into())
            }
            b')' => self.tuple(Vec::new()),
            b'}' => self.dict(),
            b']' | 0x8f | b'N' | 0x88 | 0x89 => Value::Other,
            b'h' => self.recalled(1)?,
            b'j' => self.recalled(4)?,
            _ => return self.step_on_stack(at, code),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// Does an instruction that gathers values of the stack.
    fn step_on_stack(&mut self, at: usize, code: u8) -> Result<bool, PickleError> {
        match code {
            b't' => {
                let values = self.pop_to_mark()?;
                let tuple = self.tuple(values);
                self.stack.push(tuple);
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                values.reverse();
                let tuple = self.tuple(values);
                self.stack.push(tuple);
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                let dict = self.dict();
                self.stack.push(dict);
                self.set(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let name = self.pop()?;
                self.set(&[name, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            b'l' | 0x91 => {
                self.pop_to_mark()?;
                self.stack.push(Value::Other);
            }
            b'e' | 0x90 | b'1' => drop(self.pop_to_mark()?),
            b'a' | b'b' | b'0' => drop(self.pop()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            _ => return self.step_that_builds(at, code),
        }
        Ok(true)
    }

    /// Does an instruction that skips bytes, remembers a value, or builds one.
    fn step_that_builds(&mut self, at: usize, code: u8) -> Result<bool, PickleError> {
        let value = match code {
            0x80 | 0x95 => {
                self.take(if code == 0x80 { 1 } else { 8 })?;
                return Ok(true);
            }
            b'q' | b'r' | 0x94 => {
                let place = match code {
                    b'q' => self.number(1)?,
                    b'r' => self.number(4)?,
                    _ => self.memo.len() as u64,
                };
                let top = self.top()?;
                self.memo.insert(place as u32, top);
                return Ok(true);
            }
            b'G' => {
                self.take(8)?;
                Value::Other
            }
            b'B' | b'C' | 0x8e => {
                let length = self.number(match code {
                    b'B' => 4,
                    b'C' => 1,
                    _ => 8,
                })?;
                self.take(length)?;
                Value::Other
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => Value::Class(format!("{module} {name}").into()),
                _ => return Err(self.damaged()),
            },
            b'Q' => {
                let id = self.pop()?;
                self.storage(&id)
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.built(&callee, &arguments)
            }
            0x92 => {
                for _ in 0..3 {
                    self.pop()?;
                }
                Value::Other
            }
            code => return Err(PickleError::Code { at, code }),
        };
        self.stack.push(value);
        Ok(true)
    }

    /// A copy of the value on top of the stack.
    fn top(&self) -> Result<Value, PickleError> {
        self.stack.last().cloned().ok_or_else(|| self.damaged())
    }

    /// A whole number of any length, of which only those of 8 bytes are of interest.
    fn long(&mut self) -> Result<Value, PickleError> {
        let length = self.number(1)?;
        let bytes = self.take(length)?;
        let is_negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut all = [if is_negative { 0xff } else { 0 }; 8];
        Ok(match all.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(all))
            }
            None => Value::Other,
        })
    }

    fn recalled(&mut self, bytes: u64) -> Result<Value, PickleError> {
        let place = self.number(bytes)? as u32;
        self.memo.get(&place).cloned().ok_or_else(|| self.damaged())
    }

    fn values(&self, tuple: &Value) -> &[Value] {
        if let Value::Tuple(place) = *tuple { &self.tuples[place] } else { &[] }
    }

    /// The entries of a dictionary; of those of one name the last.
    fn entries(&self, dict: usize) -> Entries {
        let mut last = HashMap::<&str, usize>::new();
        let dict = &self.dicts[dict];
        last.extend(dict.iter().enumerate().map(|(at, (name, _))| (&**name, at)));
        let mut entries = Entries::default();
        for (_, (name, value)) in dict.iter().enumerate().filter(|(at, (name, _))| last[&**name] == *at) {
            match value {
                Value::Tensor(tensor) => entries.tensors.push((name.to_string(), (**tensor).clone())),
                _ => entries.others.push(name.to_string()),
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests;
