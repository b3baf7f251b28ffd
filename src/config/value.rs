//! One setting's value, and its reading as each kind of setting. Errors say what would be right: `must be …`.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// A value as its layer gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// From the environment or a flag: text that stands for any type.
    Text(String),
    /// A TOML string.
    String(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array without tables.
    List(Vec<Value>),
    /// An element of a TOML array of tables; its members are values of their own.
    Table,
    /// A TOML value of a type that no setting has: its name.
    Other(&'static str),
}

type Read<T> = Result<T, String>;

impl Value {
    /// Text as it was written.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of an array that has nothing else.
    pub(super) fn words(&self) -> Option<Vec<String>> {
        let Self::List(items) = self else { return None };
        items.iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    /// The elements of an array, or of text in which commas or white space part them.
    pub(super) fn items(&self) -> Option<Vec<Value>> {
        let parts = |text: &str| -> Vec<String> {
            let parts = text.split(|c: char| c == ',' || c.is_whitespace());
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        match self {
            Self::List(items) => Some(items.clone()),
            Self::Text(text) => Some(parts(text).into_iter().map(Self::Text).collect()),
            Self::String(text) => Some(parts(text).into_iter().map(Self::String).collect()),
            _ => None,
        }
    }

    /// As [`Value::items`], where all of them are texts.
    pub(super) fn list(&self) -> Option<Vec<String>> {
        Self::List(self.items()?).words()
    }

    /// A table.
    pub(super) fn table(&self) -> Read<()> {
        if *self == Self::Table { Ok(()) } else { Err("must be a table".to_owned()) }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Read<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| "must be true or false".to_owned())
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Integer(value) => u64::try_from(*value).ok(),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// An integer within bounds.
    pub(super) fn integer<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Read<T> {
        self.number()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("must be an integer {}", Bounds(&range, u64::to_string)))
    }

    /// As [`Value::integer`]; 0 means none.
    pub(super) fn integer_or_zero<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Read<Option<T>> {
        if self.number() == Some(0) { Ok(None) } else { self.integer(range).map(Some).map_err(or_zero) }
    }

    fn any_duration(&self) -> Option<Duration> {
        match self {
            Self::Integer(0) => Some(Duration::ZERO),
            _ => humantime::parse_duration(self.text()?).ok(),
        }
    }

    /// A duration within bounds.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Read<Duration> {
        self.any_duration().filter(|duration| range.contains(duration)).ok_or_else(|| {
            let bounds = Bounds(&range, |duration| humantime::format_duration(*duration).to_string());
            format!("must be a duration {bounds}, with its unit, such as \"1500ms\", \"30s\" or \"2h\"")
        })
    }

    /// As [`Value::duration`]; 0 means none.
    pub(super) fn duration_or_zero(&self, range: RangeInclusive<Duration>) -> Read<Option<Duration>> {
        match self.any_duration() {
            Some(Duration::ZERO) => Ok(None),
            _ => self.duration(range).map(Some).map_err(or_zero),
        }
    }

    fn any_size(&self) -> Option<u64> {
        self.number().or_else(|| parse_size(self.text()?))
    }

    /// A number of bytes within bounds.
    pub(super) fn size<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Read<T> {
        self.any_size().filter(|size| range.contains(size)).and_then(|size| T::try_from(size).ok()).ok_or_else(|| {
            format!("must be a size {}, such as 65536, \"512KiB\" or \"4MiB\"", Bounds(&range, format_size))
        })
    }

    /// As [`Value::size`]; 0 means none.
    pub(super) fn size_or_zero(&self, range: RangeInclusive<u64>) -> Read<Option<u64>> {
        if self.any_size() == Some(0) { Ok(None) } else { self.size(range).map(Some).map_err(or_zero) }
    }

    /// An IP address and port. `localhost` stands for 127.0.0.1.
    pub(super) fn address(&self) -> Read<SocketAddr> {
        let local = |text: &str| text.strip_prefix("localhost:")?.parse().ok().map(|port| (Ipv4Addr::LOCALHOST, port));
        self.text().and_then(|text| text.parse().ok().or_else(|| local(text).map(SocketAddr::from))).ok_or_else(|| {
            "must be an IP address and port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080".to_owned()
        })
    }

    /// An http or https URL to build others on; empty text means none. A slash at its end is dropped.
    pub(super) fn base_url(&self) -> Read<Option<String>> {
        let text = self.text().ok_or("must be text: a URL, or \"\"")?;
        if text.is_empty() {
            return Ok(None);
        }
        let good = text.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && uri.query().is_none()
                && !text.contains('#')
        });
        let error = "must be a URL such as https://agents.example.com, without user, query and fragment, or \"\"";
        if good { Ok(Some(text.trim_end_matches('/').to_owned())) } else { Err(error.to_owned()) }
    }

    /// Where a gRPC client connects: `HOST:PORT`, or a URL of that; or none.
    pub(super) fn grpc_url(&self) -> Read<Option<String>> {
        let error = "must be HOST:PORT such as agents.example.com:443, a URL of these, or \"\"";
        let text = self.text().ok_or(error)?;
        if text.is_empty() {
            return Ok(None);
        }
        let place = match text.split_once("://") {
            Some(("http" | "https" | "grpc" | "grpcs", place)) => place,
            Some(_) => return Err(error.to_owned()),
            None => text,
        };
        let authority = place
            .parse::<http::uri::Authority>()
            .ok()
            .filter(|authority| !place.contains('@') && !authority.host().is_empty());
        match authority.and_then(|authority| authority.port_u16()) {
            Some(_) => Ok(Some(text.to_owned())),
            None => Err(error.to_owned()),
        }
    }

    /// Origins of web pages, as browsers write them, or `*`; perhaps none.
    pub(super) fn origins(&self) -> Read<Vec<String>> {
        let error = "must be a list of origins such as \"https://app.example.com\", or \"*\" for all";
        self.list().and_then(|items| items.iter().map(|item| origin(item)).collect()).ok_or_else(|| error.to_owned())
    }

    /// A path that is not empty.
    pub(super) fn path(&self) -> Read<PathBuf> {
        self.text()
            .filter(|text| !text.is_empty() && !text.contains('\0'))
            .map(PathBuf::from)
            .ok_or_else(|| "must be a path".to_owned())
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Read<T> {
        choices.iter().find(|(word, _)| self.text() == Some(word)).map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            format!("must be one of {}", words.join(", "))
        })
    }

    /// A log filter. Bare words must be levels: `EnvFilter` would take a misspelt level for the name of a module and
    /// log nothing.
    pub(super) fn log_filter(&self) -> Read<String> {
        let level = |word: &str| word.contains(['=', '[']) || (!word.is_empty() && word.parse::<LevelFilter>().is_ok());
        self.text()
            .filter(|text| text.split(',').all(|word| level(word.trim())) && EnvFilter::builder().parse(text).is_ok())
            .map(str::to_owned)
            .ok_or_else(|| {
                "must be off, error, warn, info, debug or trace, or a list such as \"info,a2a_gateway::store=debug\""
                    .to_owned()
            })
    }
}

