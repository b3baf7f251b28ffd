//! Hostile input, for tests: valid JSON, spoiled as a value and as text.
//!
//! A case is drawn as data (which change, where), so that a failing one shrinks and is printed whole. The tests run few
//! cases by default; `PROPTEST_CASES` asks for more.

mod agents;

use std::time::Duration;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};

/// The longest that one case may take, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test over as many cases as `PROPTEST_CASES` says, or else so many.
pub(crate) fn run<S: Strategy>(default: u32, strategy: &S, test: impl Fn(S::Value)) {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config { cases: asked.unwrap_or(default), failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(strategy, |case| {
        test(case);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// One change of a JSON value. The number says where, modulo what there is.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A member or element is left out.
    Drop(u32),
    /// Something else stands there.
    Put(u32, Value),
    /// A member bears another name.
    Rename(u32, String),
    /// A member is there twice, under two names.
    Double(u32, String),
    /// A value stands within so many arrays.
    Nest(u32, u8),
    /// A value stands in the place of another one as well.
    Copy(u32, u32),
    /// A list or object has a great many more entries.
    Many(u32),
}

/// Names that members of some dialect have.
const NAMES: [&str; 30] = [
    "message",
    "request",
    "configuration",
    "metadata",
    "parts",
    "content",
    "kind",
    "type",
    "text",
    "file",
    "data",
    "raw",
    "url",
    "role",
    "messageId",
    "message_id",
    "taskId",
    "contextId",
    "id",
    "name",
    "parent",
    "config",
    "pushNotificationConfig",
    "historyLength",
    "blocking",
    "returnImmediately",
    "status",
    "tenant",
    "artifact",
    "result",
];

/// Values that are seldom what is expected.
pub(crate) fn odd() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        Just(String::new()),
        Just("\0".to_owned()),
        Just("\u{feff}\u{202e}\u{1f600}e\u{301}\u{10ffff}".to_owned()),
        Just("x".repeat(300)),
        Just("../../..%2f%00".to_owned()),
        Just("2026-02-30T25:61:61.9999999999+99:99".to_owned()),
        Just("ROLE_AGENT".to_owned()),
        Just("9999999999999999999999".to_owned()),
        Just("NaN".to_owned()),
        Just("===".to_owned()),
        "\\PC{0,12}",
        any::<String>(),
        prop::sample::select(&NAMES[..]).prop_map(str::to_owned),
    ];
    let numbers = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        prop::sample::select(vec![json!(0), json!(-1), json!(-0.0), json!(1e308), json!(5e-324), json!(1.5)]),
    ];
    prop_oneof![
        3 => texts.prop_map(Value::from),
        2 => numbers,
        1 => prop::sample::select(vec![json!(null), json!(true), json!(false), json!([]), json!({}), json!([null]),
            json!([[], {}]), json!({"": ""}), json!({"kind": "file"}), json!({"text": "a", "data": 1})]),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => any::<u32>().prop_map(Change::Drop),
        6 => (any::<u32>(), odd()).prop_map(|(at, value)| Change::Put(at, value)),
        2 => (any::<u32>(), name()).prop_map(|(at, name)| Change::Rename(at, name)),
        2 => (any::<u32>(), name()).prop_map(|(at, name)| Change::Double(at, name)),
        1 => (any::<u32>(), any::<u8>()).prop_map(|(at, levels)| Change::Nest(at, levels)),
        2 => (any::<u32>(), any::<u32>()).prop_map(|(to, from)| Change::Copy(to, from)),
        1 => any::<u32>().prop_map(Change::Many),
    ]
}

/// Changes of a value, often none.
pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 0..5)
}

/// The value after the changes.
pub(crate) fn changed(mut value: Value, changes: &[Change]) -> Value {
    for change in changes {
        apply(&mut value, change);
    }
    value
}

fn apply(root: &mut Value, change: &Change) {
    let mut places = Vec::new();
    places_of(root, String::new(), &mut places);
    let place = |at: u32| places[at as usize % places.len()].clone();
    match change {
        Change::Put(at, value) => put(root, &place(*at), value.clone()),
        Change::Copy(to, from) => {
            let copy = root.pointer(&place(*from)).cloned().unwrap_or_default();
            put(root, &place(*to), copy);
        }
        Change::Nest(at, levels) => {
            let place = place(*at);
            let inner = root.pointer_mut(&place).map(Value::take).unwrap_or_default();
            put(root, &place, (0..*levels).fold(inner, |inner, _| Value::Array(vec![inner])));
        }
        Change::Many(at) => match root.pointer_mut(&place(*at)) {
            Some(Value::Array(items)) => items.extend((0..200).map(Value::from)),
            Some(Value::Object(members)) => members.extend((0..200).map(|i| (format!("m{i}"), json!({})))),
            _ => {}
        },
        Change::Drop(at) => on_member(root, &place(*at), |members, name| drop(members.remove(name))),
        Change::Rename(at, other) => on_member(root, &place(*at), |members, name| {
            let value = members.remove(name).unwrap_or_default();
            members.insert(other.clone(), value);
        }),
        Change::Double(at, other) => on_member(root, &place(*at), |members, name| {
            let value = members.get(name).cloned().unwrap_or_default();
            members.insert(other.clone(), value);
        }),
    }
}

