//! The `google.protobuf` types that the contracts use, with their ProtoJSON forms.
//!
//! Our own instead of a library's for three promises: maps are ordered (equal values, equal bytes: idempotency
//! digests and webhook bodies depend on it), whole numbers print without a fraction, and times print as UTC with
//! milliseconds (A2A 1.0, section 5.6.1).

use std::{collections::BTreeMap, fmt};

use jiff::{civil, fmt::temporal::DateTimeParser, tz::TimeZone};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

/// A JSON object.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Struct {
    /// Its members, by name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

/// Any JSON value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// Which kind of value, and the value. Unset reads as null.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

/// The kinds of JSON value.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// null
    #[prost(enumeration = "NullValue", tag = "1")]
    Null(i32),
    /// A number; JSON has no other than this.
    #[prost(double, tag = "2")]
    Number(f64),
    /// A string.
    #[prost(string, tag = "3")]
    String(String),
    /// true or false.
    #[prost(bool, tag = "4")]
    Bool(bool),
    /// An object.
    #[prost(message, tag = "5")]
    Struct(Struct),
    /// An array.
    #[prost(message, tag = "6")]
    List(ListValue),
}

/// A JSON array.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListValue {
    /// Its elements.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// The only value of JSON's null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum NullValue {
    /// null
    NullValue = 0,
}

/// A point in time: seconds and nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub struct Timestamp {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A length of time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Duration {
    /// Whole seconds, of the same sign as `nanos`.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds, -999,999,999 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Value {
    /// JSON's null.
    pub const NULL: Value = Value { kind: Some(Kind::Null(0)) };
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        let kind = match json {
            serde_json::Value::Null => Kind::Null(0),
            serde_json::Value::Bool(b) => Kind::Bool(b),
            // Every JSON number that serde_json holds converts: integers beyond 2^53 are rounded, as ProtoJSON does.
            serde_json::Value::Number(n) => Kind::Number(n.as_f64().unwrap_or(f64::MAX)),
            serde_json::Value::String(s) => Kind::String(s),
            serde_json::Value::Array(items) => {
                Kind::List(ListValue { values: items.into_iter().map(Value::from).collect() })
            }
            serde_json::Value::Object(members) => Kind::Struct(Struct::from(members)),
        };
        Value { kind: Some(kind) }
    }
}

impl From<serde_json::Map<String, serde_json::Value>> for Struct {
    fn from(members: serde_json::Map<String, serde_json::Value>) -> Self {
        Struct { fields: members.into_iter().map(|(name, value)| (name, Value::from(value))).collect() }
    }
}

