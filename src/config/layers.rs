//! The layers: each source turned into entries of one form, lowest layer first.

use std::{ffi::OsStr, fs, path::Path};

use toml::de::{DeArray, DeTable, DeValue};

use super::{DEFAULTS, FILE_VARIABLE, Flag, Problem, Sources, URL_VARIABLE, agents, suggest::nearest, value::Value};

const PREFIX: &str = "A2A_GATEWAY_";

/// Where settings come from, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    Defaults,
    File,
    Environment,
    Flags,
}

/// One setting as one layer gives it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) layer: Layer,
    /// Where it was written.
    pub(super) origin: String,
    /// `section.key`, or `agents[0].key`, `agents[0].headers.name`; of the file, whatever was written.
    pub(super) key: String,
    pub(super) value: Value,
}

/// All layers.
#[derive(Default)]
pub(super) struct Layers {
    /// Lowest layer first.
    pub(super) entries: Vec<Entry>,
    /// What could not be made an entry.
    pub(super) problems: Vec<Problem>,
}

/// Reads all sources. Unknown keys of files and flags stay in; unknown variables are problems at once.
pub(super) fn gather(sources: &Sources) -> Layers {
    let mut layers = Layers::default();
    layers.toml(Layer::Defaults, "config.default.toml", DEFAULTS);
    let mut known: Vec<String> = layers.entries.iter().map(|entry| entry.key.clone()).collect();
    known.push(agents::KEY.to_owned());
    if let Some(path) = &sources.file {
        layers.file(path);
    }
    let mut environment: Vec<_> = sources.environment.iter().collect();
    environment.sort();
    for (name, value) in environment {
        layers.variable(name, value, &known);
    }
    for flag in &sources.flags {
        layers.flag(flag);
    }
    layers
}

/// The environment variable of a setting: `server.listen` is `A2A_GATEWAY_SERVER_LISTEN`.
pub(super) fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

impl Layers {
    fn problem(&mut self, origin: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem { origin: origin.into(), text: text.into() });
    }

    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => self.toml(Layer::File, &name, &text),
            Err(cause) => self.problem(name, format!("the settings file cannot be read: {cause}")),
        }
    }

    fn toml(&mut self, layer: Layer, name: &str, text: &str) {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            self.problem(format!("{name}:{line}"), format!("not TOML: {}", error.message()));
        }
        Document { layer, name, text, entries: &mut self.entries }.table("", table.get_ref());
    }

    fn flag(&mut self, flag: &Flag) {
        if flag.key.starts_with("agents[") {
            let text = "agents are set by --agent, by A2A_GATEWAY_AGENTS or in the settings file";
            return self.problem(flag.name.as_str(), text);
        }
        let value = Value::Text(flag.value.clone());
        self.entries.push(Entry { layer: Layer::Flags, origin: flag.name.clone(), key: flag.key.clone(), value });
    }

    fn variable(&mut self, name: &OsStr, value: &OsStr, known: &[String]) {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) || name == URL_VARIABLE || name == FILE_VARIABLE {
            return;
        }
        let Some(value) = value.to_str() else {
            return self.problem(name, "its value is not UTF-8");
        };
        if let Some(key) = known.iter().find(|key| variable_name(key) == name) {
            let values = if key == agents::KEY { agents::split_list(value) } else { vec![value] };
            self.entries.extend(values.into_iter().map(|value| Entry {
                layer: Layer::Environment,
                origin: name.to_string(),
                key: key.clone(),
                value: Value::Text(value.to_owned()),
            }));
            return;
        }
        if is_service_link(&name, value) {
            return;
        }
        let names: Vec<String> = known.iter().map(|key| variable_name(key)).collect();
        let hint = nearest(&name, names.iter().map(String::as_str));
        self.problem(name, unknown("no setting has this name", hint));
    }
}

/// A TOML text that is taken apart.
struct Document<'a> {
    layer: Layer,
    name: &'a str,
    text: &'a str,
    entries: &'a mut Vec<Entry>,
}

impl Document<'_> {
    /// `prefix`: empty, or the table's key with a dot.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        let mut members: Vec<_> = table.iter().collect();
        members.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in members {
            let path = format!("{prefix}{}", quoted(key.get_ref()));
            match value.get_ref() {
                DeValue::Table(inner) => self.table(&format!("{path}."), inner),
                DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
                    self.tables(&path, items)
                }
                other => self.push(path, key.span().start, plain(other)),
            }
        }
    }

    /// An array of tables, each of which is an entry before its members.
    fn tables(&mut self, path: &str, items: &DeArray<'_>) {
        for (n, item) in items.iter().enumerate() {
            let path = format!("{path}[{n}]");
            match item.get_ref() {
                DeValue::Table(inner) => {
                    self.push(path.clone(), item.span().start, Value::Table);
                    self.table(&format!("{path}."), inner);
                }
                other => self.push(path, item.span().start, plain(other)),
            }
        }
    }

    fn push(&mut self, key: String, offset: usize, value: Value) {
        let origin = format!("{}:{}: {key}", self.name, line_of(self.text, offset));
        self.entries.push(Entry { layer: self.layer, origin, key, value });
    }
}

/// A value that has no keys within.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("integer beyond 64 bits"), Value::Integer),
        DeValue::Array(items) => Value::List(items.iter().map(|item| plain(item.get_ref())).collect()),
        other => Value::Other(other.type_str()),
    }
}

/// A key as TOML would write it: one that has other characters than letters, digits, `_` and `-` in quotes.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// What to say about a name that is not known.
pub(super) fn unknown(what: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{what}; did you mean {hint}?"),
        None => format!("{what}; config.default.toml lists all settings"),
    }
}

/// Kubernetes gives each container variables that describe the services of its namespace. Those of a service named
/// `a2a-gateway` (or `a2a-gateway-…`) look like settings, and must not keep the gateway from starting.
fn is_service_link(name: &str, value: &str) -> bool {
    let has = |mark: &str| name.ends_with(mark) || name.contains(&format!("{mark}_"));
    has("_SERVICE_HOST") || has("_SERVICE_PORT") || (has("_PORT") && (value.contains("://") || name.contains("_PORT_")))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
