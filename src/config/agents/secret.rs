//! Values that may be secret: written plainly, or as `env:NAME` or `file:PATH`. Errors name the place, never the value.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::config::value::Value;

/// The variables that `env:` means.
pub(in crate::config) type Environment = [(OsString, OsString)];

/// The most that is read of a file: more than any certificate chain, and an end to files that have none.
const MAX_FILE: u64 = 1 << 20;

/// The text that a value stands for.
pub(in crate::config) fn read(value: &Value, environment: &Environment) -> Result<String, String> {
    resolve(value.text().ok_or("must be text")?, environment)
}

/// The text that a text stands for: itself, or what the variable or the file that it names holds.
pub(in crate::config) fn resolve(text: &str, environment: &Environment) -> Result<String, String> {
    if let Some(name) = text.strip_prefix("env:") {
        let value = environment.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let value = value.ok_or_else(|| format!("the environment variable {name} is not set"))?;
        value.to_str().map(str::to_owned).ok_or_else(|| format!("the environment variable {name} is not UTF-8"))
    } else if let Some(path) = text.strip_prefix("file:") {
        let mut value = read_text(path)?;
        if value.ends_with('\n') {
            value.pop();
            if value.ends_with('\r') {
                value.pop();
            }
        }
        Ok(value)
    } else {
        Ok(text.to_owned())
    }
}

/// A file's text; the error names the file.
pub(in crate::config) fn read_text(path: &str) -> Result<String, String> {
    let cannot = |cause: io::Error| format!("the file {path} cannot be read: {cause}");
    let mut bytes = Vec::new();
    File::open(Path::new(path)).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("the file {path} is larger than 1MiB"));
    }
    String::from_utf8(bytes).map_err(|_| format!("the file {path} is not UTF-8 text"))
}
