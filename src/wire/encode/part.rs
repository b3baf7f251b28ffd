//! Parts as they look in a dialect (WIRE 3.4).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::view::{In, option, text};
use crate::{
    proto::{
        a2a::{Part, part::Content},
        well_known::{Kind, Struct, Value},
    },
    task::Dialect::{Praison, V1, V03},
    wire::wrapped::WRAPPED,
};

/// Data wrapped as an object, for dialects that have nothing else there.
#[derive(Serialize)]
struct Wrapped<'a> {
    value: &'a Value,
}

/// A part's metadata with the mark of wrapped data.
struct Marked<'a>(Option<&'a Struct>);

/// 0.3's file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    mime_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

impl Serialize for In<'_, Part> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, part) = *self;
        let mut map = serializer.serialize_map(None)?;
        let wrapped = match dialect {
            V1 => content_v1(&mut map, part)?,
            V03 => content_v03(&mut map, part)?,
            Praison => content_praison(&mut map, part)?,
        };
        if wrapped {
            map.serialize_entry("metadata", &Marked(part.metadata.as_ref()))?;
        } else {
            option(&mut map, "metadata", part.metadata.as_ref())?;
        }
        map.end()
    }
}

fn content_v1<M: SerializeMap>(map: &mut M, part: &Part) -> Result<bool, M::Error> {
    match &part.content {
        Some(Content::Text(text)) => map.serialize_entry("text", text)?,
        Some(Content::Raw(bytes)) => map.serialize_entry("raw", &STANDARD.encode(bytes))?,
        Some(Content::Url(url)) => map.serialize_entry("url", url)?,
        Some(Content::Data(value)) => map.serialize_entry("data", value)?,
        None => {}
    }
    text(map, "filename", &part.filename)?;
    text(map, "mediaType", &part.media_type)?;
    Ok(false)
}

/// 0.3 has names and media types for files only; data and text lose theirs, as in the SDKs. Whether data was wrapped.
fn content_v03<M: SerializeMap>(map: &mut M, part: &Part) -> Result<bool, M::Error> {
    let (bytes, uri) = match &part.content {
        Some(Content::Raw(bytes)) => (Some(STANDARD.encode(bytes)), None),
        Some(Content::Url(url)) => (None, Some(url.as_str())),
        Some(Content::Data(value)) => {
            map.serialize_entry("kind", "data")?;
            return object(map, value);
        }
        Some(Content::Text(text)) => return text_v03(map, text),
        None => return text_v03(map, ""),
    };
    map.serialize_entry("kind", "file")?;
    map.serialize_entry("file", &File { bytes, uri, mime_type: &part.media_type, name: &part.filename })?;
    Ok(false)
}

fn text_v03<M: SerializeMap>(map: &mut M, text: &str) -> Result<bool, M::Error> {
    map.serialize_entry("kind", "text")?;
    map.serialize_entry("text", text)?;
    Ok(false)
}

/// Whether data was wrapped.
fn content_praison<M: SerializeMap>(map: &mut M, part: &Part) -> Result<bool, M::Error> {
    let wrapped = match &part.content {
        Some(Content::Data(value)) => object(map, value)?,
        Some(Content::Text(text)) => map.serialize_entry("text", text).map(|()| false)?,
        Some(Content::Raw(bytes)) => map.serialize_entry("fileWithBytes", &STANDARD.encode(bytes)).map(|()| false)?,
        Some(Content::Url(url)) => map.serialize_entry("fileWithUri", url).map(|()| false)?,
        None => map.serialize_entry("text", "").map(|()| false)?,
    };
    text(map, "name", &part.filename)?;
    text(map, "mediaType", &part.media_type)?;
    Ok(wrapped)
}

/// Data as an object: itself, or wrapped in one. Whether it was wrapped.
fn object<M: SerializeMap>(map: &mut M, value: &Value) -> Result<bool, M::Error> {
    let wrapped = !matches!(value.kind, Some(Kind::Struct(_)));
    if wrapped {
        map.serialize_entry("data", &Wrapped { value })?;
    } else {
        map.serialize_entry("data", value)?;
    }
    Ok(wrapped)
}

impl Serialize for Marked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0.into_iter().flat_map(|metadata| &metadata.fields) {
            if name != WRAPPED {
                map.serialize_entry(name, value)?;
            }
        }
        map.serialize_entry(WRAPPED, &true)?;
        map.end()
    }
}
