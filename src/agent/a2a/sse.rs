//! Reading Server-Sent Events, piece by piece, as the WHATWG HTML standard says (section 9.2.6).
//!
//! Pieces may end anywhere, also within a line's end or a character. Memory is bounded by the limit for one event.
//! `id` and `retry` are read over: A2A defines no use of them for clients.

use std::collections::VecDeque;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Empty: it has none.
    pub name: String,
    /// Its `data` lines, joined with LF.
    pub data: String,
}

/// An event is larger than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// A stream that has not ended. After an error it gives nothing more.
#[derive(Debug)]
pub(super) struct Parser {
    limit: usize,
    /// The line that has not ended.
    line: Vec<u8>,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
    first_line: bool,
    name: String,
    /// Each `data` line with a LF behind it.
    data: Vec<u8>,
    failed: bool,
}

impl Parser {
    /// `limit`: bytes of one event.
    pub(super) fn new(limit: usize) -> Self {
        let (line, data, name) = (Vec::new(), Vec::new(), String::new());
        Self { limit, line, after_cr: false, first_line: true, name, data, failed: false }
    }

    /// Takes the next piece; adds the events that it completes to `ready`. What is incomplete when the stream ends is
    /// no event.
    pub(super) fn push(&mut self, mut bytes: &[u8], ready: &mut VecDeque<Event>) -> Result<(), TooLarge> {
        while !bytes.is_empty() && !self.failed {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + self.data.len() + piece.len() > self.limit {
                self.failed = true;
                break;
            }
            let Some(end) = end else {
                self.line.extend_from_slice(piece);
                break;
            };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if self.line.is_empty() {
                ready.extend(self.end_line(piece));
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(piece);
                ready.extend(self.end_line(&line));
            }
        }
        if self.failed { Err(TooLarge) } else { Ok(()) }
    }

    fn end_line(&mut self, line: &[u8]) -> Option<Event> {
        let first = std::mem::take(&mut self.first_line);
        let line = if first { line.strip_prefix(BOM).unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            // A comment, an id, a retry time, or a field of a later standard.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        // Without a data line there is no event.
        data.pop()?;
        let data = String::from_utf8(data).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned());
        Some(Event { name, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::new(1000);
        let mut ready = VecDeque::new();
        for piece in pieces {
            parser.push(piece, &mut ready).unwrap();
        }
        ready.into_iter().map(|event| (event.name, event.data)).collect()
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        for (stream, expected) in [
            ("data: a\n\n", &[("", "a")] as &[_]),
            ("data:a\r\rdata:  b\r\n\r\n", &[("", "a"), ("", " b")]),
            ("data: {\ndata:  1\ndata: }\n\n", &[("", "{\n 1\n}")]),
            ("event: task.status\ndata: {}\n\ndata: x\n\n", &[("task.status", "{}"), ("", "x")]),
            (": ping\n\n: ping\ndata: a\n\n:\n", &[("", "a")]),
            ("id: 7\nretry: 10\nnonsense\nother: 1\ndata: a:b\n\n", &[("", "a:b")]),
            ("id: 7\n\nevent: x\n\ndata: a\n\n", &[("", "a")]),
            ("data\n\ndata\ndata\n\ndata:\n\n", &[("", ""), ("", "\n"), ("", "")]),
            ("\u{feff}data: a\n\n\u{feff}data: b\n\n", &[("", "a")]),
            ("\n\n\r\n\rdata: a\n\n", &[("", "a")]),
            ("data: a\n\ndata: cut off\n", &[("", "a")]),
            ("event: a\nevent: b\ndata: 1\n\n", &[("b", "1")]),
            ("Data: a\n data: b\n\n", &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(name, data)| (name.to_string(), data.to_string())).collect();
            assert_eq!(parse(&[stream.as_bytes()]), expected, "{stream:?}");
        }
        let broken = b"data: a\xffb\n\n";
        assert_eq!(parse(&[broken]), [(String::new(), "a\u{fffd}b".to_owned())]);
    }

    #[test]
    fn an_event_that_is_too_large_ends_the_stream() {
        for large in ["data: 123456\n\n", "data: 12\ndata: 345\n\n", ": a long comment\n", "event: too long\n\n"] {
            let mut parser = Parser::new(10);
            let mut ready = VecDeque::new();
            assert_eq!(parser.push(b"data: 1234\n\ndata: 5\n\n", &mut ready), Ok(()));
            assert_eq!(ready.len(), 2, "the limit is for one event");
            let pushed: Vec<_> = large.bytes().map(|byte| parser.push(&[byte], &mut ready)).collect();
            assert_eq!(pushed.last(), Some(&Err(TooLarge)), "{large:?}");
            assert_eq!(parser.push(b"data: 1\n\n", &mut ready), Err(TooLarge));
            assert_eq!(ready.len(), 2);
            assert!(parser.line.len() + parser.data.len() <= 10);
        }
    }

    fn line() -> impl Strategy<Value = String> {
        let field = prop_oneof![Just("data"), Just("event"), Just("id"), Just(""), Just("retry"), Just("\u{feff}data")];
        let colon = prop_oneof![Just(":"), Just(": "), Just("")];
        let end = prop_oneof![Just("\n"), Just("\r"), Just("\r\n"), Just("\n\n"), Just("\r\r"), Just("\r\n\r\n")];
        (field, colon, "[a-zä€😀: ]{0,5}", end)
            .prop_map(|(field, colon, value, end)| format!("{field}{colon}{value}{end}"))
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            lines in prop::collection::vec(line(), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let stream = lines.concat().into_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([stream.len()]) {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            let whole = parse(&[&stream]);
            prop_assert_eq!(parse(&pieces), whole.clone());
            let bytes: Vec<_> = stream.chunks(1).collect();
            prop_assert_eq!(parse(&bytes), whole);
        }
    }
}
