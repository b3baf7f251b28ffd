//! Secrets on the command line: written plainly, or as `env:NAME` or `file:PATH`, so that they need not stand in the
//! shell's history or in the list of processes.

use std::fmt;

use crate::config;

/// A secret, and how the person wrote it. Its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Given {
    written: String,
    /// The secret itself.
    pub(super) value: String,
}

impl Given {
    /// Reads what the text stands for: a parser of arguments.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value = config::secret(text)?;
        if value.is_empty() { Err("is empty".to_owned()) } else { Ok(Self { written: text.to_owned(), value }) }
    }

    /// One that was made here.
    pub(super) fn made(value: String) -> Self {
        Self { written: value.clone(), value }
    }

    /// As it was written, for a command line that a person can copy.
    pub(super) fn quoted(&self) -> String {
        // What no shell takes for anything else stays readable: the base64 of signing secrets.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+/=.:,@%".contains(&byte);
        match shlex::try_quote(&self.written) {
            Ok(quoted) if !self.written.bytes().all(plain) => quoted.into_owned(),
            _ => self.written.clone(),
        }
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_from_where_they_are_and_written_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("to ken");
        std::fs::write(&path, "hidden\n").unwrap();
        let written = format!("file:{}", path.display());
        let given = Given::parse(&written).unwrap();
        assert_eq!((given.value.as_str(), given.quoted()), ("hidden", format!("'{written}'")));
        assert!(!format!("{given:?}").contains("hidden"));
        let plain = Given::parse("Bearer x").unwrap();
        assert_eq!((plain.value.as_str(), plain.quoted().as_str()), ("Bearer x", "'Bearer x'"));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_place() {
        let problem = Given::parse("env:A2A_GATEWAY_NO_SUCH_VARIABLE").unwrap_err();
        assert_eq!(problem, "the environment variable A2A_GATEWAY_NO_SUCH_VARIABLE is not set");
        assert!(Given::parse("file:/nowhere/x").unwrap_err().starts_with("the file /nowhere/x cannot be read: "));
        assert_eq!(Given::parse("").unwrap_err(), "is empty");
    }
}