/// An origin as browsers write it: in lower case, without its scheme's own port.
fn origin(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.to_owned());
    }
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let origin = url.origin().ascii_serialization();
    // A slash at the end is a path that says nothing; all else is no part of an origin.
    (url.as_str().trim_end_matches('/') == origin).then_some(origin)
}

/// The value as it was written; long text is cut.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::String(text) if text.chars().count() > 60 => {
                write!(f, "{:?}…", text.chars().take(60).collect::<String>())
            }
            Self::Text(text) | Self::String(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::List(_) => f.write_str("a TOML array"),
            Self::Table => f.write_str("a TOML table"),
            Self::Other(kind) => write!(f, "a TOML {kind}"),
        }
    }
}

fn or_zero(error: String) -> String {
    format!("{error}, or \"0\" for none")
}

/// Displays a range as `from A to B`, leaving an astronomical end out.
struct Bounds<'a, T>(&'a RangeInclusive<T>, fn(&T) -> String);

impl<T: PartialOrd + FarEnd> fmt::Display for Bounds<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(range, show) = self;
        write!(f, "from {}", show(range.start()))?;
        if range.end().is_far() { f.write_str(" up") } else { write!(f, " to {}", show(range.end())) }
    }
}

/// Bounds that only keep arithmetic from overflowing, and that nobody wants to read.
trait FarEnd {
    fn is_far(&self) -> bool;
}

impl FarEnd for u64 {
    fn is_far(&self) -> bool {
        *self >= i64::MAX as u64
    }
}

impl FarEnd for Duration {
    fn is_far(&self) -> bool {
        self.as_secs() >= 100 * 365 * 24 * 3600
    }
}

/// Units of sizes, largest first within a base so that formatting finds the largest that divides.
const UNITS: [(&str, u64); 10] = [
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
    ("", 1),
];

