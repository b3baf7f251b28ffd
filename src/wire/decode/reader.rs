//! Reads JSON values and notes every one that is not as it should be.
//!
//! A fault yields a default and reading goes on, so that one pass names all faults; [`Reader::finish`] turns them
//! into the error. Names are given as a list: the proto name first, which is the one that faults are reported under,
//! then the spellings that are read as well. Null counts as absent.

use std::fmt;

use base64::{
    Engine as _,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result, Violation, shorten},
    proto::well_known::{Struct, Timestamp},
    task::Dialect,
};

/// A request with a thousand bad parts is told of the first of them: the answer must not outgrow the request.
const MOST_VIOLATIONS: usize = 20;

/// A field's names: the proto name, then others.
pub(super) type Names = &'static [&'static str];

/// Where in a request a value stands.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'static str),
    Index(&'a Path<'a>, usize),
}

/// Who wrote what is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    /// A client, who can correct what is wrong.
    Client,
    /// An agent, whose work would be lost over a trifle: what does no harm is let pass.
    Agent,
}

/// What has been found wrong so far.
pub(super) struct Reader {
    dialect: Dialect,
    author: Author,
    violations: Vec<Violation>,
}

/// A JSON object being read.
pub(super) struct Object<'a> {
    path: Path<'a>,
    members: Map<String, Value>,
}