fn put(root: &mut Value, place: &str, value: Value) {
    if let Some(found) = root.pointer_mut(place) {
        *found = value;
    }
}

fn on_member(root: &mut Value, place: &str, change: impl FnOnce(&mut Map<String, Value>, &str)) {
    let Some((parent, name)) = place.rsplit_once('/') else { return };
    let name = name.replace("~1", "/").replace("~0", "~");
    if let Some(Value::Object(members)) = root.pointer_mut(parent) {
        change(members, &name);
    }
}

/// JSON pointers to all that a value holds, itself first.
fn places_of(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                places_of(member, format!("{place}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate().take(20) {
                places_of(item, format!("{place}/{i}"), places);
            }
        }
        _ => {}
    }
    places.insert(0, place);
}

/// One change of a text. The number says where.
#[derive(Clone, Debug)]
pub(crate) enum Slip {
    /// It ends here.
    Cut(u32),
    /// A byte is another one.
    Flip(u32, u8),
    /// These bytes stand here as well.
    Insert(u32, Vec<u8>),
    /// These bytes stand behind one of the places where the first stands.
    After(u8, u32, &'static [u8]),
}

/// What JSON has no place for, or hardly one: escapes of half a character, numbers that are none, what is not UTF-8.
const IN_TEXT: [&[u8]; 12] = [
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\\u0000",
    b"\\x",
    b"\0",
    b"\x1f",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\\",
    b"\"",
    b"\xef\xbb\xbf",
];
const AS_NUMBER: [&[u8]; 10] = [
    b"NaN,",
    b"Infinity,",
    b"-Infinity,",
    b"1e999,",
    b"-0,",
    b"01,",
    b"0x10,",
    b"1.,",
    b"123456789012345678901234567890,",
    b"1e-400,",
];
const AS_MEMBER: [&[u8]; 5] =
    [b"\"message\":null,", b"\"id\":{},", b"\"method\":1,", b"\"params\":[],", b"\"__proto__\":{},"];

fn slip() -> impl Strategy<Value = Slip> {
    let after = |byte: u8, texts: &'static [&'static [u8]]| {
        (any::<u32>(), prop::sample::select(texts)).prop_map(move |(at, text)| Slip::After(byte, at, text))
    };
    prop_oneof![
        any::<u32>().prop_map(Slip::Cut),
        (any::<u32>(), any::<u8>()).prop_map(|(at, byte)| Slip::Flip(at, byte)),
        (any::<u32>(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Slip::Insert(at, bytes)),
        after(b'"', &IN_TEXT),
        after(b':', &AS_NUMBER),
        after(b'{', &AS_MEMBER),
    ]
}

/// Changes of a text, mostly none.
pub(crate) fn slips() -> impl Strategy<Value = Vec<Slip>> {
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(slip(), 1..3)]
}

/// The text after the changes.
pub(crate) fn slipped(text: &str, slips: &[Slip]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for slip in slips {
        let at = |n: u32| n as usize % (bytes.len() + 1);
        match slip {
            Slip::Cut(n) => bytes.truncate(at(*n)),
            Slip::Flip(n, byte) => {
                let at = at(*n);
                if let Some(found) = bytes.get_mut(at) {
                    *found = *byte;
                }
            }
            Slip::Insert(n, more) => {
                let at = at(*n);
                bytes.splice(at..at, more.iter().copied());
            }
            Slip::After(byte, n, more) => {
                let places: Vec<_> = (0..bytes.len()).filter(|i| bytes[*i] == *byte).collect();
                if !places.is_empty() {
                    let at = places[*n as usize % places.len()] + 1;
                    bytes.splice(at..at, more.iter().copied());
                }
            }
        }
    }
    bytes
}

/// Bytes that were never JSON, or JSON that was never a request.
pub(crate) fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[\\[\\]{}:,\"0-9a-z\\\\ ]{0,60}".prop_map(String::into_bytes),
        odd().prop_map(|value| value.to_string().into_bytes()),
        (0..3000_usize).prop_map(|levels| "[".repeat(levels).into_bytes()),
        (0..3000_usize).prop_map(|levels| "{\"params\":".repeat(levels).into_bytes()),
    ]
}
