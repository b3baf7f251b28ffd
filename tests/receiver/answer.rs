//! What a request is answered: how it is scripted, and how it is put on the connection.

use std::{fmt::Write as _, io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};

/// A pause of `Answer::Trickle` and `Answer::Endless`.
const PAUSE: Duration = Duration::from_millis(20);

/// What a request is answered.
pub enum Answer {
    /// As HTTP has it; the connection stays open.
    Reply(Reply),
    /// Nothing: the connection is reset.
    Reset,
    /// The head of a reply and a part of the promised body; then the connection is reset.
    ResetAfter(u16),
    /// Nothing; the connection stays open until the sender closes it.
    Silence,
    /// These bytes, one after the other with pauses; then silence.
    Trickle(&'static [u8]),
    /// These bytes, and then a body that does not end, as fast as it is read.
    Endless(&'static [u8]),
    /// Once the gate is open.
    When(Gate, Box<Self>),
    /// And then this, at once.
    Then(Box<Self>, Box<dyn FnOnce() + Send>),
}

/// An answer as HTTP has it.
pub struct Reply {
    status: u16,
    headers: String,
    body: &'static str,
}

impl Answer {
    /// A status without more.
    pub fn status(status: u16) -> Self {
        Self::reply(status, &[], "")
    }

    /// A status, headers and a body.
    pub fn reply(status: u16, headers: &[(&str, &str)], body: &'static str) -> Self {
        let headers = headers.iter().fold(String::new(), |mut text, (name, value)| {
            write!(text, "{name}: {value}\r\n").unwrap();
            text
        });
        Self::Reply(Reply { status, headers, body })
    }
}

/// Holds answers back until it is opened.
#[derive(Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed one.
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }
}

/// What came of answering.
pub(super) enum Answered {
    /// All of it was handed to the connection, which goes on.
    Whole(u16),
    /// A status and not all of the body; the connection is to be closed.
    Part(u16),
    /// The connection is to be closed, or is already.
    Over,
}

/// Puts an answer on a connection. `Err`: the connection has ended.
pub(super) async fn give(answer: Answer, stream: &mut TcpStream) -> io::Result<Answered> {
    match answer {
        Answer::Reply(Reply { status, headers, body }) => {
            let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
            let text = format!("HTTP/1.1 {status} X\r\n{length}{headers}\r\n{body}");
            stream.write_all(text.as_bytes()).await?;
            Ok(Answered::Whole(status))
        }
        Answer::Reset => {
            stream.set_zero_linger()?;
            Ok(Answered::Over)
        }
        Answer::ResetAfter(status) => {
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 100\r\n\r\na part");
            stream.write_all(text.as_bytes()).await?;
            // A reset throws away what has not been read yet: it must come after the part.
            tokio::time::sleep(PAUSE * 5).await;
            stream.set_zero_linger()?;
            Ok(Answered::Part(status))
        }
        Answer::Silence => closed(stream).await,
        Answer::Trickle(bytes) => {
            for byte in bytes {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(PAUSE).await;
            }
            closed(stream).await
        }
        Answer::Endless(head) => {
            stream.write_all(head).await?;
            loop {
                stream.write_all(&[b'x'; 1024]).await?;
            }
        }
        Answer::When(gate, answer) => {
            let mut opened = gate.0.subscribe();
            let mut byte = [0];
            let is_open = tokio::select! {
                opened = opened.wait_for(|open| *open) => opened.is_ok(),
                _ = stream.read(&mut byte) => false,
            };
            if is_open { Box::pin(give(*answer, stream)).await } else { Ok(Answered::Over) }
        }
        Answer::Then(answer, then) => {
            let answered = Box::pin(give(*answer, stream)).await;
            then();
            answered
        }
    }
}

/// Waits until the other side closes.
async fn closed(stream: &mut TcpStream) -> io::Result<Answered> {
    let mut byte = [0];
    while stream.read(&mut byte).await? > 0 {}
    Ok(Answered::Over)
}
