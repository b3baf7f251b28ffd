//! Messages and parts, in every shape that any dialect gives them (WIRE 3.4, 3.5, 9.2).

use serde_json::Value;

use super::reader::{Names, Object, Path, Reader};
use crate::{
    proto::{
        a2a::{Message, Part, Role, part::Content},
        well_known::{self, Struct},
    },
    task::{Dialect, mint},
    wire::{words, wrapped},
};

const RAW: Names = &["raw", "fileWithBytes", "file_with_bytes"];
const URL: Names = &["url", "fileWithUri", "file_with_uri"];
const FILENAME: Names = &["filename", "name"];
const MEDIA_TYPE: Names = &["media_type", "mediaType", "mimeType", "mime_type"];

/// A message. PraisonAI's clients may leave out who wrote it, which is then the user, and its id, which is then minted.
/// Agents may leave out both: it is then the agent's, and its id stays empty, so that what is read twice is the same.
pub(super) fn message(path: Path<'_>, value: Value, reader: &mut Reader) -> Option<Message> {
    Some(message_fields(&mut Object::new(path, value, reader)?, reader))
}

/// A message's members.
pub(super) fn message_fields(object: &mut Object<'_>, reader: &mut Reader) -> Message {
    let praison = reader.dialect() == Dialect::Praison;

    let role = object.word(&["role"], reader, words::read_role, |dialect| {
        [Role::User, Role::Agent].map(|role| words::role(dialect, role)).join(", ")
    });
    let default_role = match (reader.is_answer(), praison) {
        (true, _) => Role::Agent,
        (false, true) => Role::User,
        (false, false) => Role::Unspecified,
    };
    let mints = praison && !reader.is_answer();
    let message_id = object.optional_string(&["message_id", "messageId"], reader);
    Message {
        message_id: message_id.unwrap_or_else(|| if mints { mint() } else { String::new() }),
        context_id: object.string(&["context_id", "contextId"], reader),
        task_id: object.string(&["task_id", "taskId"], reader),
        role: role.filter(|role| *role != Role::Unspecified || !reader.is_answer()).unwrap_or(default_role).into(),
        parts: parts(object, reader),
        metadata: object.structure(&["metadata"], reader),
        extensions: extensions(object, reader),
        reference_task_ids: object.strings(&["reference_task_ids", "referenceTaskIds"], reader),
    }
}

/// Extension URIs. PraisonAI's own type of them is another one, and nothing uses it.
pub(super) fn extensions(object: &mut Object<'_>, reader: &mut Reader) -> Vec<String> {
    if reader.dialect() == Dialect::Praison { Vec::new() } else { object.strings(&["extensions"], reader) }
}

/// A message's or an artifact's parts.
pub(super) fn parts(object: &mut Object<'_>, reader: &mut Reader) -> Vec<Part> {
    let Some(value) = object.take(&["parts", "content"]) else { return Vec::new() };
    let path = object.path("parts");
    let items = reader.array(path, value);
    items.into_iter().enumerate().filter_map(|(i, item)| part(Path::Index(&path, i), item, reader)).collect()
}

/// A part. What it holds decides what it is; `kind` and `type` only repeat that. One that holds nothing is a fault of a
/// client; an agent's is left out.
fn part(path: Path<'_>, value: Value, reader: &mut Reader) -> Option<Part> {
    let mut object = Object::new(path, value, reader)?;
    if reader.dialect() == Dialect::V03 && !reader.is_answer() {
        check_kind(&mut object, reader);
    }
    let mut part = Part {
        metadata: object.structure(&["metadata"], reader),
        filename: object.string(FILENAME, reader),
        media_type: object.string(MEDIA_TYPE, reader),
        content: None,
    };
    // Only 1.0 has null as a value. Elsewhere it is what a serializer prints for a field that is not set.
    let null_data = reader.dialect() == Dialect::V1 && object.contains("data");

    let mut found = [
        ("text", object.take(&["text"])),
        ("raw", object.take(RAW)),
        ("url", object.take(URL)),
        ("data", object.take(&["data"])),
        ("file", object.take(&["file"])),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)));

    part.content = match (found.next(), found.next()) {
        (Some((first, _)), Some((second, _))) => {
            reader.fault(path, format!("must hold only one of text, raw, url and data, not {first} and {second}"));
            None
        }
        (Some((name, value)), None) => {
            let path = object.path(name);
            match name {
                "text" => reader.string(path, value).map(Content::Text),
                "raw" => reader.bytes(path, value).map(|bytes| Content::Raw(bytes.into())),
                "url" => reader.string(path, value).map(Content::Url),
                "data" => data(path, value, &mut part.metadata, reader),
                _ => file(path, value, &mut part, reader),
            }
        }
        (None, _) if null_data => Some(Content::Data(well_known::Value::NULL)),
        (None, _) if reader.is_answer() => return None,
        (None, _) => {
            reader.fault(path, "must hold one of text, raw, url and data");
            None
        }
    };
    Some(part)
}

/// That a 0.3 client's part is of a kind there is: who sends another means something that the agent would not get.
fn check_kind(object: &mut Object<'_>, reader: &mut Reader) {
    const NAMES: [Names; 2] = [&["kind"], &["type"]];
    for names in NAMES {
        match object.take(names) {
            Some(Value::String(kind)) if !["text", "file", "data"].contains(&kind.as_str()) => {
                reader.fault(object.path(names[0]), "must be text, file or data");
            }
            _ => {}
        }
    }
}

/// 0.3's file: bytes or a place to fetch them from.
fn file(path: Path<'_>, value: Value, part: &mut Part, reader: &mut Reader) -> Option<Content> {
    let mut object = Object::new(path, value, reader)?;
    let filename = object.string(FILENAME, reader);
    let media_type = object.string(MEDIA_TYPE, reader);
    if part.filename.is_empty() {
        part.filename = filename;
    }
    if part.media_type.is_empty() {
        part.media_type = media_type;
    }

    let bytes = object.take(&["bytes", "fileWithBytes", "file_with_bytes", "data"]);
    let uri = object.take(&["uri", "fileWithUri", "file_with_uri"]);
    match (bytes, uri) {
        (Some(bytes), None) => reader.bytes(object.path("bytes"), bytes).map(|bytes| Content::Raw(bytes.into())),
        (None, Some(uri)) => reader.string(object.path("uri"), uri).map(Content::Url),
        (Some(_), Some(_)) => {
            reader.fault(path, "must hold only one of bytes and uri");
            None
        }
        (None, None) => {
            reader.fault(path, "must hold one of bytes and uri");
            None
        }
    }
}

/// Data: any value in 1.0; an object in the older dialects, in which another value comes wrapped and marked. Agents
/// that do not wrap it are understood as well.
fn data(path: Path<'_>, value: Value, metadata: &mut Option<Struct>, reader: &mut Reader) -> Option<Content> {
    if reader.dialect() == Dialect::V1 {
        return Some(Content::Data(value.into()));
    }
    let Value::Object(members) = value else {
        if reader.is_answer() {
            return Some(Content::Data(value.into()));
        }
        reader.mistyped(path, "an object", &value);
        return None;
    };
    Some(Content::Data(wrapped::unwrap(members.into(), metadata)))
}
