//! A command's standard output, in chunks.
//!
//! A chunk is what is there to read, at most 64 KiB. It is held for a few milliseconds, so that lines that are written one
//! by one in a row make one chunk, and the end that usually follows the last line makes no chunk of its own.

use std::time::Duration;

use bytes::{BufMut as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{Output, keeper::Exit};
use crate::proto::a2a::part::Content;

/// The largest chunk, in bytes.
pub(super) const CHUNK: usize = 64 << 10;
/// How long a chunk is held.
const HOLD: Duration = Duration::from_millis(5);
/// How long a pipe is silent, after the program has ended, to count as ended too: a process that it left behind may hold
/// it open.
pub(super) const QUIET: Duration = Duration::from_millis(250);
/// How long a pipe that is not silent is listened to after the program has ended.
const LINGER: Duration = Duration::from_secs(5);

/// Reads a command's output.
#[derive(Debug)]
pub(super) struct Reader<R> {
    pipe: R,
    output: Output,
    /// Read and not handed on yet.
    held: Vec<u8>,
    /// How many bytes may still come.
    room: usize,
    /// Set when the program has ended: how long to listen on.
    until: Option<Instant>,
}

/// A piece of output.
#[derive(Debug, PartialEq)]
pub(super) struct Chunk {
    /// None: only the end.
    pub content: Option<Content>,
    /// Set on the last chunk.
    pub end: Option<End>,
}

/// Why there is no more output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The command has closed it, or has ended and is silent.
    Closed,
    /// It is more than is allowed.
    Over,
}

enum Got {
    Data,
    End(End),
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads at most `max` bytes.
    pub fn new(pipe: R, output: Output, max: usize) -> Self {
        Self { pipe, output, held: Vec::new(), room: max, until: None }
    }

    /// The pipe; what was read is lost.
    pub fn into_inner(self) -> R {
        self.pipe
    }

    /// The next chunk; not to be called after the last one.
    pub async fn next(&mut self, exit: &mut watch::Receiver<Option<Exit>>) -> Chunk {
        let mut hold = None;
        loop {
            let got = match hold {
                _ if self.held.len() >= CHUNK => None,
                None => Some(self.read(exit).await),
                Some(hold) => timeout_at(hold, self.read(exit)).await.ok(),
            };
            match got {
                Some(Got::Data) => {
                    hold.get_or_insert_with(|| Instant::now() + HOLD);
                }
                Some(Got::End(end)) => {
                    return Chunk { content: self.take(end == End::Closed), end: Some(end) };
                }
                // Nothing may be there to take: a part of a character must wait for its rest.
                None => match self.take(false) {
                    Some(content) => return Chunk { content: Some(content), end: None },
                    None => hold = None,
                },
            }
        }
    }

    /// Reads what is there. Nothing is lost when it is dropped.
    async fn read(&mut self, exit: &mut watch::Receiver<Option<Exit>>) -> Got {
        let before = self.held.len();
        let mut buffer = (&mut self.held).limit(CHUNK - before);
        let read = loop {
            let Some(until) = self.until else {
                tokio::select! {
                    biased;
                    read = self.pipe.read_buf(&mut buffer) => break read,
                    // An error means that nobody will tell of the exit any more, which is as good as one.
                    _ = exit.wait_for(Option::is_some) => self.until = Some(Instant::now() + LINGER),
                }
                continue;
            };
            let quiet = QUIET.min(until.saturating_duration_since(Instant::now()));
            break timeout(quiet, self.pipe.read_buf(&mut buffer)).await.unwrap_or(Ok(0));
        };
        let read = read.unwrap_or_else(|error| {
            tracing::debug!(%error, "standard output cannot be read");
            0
        });
        if read == 0 {
            return Got::End(End::Closed);
        }
        if read > self.room {
            self.held.truncate(before + self.room);
            self.room = 0;
            return Got::End(End::Over);
        }
        self.room -= read;
        Got::Data
    }

    /// Takes what is held; without `all`, a character that is not whole yet stays.
    fn take(&mut self, all: bool) -> Option<Content> {
        let size = match self.output {
            Output::Text if !all => whole(&self.held),
            Output::Text | Output::Raw => self.held.len(),
        };
        if size == 0 {
            return None;
        }
        // Copied to the size it has: chunks are kept with their task, the room of the buffer should not be.
        let taken = &self.held[..size];
        let content = match self.output {
            Output::Text => Content::Text(String::from_utf8_lossy(taken).into_owned()),
            Output::Raw => Content::Raw(Bytes::copy_from_slice(taken)),
        };
        self.held.drain(..size);
        Some(content)
    }
}

