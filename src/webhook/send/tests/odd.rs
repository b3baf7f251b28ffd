//! Receivers that answer late, never, for ever, or not in HTTP.

use tokio::{sync::oneshot, time::sleep};

use super::*;

/// Writes byte by byte, slowly, for as long as somebody reads.
async fn trickle(stream: &mut TcpStream, bytes: impl Iterator<Item = u8>) {
    for byte in bytes {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_receiver_that_accepts_and_is_silent_takes_the_timeout() {
    let receiver = Receiver::start(|_, stream| async move {
        sleep(LONG).await;
        Some(stream)
    })
    .await;
    let report = sender(SHORT).send(&request(&receiver.url())).await;
    assert_eq!(*failure(&report), Failure::Timeout("no answer within 400ms".to_owned()));
    assert_eq!(report.address, receiver.address.to_string());
    assert!(report.latency >= SHORT && report.latency < LONG, "{:?}", report.latency);
}

#[tokio::test]
async fn a_request_may_have_less_time_than_others_and_never_more() {
    for (limit, timeout) in [(SHORT, LONG), (LONG, SHORT)] {
        let receiver = Receiver::start(|_, stream| async move { Some(stream) }).await;
        let request = Request { limit: Some(limit), ..request(&receiver.url()) };
        let report = sender(timeout).send(&request).await;
        assert_eq!(*failure(&report), Failure::Timeout("no answer within 400ms".to_owned()));
        assert!(report.latency >= SHORT && report.latency < LONG, "{report:?}");
    }
}

#[tokio::test]
async fn headers_that_trickle_take_the_timeout() {
    let receiver = Receiver::start(|_, mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\nX: ".iter().copied().chain(std::iter::repeat(b'x'));
        trickle(&mut stream, head).await;
        Some(stream)
    })
    .await;
    let report = sender(SHORT).send(&request(&receiver.url())).await;
    assert!(matches!(failure(&report), Failure::Timeout(_)), "{report:?}");
}

/// The receiver has said that it took the request: what it does with the rest is no failure.
#[tokio::test]
async fn an_answer_counts_by_its_status_whatever_becomes_of_its_body() {
    let trickling = Receiver::start(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n").await.ok()?;
        trickle(&mut stream, std::iter::repeat(b'x')).await;
        Some(stream)
    })
    .await;
    let silent = Receiver::saying("HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\nbusy").await;
    for (receiver, status, excerpt) in [(trickling, 200, "x"), (silent, 503, "busy")] {
        let report = sender(SHORT).send(&request(&receiver.url())).await;
        assert_eq!((report.status, &report.failure), (status, &None));
        assert!(report.excerpt.starts_with(excerpt), "{report:?}");
        assert!(report.latency >= SHORT && report.latency < LONG, "{:?}", report.latency);
    }

    let resetting = Receiver::start(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc").await.ok()?;
        // Closing with a reset may overtake what was sent: the client reads first.
        sleep(Duration::from_millis(50)).await;
        stream.set_zero_linger().ok()?;
        None
    })
    .await;
    let malformed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n";
    let cut = Receiver::start(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc").await.ok()?;
        None
    })
    .await;
    for receiver in [resetting, cut, Receiver::saying(malformed).await] {
        let report = sender(LONG).send(&request(&receiver.url())).await;
        assert_eq!((report.status, report.failure, report.excerpt.as_str()), (200, None, "abc"));
    }
}

#[tokio::test]
async fn an_endless_body_is_left_after_what_is_read_of_it() {
    let (sender_of_end, end) = oneshot::channel();
    let sender_of_end = Arc::new(std::sync::Mutex::new(Some(sender_of_end)));
    let mut receiver = Receiver::start(move |_, mut stream| {
        let end = sender_of_end.clone();
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
            end.lock().unwrap().take()?.send(()).ok()?;
            None
        }
    })
    .await;
    let sender = sender(LONG);
    let report = sender.send(&request(&receiver.url())).await;
    assert_eq!((report.status, report.failure, report.excerpt.len()), (200, None, 1024));
    // The connection is closed, and not used again.
    tokio::time::timeout(LONG, end).await.unwrap().unwrap();
    assert_eq!(receiver.seen().len(), 1);
}

#[tokio::test]
async fn what_is_not_an_answer_in_http_is_broken() {
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: x\r\n".repeat(1000));
    for (answer, why) in [
        ("hello\n", "what came is not HTTP"),
        ("<html>HTTP/0.9 has nothing but a body</html>\r\n\r\n", "what came is not HTTP"),
        ("HTTP/3.7 200 OK\r\n\r\n", "what came is not HTTP"),
        ("HTTP/1.1 9 OK\r\n\r\n", "what came is not HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "what came is not HTTP"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "what came is not HTTP"),
        (&huge, "the headers of the answer are too large"),
        (&many, "the headers of the answer are too large"),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "the receiver switched"),
    ] {
        let receiver = Receiver::saying(answer).await;
        let report = sender(LONG).send(&request(&receiver.url())).await;
        let Failure::Broken(said) = failure(&report) else { panic!("{answer:.40}: {report:?}") };
        assert!(said.starts_with(why), "{answer:.40}: {said}");
        assert_eq!(report.address, receiver.address.to_string());
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_broken() {
    let closing = Receiver::start(|_, _| async { None }).await;
    let half = Receiver::start(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200").await.ok()?;
        None
    })
    .await;
    let resetting = Receiver::start(|_, stream| async move {
        stream.set_zero_linger().ok()?;
        None
    })
    .await;
    for receiver in [closing, half, resetting] {
        let report = sender(LONG).send(&request(&receiver.url())).await;
        assert!(matches!(failure(&report), Failure::Broken(_)), "{report:?}");
    }
}

#[tokio::test]
async fn interim_answers_are_waited_through() {
    let mut receiver = Receiver::saying(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    )
    .await;
    let report = sender(LONG).send(&request(&receiver.url())).await;
    assert_eq!((report.status, report.failure), (204, None));
    assert_eq!(receiver.seen().len(), 1);

    let endless = Receiver::start(|_, mut stream| async move {
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
        None
    })
    .await;
    let report = sender(SHORT).send(&request(&endless.url())).await;
    assert!(matches!(failure(&report), Failure::Timeout(_)), "{report:?}");
}
