//! Validation of what callers send, once, for every door (promise P9).
//!
//! Each rule names the field and what would be right. Whatever passes can be stored, read back by any protobuf
//! implementation and sent to any agent: hence the nesting limit, which keeps within protobuf's usual 100 levels
//! (a JSON level takes three of them).

use std::time::Duration;

use super::id::{MAX_ID, id_problem};
use crate::{
    error::{Error, Result, Violation},
    proto::{
        a2a::{Artifact, Message, Part, Role, part::Content},
        well_known::{self, Kind, Struct, Value},
    },
};

/// The deepest nesting of `data` and `metadata`, in JSON levels.
pub const MAX_DEPTH: usize = 24;

/// The longest task timeout: ten years.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The largest page of a list.
pub const MAX_PAGE_SIZE: i32 = 100;

/// Page size when a request names none.
pub const DEFAULT_PAGE_SIZE: i32 = 50;

/// Collects what is wrong with a request, all of it at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes that a field is not as it should be.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation { field: field.into(), description: description.into() });
    }

    /// An error when anything was noted.
    ///
    /// # Errors
    /// `InvalidArgument` with all that was noted.
    pub fn check(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::violations(self.0)) }
    }

    /// Checks an id, name or token that the caller chose; empty is allowed.
    pub fn id(&mut self, field: impl Into<String>, value: &str) {
        if let Some(problem) = id_problem(value) {
            self.add(field, problem);
        }
    }

    /// Checks a message that a caller sends to an agent.
    pub fn message(&mut self, message: &Message) {
        if message.message_id.is_empty() {
            self.add("message.message_id", "is required: an id chosen by the sender");
        }
        self.id("message.message_id", &message.message_id);
        self.id("message.context_id", &message.context_id);
        match message.role() {
            Role::User => {}
            _ if Role::try_from(message.role).is_err() => {
                self.add("message.role", format!("has the unknown value {}; must be ROLE_USER", message.role));
            }
            Role::Unspecified => self.add("message.role", "is required; must be ROLE_USER"),
            Role::Agent => self.add("message.role", "must be ROLE_USER: only agents send as ROLE_AGENT"),
        }
        if message.parts.is_empty() {
            self.add("message.parts", "must have at least one part");
        }
        for (i, part) in message.parts.iter().enumerate() {
            self.part(&format!("message.parts[{i}]"), part);
        }
        self.metadata("message.metadata", message.metadata.as_ref());
        for (i, uri) in message.extensions.iter().enumerate() {
            self.short(format!("message.extensions[{i}]"), uri);
        }
        for (i, id) in message.reference_task_ids.iter().enumerate() {
            self.id(format!("message.reference_task_ids[{i}]"), id);
        }
    }

    fn part(&mut self, field: &str, part: &Part) {
        match &part.content {
            None => self.add(field, "must have exactly one of text, raw, url and data"),
            Some(Content::Url(url)) if url.is_empty() => self.add(format!("{field}.url"), "must not be empty"),
            Some(_) => {}
        }
        self.depth(field, part);
        self.short(format!("{field}.filename"), &part.filename);
        self.short(format!("{field}.media_type"), &part.media_type);
    }

    /// Checks how deep a part's data is.
    fn depth(&mut self, field: &str, part: &Part) {
        if let Some(Content::Data(value)) = &part.content
            && depth(value) > MAX_DEPTH
        {
            self.add(format!("{field}.data"), format!("must be at most {MAX_DEPTH} levels deep"));
        }
        self.metadata(&format!("{field}.metadata"), part.metadata.as_ref());
    }

    /// Checks how deep the data of an agent's parts is.
    fn parts(&mut self, field: &str, parts: &[Part]) {
        for (i, part) in parts.iter().enumerate() {
            self.depth(&format!("{field}.parts[{i}]"), part);
        }
    }

    /// Checks free data.
    pub fn metadata(&mut self, field: &str, metadata: Option<&Struct>) {
        if metadata.is_some_and(|data| struct_depth(data) > MAX_DEPTH) {
            self.add(field, format!("must be at most {MAX_DEPTH} levels deep"));
        }
    }

    /// Checks the media types a caller takes.
    pub fn output_modes(&mut self, field: &str, modes: &[String]) {
        if modes.len() > 64 {
            self.add(field, format!("must have at most 64 entries, not {}", modes.len()));
        }
        for (i, mode) in modes.iter().take(64).enumerate() {
            self.id(format!("{field}[{i}]"), mode);
        }
    }

    /// Checks a history length.
    pub fn history_length(&mut self, field: &str, length: Option<i32>) {
        if let Some(length) = length.filter(|length| *length < 0) {
            self.add(field, format!("must not be negative, as {length} is; leave it out for the whole history"));
        }
    }

    /// Checks a page size; none: the default.
    pub fn page_size(&mut self, field: &str, size: Option<i32>) -> i32 {
        let size = size.unwrap_or(DEFAULT_PAGE_SIZE);
        if !(1..=MAX_PAGE_SIZE).contains(&size) {
            self.add(field, format!("must be 1 to {MAX_PAGE_SIZE}, not {size}"));
        }
        size
    }

    /// Checks a task's timeout.
    pub fn timeout(&mut self, field: &str, timeout: Option<Duration>) {
        if let Some(timeout) = timeout
            && !(Duration::from_millis(1)..=MAX_TIMEOUT).contains(&timeout)
        {
            self.add(field, "must be 1 ms to 10 years; leave it out for the gateway's default");
        }
    }

    fn short(&mut self, field: String, value: &str) {
        const MAX: usize = 2048;
        if value.len() > MAX {
            self.add(field, format!("must be at most {MAX} bytes long, not {}", value.len()));
        }
    }
}

/// Reads a duration that a caller sent in `field`.
///
/// # Errors
/// `InvalidArgument` naming the field when it is negative or malformed.
pub fn duration(field: &str, duration: Option<well_known::Duration>) -> Result<Option<Duration>> {
    duration.map(Duration::try_from).transpose().map_err(|problem| Error::invalid(field, problem.to_string()))
}

/// Checks a request id; it may be empty.
///
/// # Errors
/// `InvalidArgument` naming the field.
pub fn request_id(field: &str, value: &str) -> Result<()> {
    let mut violations = Violations::default();
    if value.len() > MAX_ID {
        violations.add(field, format!("must be at most {MAX_ID} bytes long, not {}", value.len()));
    } else {
        violations.id(field, value);
    }
    violations.check()
}

fn depth(value: &Value) -> usize {
    match &value.kind {
        Some(Kind::Struct(data)) => struct_depth(data),
        Some(Kind::List(list)) => 1 + list.values.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn struct_depth(data: &Struct) -> usize {
    1 + data.fields.values().map(depth).max().unwrap_or(0)
}

/// Checks an agent's message and free data.
///
/// # Errors
/// `InvalidArgument` naming what is too deep.
pub fn answer(message: Option<&Message>, metadata: Option<&Struct>) -> Result<()> {
    let mut violations = Violations::default();
    if let Some(message) = message {
        violations.parts("message", &message.parts);
        violations.metadata("message.metadata", message.metadata.as_ref());
    }
    violations.metadata("metadata", metadata);
    violations.check()
}

/// Checks an agent's artifact and the free data beside it.
///
/// # Errors
/// `InvalidArgument` naming what is too deep.
pub fn artifact(artifact: &Artifact, metadata: Option<&Struct>) -> Result<()> {
    let mut violations = Violations::default();
    violations.parts("artifact", &artifact.parts);
    violations.metadata("artifact.metadata", artifact.metadata.as_ref());
    violations.metadata("metadata", metadata);
    violations.check()
}
