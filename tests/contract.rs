//! Holds each compiled A2A contract to its table in `tests/contract/`, in both directions.
//!
//! A2A clients and agents are built from the published contracts: a changed number, type or name here would go
//! unnoticed by our own tests, which use our own types on both ends, and break every peer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use a2a_gateway::proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// A contract, and what is known of it.
struct Contract {
    package: &'static str,
    table: &'static str,
    /// The least number of facts that a whole table has.
    facts: usize,
}

const CONTRACTS: [Contract; 2] = [
    Contract { package: "lf.a2a.v1", table: include_str!("contract/a2a_v1.tsv"), facts: 200 },
    Contract { package: "a2a.v1", table: include_str!("contract/a2a_v03.tsv"), facts: 175 },
];

#[test]
fn compiled_contracts_equal_their_tables() {
    for contract in &CONTRACTS {
        let table: BTreeSet<String> = contract.rows().map(str::to_owned).collect();
        let compiled = facts(&contract.compiled());
        let report = |title: &str, rows: Vec<&String>| {
            rows.iter().map(|row| format!("\n  {title}: {}", row.replace('\t', " "))).collect::<String>()
        };
        let missing = report("only in the table", table.difference(&compiled).collect());
        let extra = report("only in the proto", compiled.difference(&table).collect());
        assert!(missing.is_empty() && extra.is_empty(), "{} and its table differ:{missing}{extra}", contract.package);
    }
}

#[test]
fn tables_have_no_row_twice_and_are_whole() {
    for contract in &CONTRACTS {
        let distinct: BTreeSet<&str> = contract.rows().collect();
        assert_eq!(distinct.len(), contract.rows().count());
        assert!(distinct.len() >= contract.facts, "{}: the table has only {} rows", contract.package, distinct.len());
    }
}

impl Contract {
    /// The rows of the table that state a fact.
    fn rows(&self) -> impl Iterator<Item = &'static str> {
        self.table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// The compiled contract.
    fn compiled(&self) -> FileDescriptorProto {
        let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the embedded descriptors decode");
        let mut files = set.file.into_iter().filter(|file| file.package() == self.package);
        let file = files.next().expect("the package is there");
        assert!(files.next().is_none(), "the contract is one file");
        file
    }
}

/// What a compiled file says, in the form of the table's rows.
fn facts(file: &FileDescriptorProto) -> BTreeSet<String> {
    let package = file.package();
    let mut facts = BTreeSet::from([row(&["package", package])]);
    for service in &file.service {
        for method in &service.method {
            assert!(!method.client_streaming(), "A2A has no client streams: {}", method.name());
            let answer = if method.server_streaming() { "stream" } else { "unary" };
            let (input, output) = (short(package, method.input_type()), short(package, method.output_type()));
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
        if message.field.is_empty() {
            facts.insert(row(&["empty", message.name()]));
        }
        for field in &message.field {
            let (kind, label) = kind_and_label(package, message, field);
            let number = field.number().to_string();
            let mut cells = vec!["field", message.name(), field.name(), &number, &kind, &label];
            let json = format!("json {}", field.json_name());
            if field.json_name() != lower_camel(field.name()) {
                cells.push(&json);
            }
            facts.insert(row(&cells));
        }
    }
    facts
}

/// A field's type and label as the table writes them.
fn kind_and_label(package: &str, message: &DescriptorProto, field: &FieldDescriptorProto) -> (String, String) {
    let entry = message.nested_type.iter().find(|nested| {
        is_map_entry(nested) && field.type_name().strip_suffix(nested.name()).is_some_and(|owner| owner.ends_with('.'))
    });
    if let Some(entry) = entry {
        return (format!("{},{}", kind(package, &entry.field[0]), kind(package, &entry.field[1])), "map".to_owned());
    }
    let label = match (field.label(), field.oneof_index) {
        (Label::Repeated, _) => "repeated".to_owned(),
        (Label::Required, _) => "required".to_owned(),
        (Label::Optional, Some(_)) if field.proto3_optional() => "optional".to_owned(),
        (Label::Optional, Some(oneof)) => format!("oneof {}", message.oneof_decl[oneof as usize].name()),
        (Label::Optional, None) => "singular".to_owned(),
    };
    (kind(package, field), label)
}

/// A field's type: a scalar's proto name, or the name of a message or enum, short when it is of the contract.
fn kind(package: &str, field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => short(package, field.type_name()).to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

/// A full type name without its leading dot, and without the package when it is the contract's.
fn short<'a>(package: &str, name: &'a str) -> &'a str {
    let name = name.trim_start_matches('.');
    name.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name)
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
