//! The form of messages: the sender, then words, parted by spaces.

use crate::task::{TaskId, WebhookId};

/// One thing that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A task has moved: its newest sequence, and its epoch.
    Moved { task: TaskId, head: u64, epoch: u64 },
    /// Something was asked of the process that works on a task.
    Asked,
    /// The sender has come.
    Hello,
    /// Attempts of a webhook are to end; who has none left says so.
    Stop { webhook: WebhookId, question: u64 },
    /// They have, as `of` asked.
    Stopped { question: u64, of: i64 },
}

impl Word {
    fn write(&self, into: &mut String) {
        use std::fmt::Write as _;
        // Writing to a string does not fail.
        let _ = match self {
            Self::Moved { task, head, epoch } => write!(into, " t{}.{head:x}.{epoch:x}", hex(task.to_bytes())),
            Self::Asked => write!(into, " a"),
            Self::Hello => write!(into, " h"),
            Self::Stop { webhook, question } => write!(into, " w{}.{question:x}", hex(webhook.to_bytes())),
            Self::Stopped { question, of } => write!(into, " k{question:x}.{of:x}"),
        };
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(1)?;
        let mut fields = rest.split('.');
        let number = |text: Option<&str>| u64::from_str_radix(text?, 16).ok();
        match kind {
            "t" => {
                let task = TaskId::from_bytes(bytes(fields.next()?)?);
                Some(Self::Moved { task, head: number(fields.next())?, epoch: number(fields.next())? })
            }
            "a" => Some(Self::Asked),
            "h" => Some(Self::Hello),
            "w" => {
                let webhook = WebhookId::from_bytes(bytes(fields.next()?)?);
                Some(Self::Stop { webhook, question: number(fields.next())? })
            }
            "k" => Some(Self::Stopped {
                question: number(fields.next())?,
                of: i64::try_from(number(fields.next())?).ok()?,
            }),
            _ => None,
        }
    }
}

/// Messages of at most so many bytes that say all of this.
pub fn messages(sender: i64, words: &[Word], longest: usize) -> Vec<String> {
    let begin = || format!("{sender:x}");
    let mut messages = Vec::new();
    let mut message = begin();
    for word in words {
        let before = message.len();
        word.write(&mut message);
        if message.len() > longest {
            let rest = message.split_off(before);
            messages.push(std::mem::replace(&mut message, begin()));
            message.push_str(&rest);
        }
    }
    if !words.is_empty() {
        messages.push(message);
    }
    messages
}

/// Who says what. What is not understood, a newer gateway's word, is left out.
pub fn read(message: &str) -> Option<(i64, Vec<Word>)> {
    let (sender, words) = message.split_once(' ')?;
    Some((i64::from_str_radix(sender, 16).ok()?, words.split(' ').filter_map(Word::read).collect()))
}

fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

fn bytes(text: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let words = [
            Word::Moved { task: TaskId::mint(), head: u64::MAX, epoch: 7 },
            Word::Asked,
            Word::Hello,
            Word::Stop { webhook: WebhookId::mint(), question: 0 },
            Word::Stopped { question: 3, of: 9 },
        ];
        let [message] = &messages(77, &words, 1000)[..] else { panic!("one message") };
        assert_eq!(read(message), Some((77, words.to_vec())));
        assert_eq!(messages(77, &[], 1000), Vec::<String>::new());
        assert_eq!(read("4d x1 a t0.1"), Some((77, vec![Word::Asked])), "what is not understood is left out");
        assert_eq!(read(""), None);
        assert_eq!(read("zz a"), None);
    }

    #[test]
    fn messages_are_no_longer_than_they_may_be_and_lose_nothing() {
        let words: Vec<_> = (0..1000).map(|head| Word::Moved { task: TaskId::mint(), head, epoch: head }).collect();
        let messages = messages(1, &words, 300);
        assert!(messages.len() > 100 && messages.iter().all(|message| message.len() <= 300));
        let heard: Vec<_> = messages.iter().flat_map(|message| read(message).unwrap().1).collect();
        assert_eq!(heard, words);
    }
}
