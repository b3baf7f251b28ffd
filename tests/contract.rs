//! Holds the compiled `lf.a2a.v1` contract to `tests/contract/a2a_v1.tsv`, in both directions.
//!
//! A2A clients and agents are built from the published contract: a changed number, type or name here would go
//! unnoticed by our own tests, which use our own types on both ends, and break every peer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use a2a_gateway::proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

const TABLE: &str = include_str!("contract/a2a_v1.tsv");
const PACKAGE: &str = "lf.a2a.v1";

#[test]
fn compiled_contract_equals_the_table() {
    let table: BTreeSet<String> = rows().map(str::to_owned).collect();
    let compiled = facts(&contract());
    let report = |title: &str, rows: Vec<&String>| {
        rows.iter().map(|row| format!("\n  {title}: {}", row.replace('\t', " "))).collect::<String>()
    };
    let missing = report("only in the table", table.difference(&compiled).collect());
    let extra = report("only in the proto", compiled.difference(&table).collect());
    assert!(missing.is_empty() && extra.is_empty(), "the contract and its table differ:{missing}{extra}");
}

#[test]
fn table_has_no_row_twice() {
    let distinct: BTreeSet<&str> = rows().collect();
    assert_eq!(distinct.len(), rows().count());
    assert!(distinct.len() >= 200, "the table is too short to be the whole contract: {}", distinct.len());
}

/// ProtoJSON names follow from the field names: the contract overrides none.
#[test]
fn json_names_are_the_default_ones() {
    for message in &contract().message_type {
        for field in &message.field {
            assert_eq!(field.json_name(), lower_camel(field.name()), "{}.{}", message.name(), field.name());
        }
    }
}

/// The rows of the table that state a fact.
fn rows() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The compiled A2A contract.
fn contract() -> FileDescriptorProto {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the embedded descriptors decode");
    let mut files = set.file.into_iter().filter(|file| file.package() == PACKAGE);
    let file = files.next().expect("the package is there");
    assert!(files.next().is_none(), "the contract is one file");
    file
}

/// What a compiled file says, in the form of the table's rows.
fn facts(file: &FileDescriptorProto) -> BTreeSet<String> {
    let mut facts = BTreeSet::from([row(&["package", file.package()])]);
    for service in &file.service {
        for method in &service.method {
            assert!(!method.client_streaming(), "A2A has no client streams: {}", method.name());
            let answer = if method.server_streaming() { "stream" } else { "unary" };
            let (input, output) = (short(method.input_type()), short(method.output_type()));
            facts.insert(row(&["method", service.name(), method.name(), input, output, answer]));
        }
    }
    for enumeration in &file.enum_type {
        for value in &enumeration.value {
            facts.insert(row(&["value", enumeration.name(), value.name(), &value.number().to_string()]));
        }
    }
    for message in &file.message_type {
        assert!(message.enum_type.is_empty(), "the contract nests no enums: {}", message.name());
        assert!(message.nested_type.iter().all(is_map_entry), "nor messages: {}", message.name());
        assert!(!message.field.is_empty(), "a message without fields has no row: {}", message.name());
        for field in &message.field {
            let (kind, label) = kind_and_label(message, field);
            facts.insert(row(&["field", message.name(), field.name(), &field.number().to_string(), &kind, &label]));
        }
    }
    facts
}

/// A field's type and label as the table writes them.
fn kind_and_label(message: &DescriptorProto, field: &FieldDescriptorProto) -> (String, String) {
    let entry = message.nested_type.iter().find(|nested| {
        is_map_entry(nested) && field.type_name().strip_suffix(nested.name()).is_some_and(|owner| owner.ends_with('.'))
    });
    if let Some(entry) = entry {
        return (format!("{},{}", kind(&entry.field[0]), kind(&entry.field[1])), "map".to_owned());
    }
    let label = match (field.label(), field.oneof_index) {
        (Label::Repeated, _) => "repeated".to_owned(),
        (Label::Required, _) => "required".to_owned(),
        (Label::Optional, Some(_)) if field.proto3_optional() => "optional".to_owned(),
        (Label::Optional, Some(oneof)) => format!("oneof {}", message.oneof_decl[oneof as usize].name()),
        (Label::Optional, None) => "singular".to_owned(),
    };
    (kind(field), label)
}

/// A field's type: a scalar's proto name, or the name of a message or enum, short when it is of the contract.
fn kind(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => short(field.type_name()).to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

/// A full type name without its leading dot, and without the package when it is the contract's.
fn short(name: &str) -> &str {
    let name = name.trim_start_matches('.');
    name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name)
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
}

fn row(cells: &[&str]) -> String {
    cells.join("\t")
}

/// The JSON name that ProtoJSON derives from a field's name.
fn lower_camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| {
        let mut letters = word.chars();
        camel + &letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    })
}