/// How many bytes come before a character at the end that is not whole yet.
fn whole(bytes: &[u8]) -> usize {
    // A character has at most four bytes, so that one of the last three starts one that is not whole.
    let starts = (bytes.len().saturating_sub(3)..bytes.len()).rev();
    let is_start = |at: &usize| match std::str::from_utf8(&bytes[*at..]) {
        Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
        Ok(_) => false,
    };
    starts.into_iter().find(is_start).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn text(text: &str) -> Option<Content> {
        Some(Content::Text(text.into()))
    }

    #[test]
    fn only_a_character_that_may_become_whole_waits() {
        let euro = "€".as_bytes();
        let key = "🔑".as_bytes();
        assert_eq!(whole(b""), 0);
        assert_eq!(whole(b"ab"), 2);
        assert_eq!(whole(euro), 3);
        assert_eq!(whole(&[b"a", &euro[..1]].concat()), 1);
        assert_eq!(whole(&[b"a", &euro[..2]].concat()), 1);
        assert_eq!(whole(&[b"ab", &key[..3]].concat()), 2);
        assert_eq!(whole(&key[..3]), 0);
        assert_eq!(whole(b"a\xff"), 2, "never a character");
        assert_eq!(whole(b"\xe2a"), 2, "never a character");
        assert_eq!(whole(b"a\x82\x82\x82"), 4, "never a character");
    }

    #[tokio::test(start_paused = true)]
    async fn a_character_that_comes_in_pieces_is_handed_on_whole() {
        let (mut write, read) = tokio::io::duplex(16);
        let (_told, mut exit) = watch::channel(None);
        let mut reader = Reader::new(read, Output::Text, 100);
        write.write_all(b"a\xe2").await.unwrap();
        assert_eq!(reader.next(&mut exit).await, Chunk { content: text("a"), end: None });
        write.write_all(b"\x82").await.unwrap();
        assert!(timeout(HOLD * 2, reader.next(&mut exit)).await.is_err(), "not whole yet");
        write.write_all(b"\xacb\xe2").await.unwrap();
        assert_eq!(reader.next(&mut exit).await, Chunk { content: text("€b"), end: None });
        drop(write);
        assert_eq!(reader.next(&mut exit).await, Chunk { content: text("\u{fffd}"), end: Some(End::Closed) });
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_in_a_row_is_one_chunk_with_its_end() {
        let (mut write, read) = tokio::io::duplex(2);
        let (_told, mut exit) = watch::channel(None);
        let mut reader = Reader::new(read, Output::Raw, 6);
        let writer = tokio::spawn(async move { write.write_all(b"abc\xffef").await });
        let content = Some(Content::Raw(Bytes::from_static(b"abc\xffef")));
        assert_eq!(reader.next(&mut exit).await, Chunk { content, end: Some(End::Closed) });
        writer.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn not_a_byte_more_than_allowed_is_handed_on() {
        let (_told, mut exit) = watch::channel(None);
        let mut reader = Reader::new(&b"a\xe2\x82\xac"[..], Output::Text, 3);
        assert_eq!(reader.next(&mut exit).await, Chunk { content: text("a"), end: Some(End::Over) });
        let mut reader = Reader::new(&b"a\xe2\x82\xac"[..], Output::Text, 4);
        assert_eq!(reader.next(&mut exit).await, Chunk { content: text("a€"), end: Some(End::Closed) });
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_that_stays_open_ends_when_the_program_has_and_it_is_silent() {
        let (mut write, read) = tokio::io::duplex(16);
        let (told, mut exit) = watch::channel(None);
        let mut reader = Reader::new(read, Output::Text, 100);
        assert!(timeout(QUIET * 10, reader.next(&mut exit)).await.is_err(), "the program runs");
        told.send_replace(Some(Exit { status: None, overdue: false }));
        let start = Instant::now();
        write.write_all(b"late").await.unwrap();
        assert_eq!(reader.next(&mut exit).await, Chunk { content: text("late"), end: None });
        assert_eq!(reader.next(&mut exit).await, Chunk { content: None, end: Some(End::Closed) });
        assert!(start.elapsed() >= QUIET && start.elapsed() < QUIET * 2, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_that_is_never_silent_ends_too() {
        let (mut write, read) = tokio::io::duplex(16);
        let (told, mut exit) = watch::channel(None);
        told.send_replace(Some(Exit { status: None, overdue: false }));
        let chatter = tokio::spawn(async move {
            while write.write_all(b".").await.is_ok() {
                tokio::time::sleep(QUIET / 2).await;
            }
        });
        let mut reader = Reader::new(read, Output::Text, 1000);
        let start = Instant::now();
        while reader.next(&mut exit).await.end.is_none() {}
        assert!(start.elapsed() >= LINGER && start.elapsed() < LINGER + QUIET, "{:?}", start.elapsed());
        drop(reader);
        chatter.await.unwrap();
    }
}