/// Reads `4MiB`, `16 kb`, `100`: a whole number and a unit in any case. None for anything else, or above 2^64.
fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn format_size(size: &u64) -> String {
    let names = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = names.iter().find(|(_, bits)| *size != 0 && size.trailing_zeros() >= *bits);
    unit.map_or_else(|| size.to_string(), |(name, bits)| format!("{}{name}", size >> bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn sizes_are_read_in_both_bases_and_any_case() {
        for (input, bytes) in [("0", 0), ("100", 100), ("4MiB", 4 << 20), ("16 kb", 16_000), ("2Gb", 2_000_000_000)] {
            assert_eq!(parse_size(input), Some(bytes), "{input}");
        }
        for input in ["", "MiB", "4.5MiB", "-1", "4 M", "4MiBs", "99999999999TiB", "4MiB "] {
            assert_eq!(parse_size(input), None, "{input}");
        }
        assert_eq!([0, 1024, 1025, 256 << 20].map(|size| format_size(&size)), ["0", "1KiB", "1025", "256MiB"]);
    }

    #[test]
    fn durations_need_a_unit_and_zero_means_none_only_where_asked() {
        let range = Duration::from_secs(1)..=Duration::from_secs(60);
        assert_eq!(text("1m").duration(range.clone()), Ok(Duration::from_secs(60)));
        assert_eq!(text("0").duration_or_zero(range.clone()), Ok(None));
        assert_eq!(Value::Integer(0).duration_or_zero(range.clone()), Ok(None));
        for bad in [text("0"), text("61s"), text("5"), text("x"), Value::Integer(5), Value::Boolean(true)] {
            let error = bad.duration(range.clone()).unwrap_err();
            assert!(error.starts_with("must be a duration from 1s to 1m, with its unit"), "{error}");
        }
        assert!(text("61s").duration_or_zero(range).unwrap_err().ends_with("or \"0\" for none"));
    }

    #[test]
    fn integers_have_bounds_and_toml_text_is_no_integer() {
        assert_eq!(text("64").integer::<u32>(1..=64), Ok(64));
        for bad in [text("65"), text("0"), text("-1"), text("x"), Value::Integer(-1), Value::String("3".into())] {
            assert_eq!(bad.integer::<u32>(1..=64), Err("must be an integer from 1 to 64".to_owned()), "{bad}");
        }
        let open = Value::Integer(5).integer_or_zero::<u64>(100..=i64::MAX as u64).unwrap_err();
        assert_eq!(open, "must be an integer from 100 up, or \"0\" for none");
    }

    #[test]
    fn origins_are_those_that_browsers_send() {
        for (written, read) in [
            ("", &[][..]),
            ("*", &["*"]),
            ("https://app.example.com", &["https://app.example.com"]),
            (
                "HTTPS://App.example.com:443/, http://localhost:5173",
                &["https://app.example.com", "http://localhost:5173"],
            ),
        ] {
            assert_eq!(text(written).origins().unwrap(), read, "{written}");
        }
        for wrong in
            ["app.example.com", "ftp://a.test", "https://a.test/path", "https://u@a.test", "https://a.test?q", "null"]
        {
            assert!(text(wrong).origins().is_err(), "{wrong}");
        }
        assert!(Value::List(vec![Value::Integer(1)]).origins().is_err());
    }

    #[test]
    fn addresses_urls_and_filters_are_checked() {
        assert_eq!(text("localhost:80").address(), Ok(([127, 0, 0, 1], 80).into()));
        assert!(text("[::]:0").address().is_ok());
        for bad in ["8080", ":8080", "localhost", "example.com:80", "127.0.0.1:65536"] {
            assert!(text(bad).address().is_err(), "{bad}");
        }
        assert_eq!(text("https://a.example/x/").base_url(), Ok(Some("https://a.example/x".to_owned())));
        assert_eq!(text("").base_url(), Ok(None));
        for bad in ["a.example", "ftp://a.example", "https://u@a.example", "https://a.example?x", "http://a.example/#x"]
        {
            assert!(text(bad).base_url().is_err(), "{bad}");
        }
        for good in ["a.example:443", "[::1]:8080", "https://a.example:443", "grpc://127.0.0.1:80"] {
            assert_eq!(text(good).grpc_url(), Ok(Some(good.to_owned())));
        }
        assert_eq!(text("").grpc_url(), Ok(None));
        for bad in
            ["a.example", ":443", "a.example:443/x", "u@a.example:443", "dns://a.example:443", "https://a.example"]
        {
            assert!(text(bad).grpc_url().is_err(), "{bad}");
        }
        assert!(text("warn,a2a_gateway::store=debug,tower[span]=info").log_filter().is_ok());
        for bad in ["", "inof", "info,a2a=loud", "info,"] {
            assert!(text(bad).log_filter().is_err(), "{bad}");
        }
    }
}