/// Reads `params` as the object of a request; null is an empty one.
pub(super) fn read<T>(
    params: Value,
    dialect: Dialect,
    fields: impl FnOnce(&mut Object<'_>, &mut Reader) -> T,
) -> Result<T> {
    let params = if params.is_null() { Value::Object(Map::new()) } else { params };
    read_by(Author::Client, "params", params, dialect, fields)
}

/// Reads `result` as the object that an agent answers with.
pub(super) fn read_answer<T>(
    result: Value,
    dialect: Dialect,
    fields: impl FnOnce(&mut Object<'_>, &mut Reader) -> T,
) -> Result<T> {
    read_by(Author::Agent, "result", result, dialect, fields)
}

fn read_by<T>(
    author: Author,
    name: &str,
    value: Value,
    dialect: Dialect,
    fields: impl FnOnce(&mut Object<'_>, &mut Reader) -> T,
) -> Result<T> {
    let Value::Object(members) = value else {
        return Err(Error::invalid(name, format!("must be an object, not {}", kind(&value))));
    };
    let mut reader = Reader { dialect, author, violations: Vec::new() };
    let value = fields(&mut Object { path: Path::Root, members }, &mut reader);
    if reader.violations.is_empty() { Ok(value) } else { Err(Error::violations(reader.violations)) }
}

impl Reader {
    /// The request's dialect.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether an agent wrote it, not a client.
    pub(super) fn is_answer(&self) -> bool {
        self.author == Author::Agent
    }

    /// Notes a fault.
    pub(super) fn fault(&mut self, path: Path<'_>, description: impl Into<String>) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(Violation { field: path.to_string(), description: description.into() });
        }
    }

    /// Notes that a value is of the wrong type.
    pub(super) fn mistyped(&mut self, path: Path<'_>, right: &str, got: &Value) {
        self.fault(path, format!("must be {right}, not {}", kind(got)));
    }

    /// Notes that a required field is absent, unless something else was wrong with it.
    pub(super) fn require(&mut self, present: bool, path: Path<'_>, description: &str) {
        if !present {
            let field = path.to_string();
            // What was wrong may be the same field of an object nested here.
            let faulty = |other: &str| other.strip_suffix(&field).is_some_and(|at| at.is_empty() || at.ends_with('.'));
            if !self.violations.iter().any(|violation| faulty(&violation.field)) {
                self.fault(path, description);
            }
        }
    }

    /// The elements of an array.
    pub(super) fn array(&mut self, path: Path<'_>, value: Value) -> Vec<Value> {
        match value {
            Value::Array(items) => items,
            other => {
                self.mistyped(path, "an array", &other);
                Vec::new()
            }
        }
    }

    /// A string.
    pub(super) fn string(&mut self, path: Path<'_>, value: Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text),
            other => {
                self.mistyped(path, "a string", &other);
                None
            }
        }
    }

    /// Bytes in base64: standard or URL-safe, padded or not.
    pub(super) fn bytes(&mut self, path: Path<'_>, value: Value) -> Option<Vec<u8>> {
        let text = self.string(path, value)?;
        let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
        let bytes = lenient(alphabet).decode(&text);
        if bytes.is_err() {
            self.fault(path, "must be base64");
        }
        bytes.ok()
    }
}

impl<'a> Object<'a> {
    /// Reads a value as an object.
    pub(super) fn new(path: Path<'a>, value: Value, reader: &mut Reader) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self { path, members }),
            other => {
                reader.mistyped(path, "an object", &other);
                None
            }
        }
    }

    /// The path of a member.
    pub(super) fn path(&self, name: &'static str) -> Path<'_> {
        Path::Field(&self.path, name)
    }

    /// Whether there is one of these members, and it is not null.
    pub(super) fn has(&self, names: Names) -> bool {
        names.iter().any(|name| self.members.get(*name).is_some_and(|value| !value.is_null()))
    }

    /// The member, if it is text. It is not taken out.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    /// Whether there is such a member, be it null.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Takes the member out.
    pub(super) fn take(&mut self, names: Names) -> Option<Value> {
        names.iter().find_map(|name| self.members.remove(*name).filter(|value| !value.is_null()))
    }

    /// A string; absent: none.
    pub(super) fn optional_string(&mut self, names: Names, reader: &mut Reader) -> Option<String> {
        let value = self.take(names)?;
        reader.string(self.path(names[0]), value)
    }

    /// A string; absent: empty.
    pub(super) fn string(&mut self, names: Names, reader: &mut Reader) -> String {
        self.optional_string(names, reader).unwrap_or_default()
    }

    /// An array of strings; absent: empty.
    pub(super) fn strings(&mut self, names: Names, reader: &mut Reader) -> Vec<String> {
        let Some(value) = self.take(names) else { return Vec::new() };
        let path = self.path(names[0]);
        let items = reader.array(path, value);
        items.into_iter().enumerate().filter_map(|(i, item)| reader.string(Path::Index(&path, i), item)).collect()
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, names: Names, reader: &mut Reader) -> Option<bool> {
        let value = self.take(names)?;
        if !value.is_boolean() {
            reader.mistyped(self.path(names[0]), "true or false", &value);
        }
        value.as_bool()
    }

    /// A 32-bit integer, as a number or as text.
    pub(super) fn integer(&mut self, names: Names, reader: &mut Reader) -> Option<i32> {
        let value = self.take(names)?;
        let number = match &value {
            Value::Number(number) => whole(number),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            let got = match &value {
                Value::Number(number) => number.to_string(),
                Value::String(text) => format!("\"{}\"", shorten(text)),
                other => kind(other).to_owned(),
            };
            reader.fault(self.path(names[0]), format!("must be a whole number of 32 bits, not {got}"));
        }
        number
    }

    /// An enum: one of its words in any spelling, or its number. `words` lists the right ones for the message. In an
    /// agent's answer a word or number that is not known counts as absent: newer versions may have more of them.
    pub(super) fn word<E: TryFrom<i32>>(
        &mut self,
        names: Names,
        reader: &mut Reader,
        read: fn(&str) -> Option<E>,
        words: impl Fn(Dialect) -> String,
    ) -> Option<E> {
        let value = self.take(names)?;
        let (read, got) = match &value {
            Value::String(text) => (read(text), format!("\"{}\"", shorten(text))),
            Value::Number(number) => (whole(number).and_then(|n| E::try_from(n).ok()), number.to_string()),
            other => (None, kind(other).to_owned()),
        };
        let unknown = reader.is_answer() && (value.is_string() || value.is_number());
        if read.is_none() && !unknown {
            reader.fault(self.path(names[0]), format!("must be one of {}, not {got}", words(reader.dialect)));
        }
        read
    }

    /// Free data.
    pub(super) fn structure(&mut self, names: Names, reader: &mut Reader) -> Option<Struct> {
        match self.take(names)? {
            Value::Object(members) => Some(Struct::from(members)),
            other => {
                reader.mistyped(self.path(names[0]), "an object", &other);
                None
            }
        }
    }

    /// A time. In an agent's answer one that cannot be read counts as absent: nothing hangs on it.
    pub(super) fn time(&mut self, names: Names, reader: &mut Reader) -> Option<Timestamp> {
        let value = self.take(names)?;
        if reader.is_answer() {
            return value.as_str().and_then(Timestamp::parse);
        }
        let text = reader.string(self.path(names[0]), value)?;
        let time = Timestamp::parse(&text);
        if time.is_none() {
            let description =
                format!("must be a time such as 2026-01-02T03:04:05Z (RFC 3339), not \"{}\"", shorten(&text));
            reader.fault(self.path(names[0]), description);
        }
        time
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The number as a whole one of 32 bits: `5` and `5.0` are.
fn whole(number: &serde_json::Number) -> Option<i32> {
    let number = number.as_f64()?;
    let whole = number as i32;
    (f64::from(whole) == number).then_some(whole)
}

fn lenient(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
