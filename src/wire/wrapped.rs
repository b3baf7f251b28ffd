//! Data that is no object, in dialects that have only objects there: wrapped as `{"value": …}`, with a mark in the
//! part's metadata. The A2A SDKs share this convention.

use crate::proto::well_known::{Kind, Struct, Value};

/// The metadata that marks a part whose data is wrapped.
pub(super) const WRAPPED: &str = "data_part_compat";

/// The only member of the object that wraps.
const MEMBER: &str = "value";

/// Data as an object: itself, or wrapped in one, which the metadata then says.
pub(super) fn wrap(data: Value, metadata: &mut Option<Struct>) -> Struct {
    match data.kind {
        Some(Kind::Struct(object)) => object,
        _ => {
            let mark = Value { kind: Some(Kind::Bool(true)) };
            metadata.get_or_insert_default().fields.insert(WRAPPED.to_owned(), mark);
            Struct { fields: [(MEMBER.to_owned(), data)].into() }
        }
    }
}

/// What an object stands for: itself, or the value that it wraps. The mark is taken out of the metadata.
pub(super) fn unwrap(mut object: Struct, metadata: &mut Option<Struct>) -> Value {
    let wraps = object.fields.len() == 1 && object.fields.contains_key(MEMBER);
    if wraps && unmark(metadata) {
        return object.fields.remove(MEMBER).unwrap_or(Value::NULL);
    }
    Value { kind: Some(Kind::Struct(object)) }
}

/// Takes the mark out of a part's metadata; whether it was there.
fn unmark(metadata: &mut Option<Struct>) -> bool {
    let Some(fields) = metadata.as_mut().map(|metadata| &mut metadata.fields) else { return false };
    let marked = fields.get(WRAPPED).is_some_and(|mark| mark.kind == Some(Kind::Bool(true)));
    if marked {
        fields.remove(WRAPPED);
        if fields.is_empty() {
            *metadata = None;
        }
    }
    marked
}