impl Timestamp {
    /// The given number of milliseconds since 1970-01-01T00:00:00Z.
    pub fn from_millis(millis: i64) -> Self {
        Self { seconds: millis.div_euclid(1000), nanos: (millis.rem_euclid(1000) * 1_000_000) as i32 }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, rounded down; the nearest representable for absurd values.
    pub fn millis(self) -> i64 {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanos.div_euclid(1_000_000)))
    }

    /// Reads RFC 3339, and the ISO 8601 forms that older agents send: a time without an offset counts as UTC.
    pub fn parse(text: &str) -> Option<Self> {
        const PARSER: DateTimeParser = DateTimeParser::new();
        let instant = PARSER.parse_timestamp(text).ok().or_else(|| {
            let local: civil::DateTime = PARSER.parse_datetime(text).ok()?;
            local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        })?;
        let nanos = instant.as_nanosecond();
        Some(Self {
            seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?,
            nanos: nanos.rem_euclid(1_000_000_000) as i32,
        })
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`. Times outside the years 1 to 9999, which protobuf
/// does not allow, print as the nearest time within.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const YEAR_1: i64 = -62_135_596_800_000;
        const YEAR_9999: i64 = 253_402_207_200_000;
        let instant =
            jiff::Timestamp::from_millisecond(self.millis().clamp(YEAR_1, YEAR_9999)).map_err(|_| fmt::Error)?;
        write!(f, "{instant:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not a time in RFC 3339 form, such as 2026-01-02T03:04:05Z"))
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self { seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), nanos: duration.subsec_nanos() as i32 }
    }
}

/// Fails for negative durations and for nanoseconds out of range.
impl TryFrom<Duration> for std::time::Duration {
    type Error = NegativeDuration;

    fn try_from(duration: Duration) -> Result<Self, NegativeDuration> {
        let seconds = u64::try_from(duration.seconds).map_err(|_| NegativeDuration)?;
        let nanos = u32::try_from(duration.nanos).map_err(|_| NegativeDuration)?;
        if nanos > 999_999_999 { Err(NegativeDuration) } else { Ok(Self::new(seconds, nanos)) }
    }
}

/// A duration below zero, or with nanoseconds out of range.
#[derive(Debug, thiserror::Error)]
#[error("must not be negative, and its nanos at most 999999999")]
pub struct NegativeDuration;

/// Seconds with an `s`: `1.500s`.
impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sign = if self.seconds < 0 || self.nanos < 0 { "-" } else { "" };
        let (seconds, nanos) = (self.seconds.unsigned_abs(), self.nanos.unsigned_abs());
        if nanos == 0 {
            serializer.collect_str(&format_args!("{sign}{seconds}s"))
        } else {
            serializer.collect_str(&format_args!("{sign}{seconds}.{nanos:09}s"))
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.strip_suffix('s').and_then(|number| {
            let negative = number.starts_with('-');
            let (whole, fraction) =
                number.trim_start_matches('-').split_once('.').unwrap_or((number.trim_start_matches('-'), ""));
            let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
            if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
                return None;
            }
            let seconds: i64 = whole.parse().ok()?;
            let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
            let sign = if negative { -1 } else { 1 };
            Some(Self { seconds: seconds * sign, nanos: nanos * sign as i32 })
        });
        parsed.ok_or_else(|| de::Error::custom("not a duration in seconds, such as 1.5s"))
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match &self.kind {
            None | Some(Kind::Null(_)) => serializer.serialize_unit(),
            Some(Kind::Number(n)) if n.fract() == 0.0 && n.abs() <= EXACT => serializer.serialize_i64(*n as i64),
            Some(Kind::Number(n)) => serializer.serialize_f64(*n),
            Some(Kind::String(s)) => serializer.serialize_str(s),
            Some(Kind::Bool(b)) => serializer.serialize_bool(*b),
            Some(Kind::Struct(s)) => s.serialize(serializer),
            Some(Kind::List(l)) => l.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_unit<E>(self) -> Result<Kind, E> {
                Ok(Kind::Null(0))
            }
            fn visit_none<E>(self) -> Result<Kind, E> {
                Ok(Kind::Null(0))
            }
            fn visit_bool<E>(self, v: bool) -> Result<Kind, E> {
                Ok(Kind::Bool(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Kind, E> {
                Ok(Kind::Number(v as f64))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Kind, E> {
                Ok(Kind::Number(v as f64))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Kind, E> {
                Ok(Kind::Number(v))
            }
            fn visit_str<E>(self, v: &str) -> Result<Kind, E> {
                Ok(Kind::String(v.to_owned()))
            }
            fn visit_string<E>(self, v: String) -> Result<Kind, E> {
                Ok(Kind::String(v))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Kind::List(ListValue { values }))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    fields.insert(name, value);
                }
                Ok(Kind::Struct(Struct { fields }))
            }
        }

        deserializer.deserialize_any(Any).map(|kind| Value { kind: Some(kind) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_print_without_a_fraction_and_values_round_trip() {
        let json = r#"{"a":[1,2.5,-3,null,true,"x",{"b":{}}],"big":1e300}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), json.replace("1e300", "1e+300"));
        assert_eq!(Value::from(serde_json::from_str::<serde_json::Value>(json).unwrap()), value);
    }

    #[test]
    fn times_are_read_in_every_usual_form_and_written_in_one() {
        for text in ["2026-01-02T03:04:05.678Z", "2026-01-02T04:04:05.678901+01:00", "2026-01-02T03:04:05.678"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), "2026-01-02T03:04:05.678Z", "{text}");
        }
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(-1).millis(), -1);
        assert_eq!(Timestamp { seconds: i64::MAX, nanos: 0 }.to_string(), "9999-12-30T22:00:00.000Z");
    }

    #[test]
    fn durations_round_trip() {
        for (text, seconds, nanos) in
            [("3s", 3, 0), ("1.500000000s", 1, 500_000_000), ("-0.250000000s", 0, -250_000_000)]
        {
            let duration: Duration = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            assert_eq!(duration, Duration { seconds, nanos });
            assert_eq!(serde_json::to_string(&duration).unwrap(), format!("\"{text}\""));
        }
        for text in ["3", "s", "1.s2", "1e3s"] {
            assert!(serde_json::from_str::<Duration>(&format!("\"{text}\"")).is_err(), "{text}");
        }
    }
}
