//! Reads requests off connections: HTTP/1.1 with a known length, which is all that a sender of webhooks may send.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};

use super::{
    Shared,
    answer::{Answered, give},
};

/// Takes connections until it is aborted.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        shared.change(|state| {
            state.opened += 1;
            state.open += 1;
        });
        let shared = shared.clone();
        tokio::spawn(async move {
            // However it ends.
            let _ = converse(stream, &shared).await;
            shared.change(|state| state.open -= 1);
        });
    }
}

async fn converse(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some((path, headers, body)) = request(&mut stream, &mut buffer).await? {
        let (place, answer) = shared.note(path, headers, body);
        match give(answer, &mut stream).await? {
            Answered::Whole(status) => shared.change(|state| state.received[place].answered = Some(status)),
            Answered::Part(status) => {
                shared.change(|state| {
                    let received = &mut state.received[place];
                    (received.answered, received.is_part) = (Some(status), true);
                });
                return Ok(());
            }
            Answered::Over => return Ok(()),
        }
    }
    Ok(())
}

/// The next request; none: the connection was closed, in between or in the midst of one.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<(String, HeaderMap, Bytes)>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line: Vec<_> = lines.next().unwrap().split(' ').collect();
    assert_eq!((line[0], line[2]), ("POST", "HTTP/1.1"), "{head}");
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    }
    let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = Bytes::copy_from_slice(&buffer[end..end + length]);
    buffer.drain(..end + length);
    Ok(Some((line[1].to_owned(), headers, body)))
}
