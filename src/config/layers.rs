//! The layers: each source turned into entries of one form, lowest layer first.

use std::{ffi::OsStr, fs, path::Path};

use toml::de::{DeTable, DeValue};

use super::{DEFAULTS, FILE_VARIABLE, Problem, Sources, URL_VARIABLE, suggest::nearest, value::Value};

const PREFIX: &str = "A2A_GATEWAY_";

/// One setting as one layer gives it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it was written.
    pub(super) origin: String,
    /// `section.key`; of the file, whatever was written.
    pub(super) key: String,
    pub(super) value: Value,
}

/// All layers.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// Lowest layer first.
    pub(super) entries: Vec<Entry>,
    /// What could not be made an entry.
    pub(super) problems: Vec<Problem>,
}

/// Reads all sources. Unknown keys of files and flags stay in; unknown variables are problems at once.
pub(super) fn gather(sources: &Sources) -> Layers {
    let mut layers = Layers::default();
    layers.toml("config.default.toml", DEFAULTS);
    let known: Vec<String> = layers.entries.iter().map(|entry| entry.key.clone()).collect();
    if let Some(path) = &sources.file {
        layers.file(path);
    }
    let mut environment: Vec<_> = sources.environment.iter().collect();
    environment.sort();
    for (name, value) in environment {
        layers.variable(name, value, &known);
    }
    for flag in &sources.flags {
        let value = Value::Text(flag.value.clone());
        layers.entries.push(Entry { origin: flag.name.clone(), key: flag.key.clone(), value });
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
            Ok(text) => self.toml(&name, &text),
            Err(cause) => self.problem(name, format!("the settings file cannot be read: {cause}")),
        }
    }

    fn toml(&mut self, name: &str, text: &str) {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            self.problem(format!("{name}:{line}"), format!("not TOML: {}", error.message()));
        }
        self.table(name, text, "", table.get_ref());
    }

    fn table(&mut self, name: &str, text: &str, prefix: &str, table: &DeTable<'_>) {
        let mut members: Vec<_> = table.iter().collect();
        members.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in members {
            let path = format!("{prefix}{}", key.get_ref());
            let value = match value.get_ref() {
                DeValue::Table(inner) => {
                    self.table(name, text, &format!("{path}."), inner);
                    continue;
                }
                DeValue::String(text) => Value::String(text.clone().into_owned()),
                DeValue::Boolean(value) => Value::Boolean(*value),
                DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                    .map_or(Value::Other("integer beyond 64 bits"), Value::Integer),
                other => Value::Other(other.type_str()),
            };
            let origin = format!("{name}:{}: {path}", line_of(text, key.span().start));
            self.entries.push(Entry { origin, key: path, value });
        }
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
            let value = Value::Text(value.to_owned());
            return self.entries.push(Entry { origin: name.into_owned(), key: key.clone(), value });
        }
        if is_service_link(&name, value) {
            return;
        }
        let names: Vec<String> = known.iter().map(|key| variable_name(key)).collect();
        let hint = nearest(&name, names.iter().map(String::as_str));
        self.problem(name, unknown("no setting has this name", hint));
    }
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
