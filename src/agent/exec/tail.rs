//! The end of what a command writes to standard error: what tells a person why it failed.

use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::sync::CancellationToken;

use super::output::QUIET;

/// The most that is shown, in bytes.
const SHOWN: usize = 2 << 10;
/// The most that is kept: more than is shown, as characters that are removed do not count.
const KEPT: usize = 2 * SHOWN;

/// The end of a command's standard error.
#[derive(Debug)]
pub(super) struct Tail {
    /// For the log.
    task_id: String,
    bytes: Mutex<Vec<u8>>,
    ended: CancellationToken,
}

impl Tail {
    /// Nothing yet.
    pub fn new(task_id: String) -> Self {
        Self { task_id, bytes: Mutex::default(), ended: CancellationToken::new() }
    }

    /// Reads all there is, keeps its end, and writes it to the log.
    pub async fn follow(&self, mut from: impl AsyncRead + Unpin) {
        let _ended = self.ended.clone().drop_guard();
        let mut buffer = vec![0; KEPT];
        loop {
            match from.read(&mut buffer).await {
                Ok(0) => return,
                Ok(n) => self.add(&buffer[..n]),
                Err(error) => return tracing::debug!(task = self.task_id, %error, "standard error cannot be read"),
            }
        }
    }

    /// There is nothing to follow.
    pub fn end(&self) {
        self.ended.cancel();
    }

    fn add(&self, read: &[u8]) {
        tracing::debug!(task = self.task_id, stderr = clean(read).trim_end(), "a command says");
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(read);
        let excess = bytes.len().saturating_sub(KEPT);
        bytes.drain(..excess);
    }

    /// The last lines of what a command that has ended wrote, at most 2 KiB. Waits a little while, as what it wrote last
    /// may still be on its way.
    pub async fn text(&self) -> String {
        let _ = tokio::time::timeout(QUIET, self.ended.cancelled()).await;
        last_lines(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The last lines, at most [`SHOWN`] bytes; of a line that is longer, its end.
fn last_lines(bytes: &[u8]) -> String {
    let text = clean(bytes);
    let text = text.trim();
    if text.len() <= SHOWN && bytes.len() < KEPT {
        return text.to_owned();
    }
    let start = text.len().saturating_sub(SHOWN);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let end = &text[start..];
    end.split_once('\n').map_or(end, |(_, whole)| whole).to_owned()
}

/// Text without control characters but newlines. Tabs become blanks.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = text.chars().map(|c| if c == '\t' { ' ' } else { c });
    shown.filter(|c| *c == '\n' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_short_is_shown_whole_and_clean() {
        let tail = Tail::new(String::new());
        tail.follow(&b"\x1b[31mno\tpaper\x07\r\nat all \xff\n\n"[..]).await;
        assert_eq!(tail.text().await, "[31mno paper\nat all \u{fffd}");
    }

    #[tokio::test]
    async fn of_what_is_long_the_last_whole_lines_are_shown() {
        let tail = Tail::new(String::new());
        let lines: String = (0..10_000).map(|i| format!("line {i} ä\n")).collect();
        tail.follow(lines.as_bytes()).await;
        let text = tail.text().await;
        assert!(text.len() <= SHOWN && text.len() > SHOWN - 20, "{}", text.len());
        assert!(text.starts_with("line 9"), "{text}");
        assert!(text.ends_with("line 9999 ä"), "{text}");
        assert!(tail.bytes.lock().unwrap().len() <= KEPT);
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut_between_characters() {
        let tail = Tail::new(String::new());
        tail.follow("xä".repeat(5_000).as_bytes()).await;
        let text = tail.text().await;
        assert!(text.len() <= SHOWN && text.len() >= SHOWN - 1, "{}", text.len());
        assert!(!text.contains('\u{fffd}'), "{text}");
    }
}
