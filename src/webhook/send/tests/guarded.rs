//! The guard between the sender and the network.

use std::io;

use super::*;

fn port(url: &str) -> u16 {
    Url::parse(url).unwrap().port().unwrap()
}

#[tokio::test]
async fn addresses_in_urls_are_judged_before_a_connection_is_made() {
    let mut receiver = Receiver::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let sender = Sender::new(guard(&[], &[&["127.0.0.1"]]), settings(LONG)).unwrap();
    let port = receiver.address.port();
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "hooks.test"] {
        let report = sender.send(&request(&format!("http://{host}:{port}/?key=s3cret"))).await;
        let Failure::Refused(why) = failure(&report) else { panic!("{host}: {report:?}") };
        assert!(why.ends_with("which is not allowed here"), "{why}");
        assert_eq!(report.address, "");
    }
    for url in ["no url s3cret", "ftp://h/s3cret", "http://"] {
        let report = sender.send(&request(url)).await;
        assert!(matches!(failure(&report), Failure::Refused(_)), "{url}: {report:?}");
    }
    assert_eq!(receiver.seen(), []);
}

/// The name is public when the webhook is made, and leads inside when it is called.
#[tokio::test]
async fn a_name_that_is_bound_anew_is_not_followed_inside() {
    let mut receiver = Receiver::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let guard = guard(&[], &[&["8.8.8.8"], &["127.0.0.1"]]);
    let sender = Sender::new(guard.clone(), settings(LONG)).unwrap();
    let url = format!("http://hooks.test:{}/?key=s3cret", receiver.address.port());
    assert_eq!(guard.check(&url).await, Ok(()));
    // What was looked up for the check serves no more now.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(300)).await;
    tokio::time::resume();
    let report = sender.send(&request(&url)).await;
    let why = "hooks.test points to a loopback address, which is not allowed here";
    assert_eq!(*failure(&report), Failure::Refused(why.to_owned()));
    assert_eq!(report.address, "");
    assert_eq!(receiver.seen(), []);
}

#[tokio::test]
async fn of_a_names_addresses_only_those_that_are_allowed_are_called() {
    let mut allowed = Receiver::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    // The same port of another address, which the name resolves to first.
    let other = match TcpListener::bind(("127.0.0.2", allowed.address.port())).await {
        Ok(other) => other,
        // Not every system has all of 127.0.0.0/8.
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => return,
        Err(error) => panic!("{error}"),
    };
    let sender = Sender::new(guard(&["127.0.0.1"], &[&["127.0.0.2", "127.0.0.1"]]), settings(LONG)).unwrap();
    let report = sender.send(&request(&format!("http://hooks.test:{}/", allowed.address.port()))).await;
    assert_eq!((report.status, report.address), (200, allowed.address.to_string()));
    assert_eq!(allowed.seen().len(), 1);
    assert!(other.accept().now_or_never().is_none());
}

#[tokio::test]
async fn names_that_have_no_address_are_not_resolved() {
    let report = sender(LONG).send(&request("http://unknown.test/?key=s3cret")).await;
    let why = "unknown.test cannot be resolved: no such name";
    assert_eq!(*failure(&report), Failure::Resolve(why.to_owned()));
    assert_eq!(report.address, "");
}

/// Never answers.
struct Silent;

impl Lookup for Silent {
    fn lookup(&self, _: String) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        std::future::pending().boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_takes_all_the_time_is_a_name_that_is_not_resolved() {
    let guard = Arc::new(Guard::new(Policy::default(), Arc::new(Silent)));
    let sender = Sender::new(guard, SendSettings { connect_timeout: SHORT, ..settings(LONG) }).unwrap();
    let report = sender.send(&request("http://hooks.test/")).await;
    assert!(matches!(failure(&report), Failure::Resolve(_)), "{report:?}");
    assert_eq!(report.latency, SHORT);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_no_connection() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for url in [format!("http://{address}/?key=s3cret"), format!("http://hooks.test:{}/", address.port())] {
        let report = sender(LONG).send(&request(&url)).await;
        assert_eq!(*failure(&report), Failure::Connect("connection refused".to_owned()));
        assert_eq!(report.address, address.to_string());
        assert_eq!(port(&url), address.port());
    }
}
