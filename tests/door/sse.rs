//! A parser of Server-Sent Events that insists on the framing the gateway promises: LF only, one `data:` line per event,
//! keep-alives that are one comment line and no empty line, nothing left over at the end.

/// One event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: Option<String>,
}

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    frame: Frame,
    /// Keep-alives seen.
    pub pings: usize,
}

impl Parser {
    /// Takes the next piece; gives the events that are complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = String::from_utf8(std::mem::take(&mut self.line)).unwrap();
                    frames.extend(self.line(&line));
                }
                b'\r' => panic!("a CR"),
                byte => self.line.push(*byte),
            }
        }
        frames
    }

    fn line(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            assert!(self.frame.data.is_some(), "an empty line that ends no event");
            return Some(std::mem::take(&mut self.frame));
        }
        if line == ": ping" {
            assert_eq!(self.frame, Frame::default(), "a keep-alive within an event");
            self.pings += 1;
            return None;
        }
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("not a field: {line}"));
        let field = match name {
            "id" => &mut self.frame.id,
            "event" => &mut self.frame.event,
            "data" => &mut self.frame.data,
            _ => panic!("an unknown field: {line}"),
        };
        assert!(field.replace(value.to_owned()).is_none(), "{name} twice in an event");
        None
    }

    /// Checks that the stream ended after an event.
    pub fn finish(&self) {
        assert!(self.line.is_empty() && self.frame == Frame::default(), "cut off: {self:?}");
    }
}
