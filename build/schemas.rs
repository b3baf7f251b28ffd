//! JSON Schemas of the contracts' messages in their ProtoJSON form, from which the gateway makes its OpenAPI document.
//!
//! Names, types and descriptions are the contracts' own, so that the document cannot say anything else than they do. A
//! field whose comment begins with "Required" is required, as the head of A2A 1.0's contract says.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use serde_json::{Map, Value, json};

/// The packages, and what their schemas' names begin with.
const PACKAGES: [(&str, &str); 2] = [("lf.a2a.v1", ""), ("a2a.v1", "V03")];

/// What stands in cards as 0.3's JSON has it, which is not the ProtoJSON of its contract.
const OPEN: [&str; 2] = ["V03SecurityScheme", "V03Security"];

/// Field numbers of the descriptors, of which the places of comments are made.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const SERVICES: i32 = 6;
const MEMBERS: i32 = 2;

/// The schemas by their names, and what A2A 1.0's contract says about each of its operations.
pub fn document(files: &FileDescriptorSet) -> Value {
    let mut schemas = Map::new();
    let mut operations = Map::new();
    for file in &files.file {
        let Some((package, prefix)) = PACKAGES.into_iter().find(|(package, _)| *package == file.package()) else {
            continue;
        };
        let comments = Comments::of(file);
        for (place, message) in (0..).zip(&file.message_type) {
            let schema = Message { message, prefix, package, comments: &comments, place }.schema();
            schemas.insert(format!("{prefix}{}", message.name()), schema);
        }
        for (place, words) in (0..).zip(&file.enum_type) {
            schemas.insert(format!("{prefix}{}", words.name()), enumeration(words, &comments, place));
        }
        let services = (0..).zip(&file.service).filter(|_| prefix.is_empty());
        for (at, service) in services {
            for (place, method) in (0..).zip(&service.method) {
                let comment = comments.at(&[SERVICES, at, MEMBERS, place]);
                operations.insert(method.name().to_owned(), comment.into());
            }
        }
    }
    for name in OPEN {
        if let Some(schema) = schemas.get_mut(name) {
            *schema = json!({"type": "object", "description": schema["description"]});
        }
    }
    json!({"schemas": schemas, "operations": operations})
}

/// The comments of a file, by the places of what they are about.
struct Comments<'a>(BTreeMap<&'a [i32], &'a str>);

impl<'a> Comments<'a> {
    fn of(file: &'a FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        Self(locations.map(|location| (&*location.path, location.leading_comments())).collect())
    }

    /// On one line.
    fn at(&self, place: &[i32]) -> String {
        let text = self.0.get(place).copied().unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn enumeration(words: &EnumDescriptorProto, comments: &Comments<'_>, place: i32) -> Value {
    let names = words.value.iter().filter(|word| word.number() != 0).map(|word| word.name());
    described(json!({"type": "string", "enum": names.collect::<Vec<_>>()}), comments.at(&[ENUMS, place]))
}

fn described(mut schema: Value, description: String) -> Value {
    if !description.is_empty() {
        schema["description"] = description.into();
    }
    schema
}

/// A message whose schema is made.
struct Message<'a> {
    message: &'a DescriptorProto,
    prefix: &'a str,
    package: &'a str,
    comments: &'a Comments<'a>,
    place: i32,
}

impl Message<'_> {
    fn schema(&self) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        // Of each group of alternatives there is exactly one.
        let mut groups: BTreeMap<i32, BTreeSet<&str>> = BTreeMap::new();
        for (place, field) in (0..).zip(&self.message.field) {
            let comment = self.comments.at(&[MESSAGES, self.place, MEMBERS, place]);
            if comment.starts_with("Required") {
                required.push(field.json_name());
            }
            if let Some(group) = field.oneof_index.filter(|_| !field.proto3_optional()) {
                groups.entry(group).or_default().insert(field.json_name());
            }
            properties.insert(field.json_name().to_owned(), described(self.field(field), comment));
        }
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if let Some(names) = groups.into_values().next() {
            schema["oneOf"] = names.into_iter().map(|name| json!({"required": [name]})).collect();
        }
        described(schema, self.comments.at(&[MESSAGES, self.place]))
    }

    fn field(&self, field: &FieldDescriptorProto) -> Value {
        if let Some(entry) = self.message.nested_type.iter().find(|nested| {
            nested.options.as_ref().is_some_and(|options| options.map_entry())
                && field.type_name() == format!(".{}.{}.{}", self.package, self.message.name(), nested.name())
        }) {
            let value = entry.field.iter().find(|field| field.number() == 2).map(|value| self.value(value));
            return json!({"type": "object", "additionalProperties": value});
        }
        match field.label() {
            Label::Repeated => json!({"type": "array", "items": self.value(field)}),
            Label::Optional | Label::Required => self.value(field),
        }
    }

    fn value(&self, field: &FieldDescriptorProto) -> Value {
        match field.r#type() {
            Type::Bool => json!({"type": "boolean"}),
            Type::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Type::Int32 | Type::Sint32 | Type::Uint32 => json!({"type": "integer", "format": "int32"}),
            Type::Double | Type::Float => json!({"type": "number"}),
            Type::Message | Type::Enum => self.named(field.type_name()),
            // ProtoJSON writes 64-bit integers as text.
            _ => json!({"type": "string"}),
        }
    }

    fn named(&self, name: &str) -> Value {
        match name {
            ".google.protobuf.Struct" => json!({"type": "object"}),
            ".google.protobuf.Value" => json!({}),
            ".google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
            name => {
                let own = name.rsplit('.').next().unwrap_or_default();
                json!({"$ref": format!("#/components/schemas/{}{own}", self.prefix)})
            }
        }
    }
}
