//! What is refused, in every form, and what names may resolve to.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr as _,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{FutureExt as _, future::BoxFuture};
use proptest::prelude::*;
use tokio::{sync::watch, time::Instant};

use super::{
    names::{FAILED_MAX, FRESH, GOOD, NEW_SLOTS, PATIENCE, QUICK, SLOTS, SLOW_SLOTS},
    *,
};

/// Answers from a table, a name's answers one after the other and the last one again and again; counts.
#[derive(Default)]
struct Script {
    answers: Mutex<HashMap<&'static str, Vec<Vec<IpAddr>>>>,
    asked: AtomicUsize,
    running: AtomicUsize,
    /// Lookups wait while it is true.
    held: Option<watch::Receiver<bool>>,
}

impl Script {
    fn new(table: &[(&'static str, &[&[&str]])]) -> Self {
        let answers = table.iter().map(|(name, answers)| {
            let answers = answers.iter().map(|answer| answer.iter().map(|text| ip(text)).collect());
            (*name, answers.collect())
        });
        Self { answers: Mutex::new(answers.collect()), ..Self::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Lookup for Script {
    fn lookup(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.get_mut(name.as_str()) {
            Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
            Some(answers) => Ok(answers[0].clone()),
            None => Err("no such name".to_owned()),
        };
        let held = self.held.clone();
        self.running.fetch_add(1, Ordering::Relaxed);
        let find = async move {
            if let Some(mut held) = held {
                held.wait_for(|held| !held).await.unwrap();
            }
            answer
        };
        find.boxed()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn policy(entries: &[&str]) -> Policy {
    let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
    Policy::parse(&entries, false).unwrap()
}

fn guard(entries: &[&str], table: &[(&'static str, &[&[&str]])]) -> (Guard, Arc<Script>) {
    let script = Arc::new(Script::new(table));
    (Guard::new(policy(entries), script.clone()), script)
}

/// Addresses as they may be written in a URL, and what they are.
const LITERALS: [(&str, &str); 30] = [
    ("http://127.0.0.1/", "127.0.0.1 is a loopback address"),
    ("http://2130706433/", "127.0.0.1 is a loopback"),
    ("http://0x7f000001/", "127.0.0.1 is a loopback"),
    ("http://0X7F000001/", "127.0.0.1 is a loopback"),
    ("http://017700000001/", "127.0.0.1 is a loopback"),
    ("http://0177.0.0.1/", "127.0.0.1 is a loopback"),
    ("http://127.1/", "127.0.0.1 is a loopback"),
    ("http://127.0.1/", "127.0.0.1 is a loopback"),
    ("http://127.0.0.1./", "127.0.0.1 is a loopback"),
    ("http://%31%32%37.0.0.1/", "127.0.0.1 is a loopback"),
    ("http://127%2e0%2E0.1/", "127.0.0.1 is a loopback"),
    // Fullwidth digits and dots, escaped: they are read as the plain ones.
    ("http://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/", "127.0.0.1 is a loopback"),
    ("http://127%EF%BC%8E0%E3%80%820.1/", "127.0.0.1 is a loopback"),
    ("http://[::1]/", "::1 is a loopback"),
    ("http://[0:0:0:0:0:0:0:1]/", "::1 is a loopback"),
    ("http://[::ffff:127.0.0.1]/", "127.0.0.1 is a loopback"),
    ("http://[::FFFF:7F00:1]/", "127.0.0.1 is a loopback"),
    ("http://[::127.0.0.1]/", "::7f00:1 is an IPv4-compatible"),
    ("http://[64:ff9b::7f00:1]/", "64:ff9b::7f00:1 is a loopback"),
    ("http://[64:ff9b::a9fe:a9fe]/", "64:ff9b::a9fe:a9fe is a link-local"),
    ("http://[2002:7f00:1::]/", "2002:7f00:1:: is a 6to4"),
    ("http://[2002:0808:0808::1]/", "2002:808:808::1 is a 6to4"),
    ("http://[64:ff9b:1::8.8.8.8]/", "64:ff9b:1::808:808 is a local NAT64"),
    ("http://0/", "0.0.0.0 is an unspecified"),
    ("http://[::]/", ":: is an unspecified"),
    ("http://169.254.169.254/latest/meta-data", "169.254.169.254 is a link-local"),
    ("http://2852039166/", "169.254.169.254 is a link-local"),
    ("http://[fd00:ec2::254]/", "fd00:ec2::254 is a unique local"),
    ("http://10.1.2.3:8080/", "10.1.2.3 is a private"),
    ("http://[::ffff:0:0]/", "0.0.0.0 is an unspecified"),
];

#[tokio::test]
async fn addresses_are_refused_in_every_form() {
    let (guard, script) = guard(&[], &[]);
    for (url, what) in LITERALS {
        let expected = format!("must lead to a public address: {what}");
        let problem = guard.check(url).await.unwrap_err();
        assert!(problem.starts_with(&expected), "{url}: {problem}");
        let problem = guard.admit(&Url::parse(url).unwrap()).unwrap_err();
        assert!(problem.starts_with(what) && problem.ends_with("which is not allowed here"), "{url}: {problem}");
    }
    // Not URLs of hosts, or with more than a host in them.
    for url in ["http://[fe80::1%25eth0]/", "http://a@127.0.0.1/", "http://1.2.3.4:x@h/", "http://127.0.0.256/", "x:"] {
        assert!(guard.check(url).await.unwrap_err().starts_with("must "), "{url}");
    }
    let user = Url::parse("http://hooks.test@127.0.0.1/").unwrap();
    assert!(guard.admit(&user).unwrap_err().starts_with("127.0.0.1 is a loopback"));
    let dots = Url::parse("http://127。0．0｡1/").unwrap();
    assert!(guard.admit(&dots).unwrap_err().starts_with("127.0.0.1 is a loopback"));
    for url in
        ["http://8.8.8.8/", "https://[2606:4700::1111]/", "http://[64:ff9b::8.8.8.8]/", "http://[::ffff:8.8.8.8]/"]
    {
        assert_eq!(guard.check(url).await, Ok(()), "{url}");
    }
    assert_eq!(script.asked(), 0);
}

#[tokio::test]
async fn what_an_operator_can_do_is_said_and_works() {
    for (url, remedy) in [
        ("http://127.0.0.9/", "127.0.0.0/8"),
        ("http://10.1.2.3/", "10.1.2.3"),
        ("http://[fd00::1]/", "fd00::1"),
        ("http://[::ffff:10.1.2.3]/", "10.1.2.3"),
        ("http://hooks.test/", "hooks.test"),
    ] {
        let table: [(&str, &[&[&str]]); 1] = [("hooks.test", &[&["10.9.8.7", "127.0.0.1"]])];
        let problem = guard(&[], &table).0.check(url).await.unwrap_err();
        let end = format!("the operator can allow it with --webhook-allow {remedy}");
        assert!(problem.starts_with("must ") && problem.ends_with(&end), "{problem}");
        assert!(!problem.contains("10.9.8.7"), "{problem}");
        assert_eq!(guard(&[remedy], &table).0.check(url).await, Ok(()), "{url}");
    }
}

#[test]
fn each_range_is_refused_from_its_first_to_its_last_address() {
    let class = |address: IpAddr| ranges::class(address);
    for (network, _) in ranges::V4.iter().chain(&ranges::V6) {
        assert!(class(network.first()).is_some() && class(network.last()).is_some(), "{network}");
    }
    let mapped: Vec<_> = ranges::V4.iter().flat_map(|(network, _)| [network.first(), network.last()]).collect();
    for address in mapped {
        let IpAddr::V4(v4) = address else { panic!("{address} is in the table of IPv4") };
        assert_eq!(class(v4.to_ipv6_mapped().into()), class(address), "{address}");
        let nat64 = u128::from_be_bytes([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let nat64 = Ipv6Addr::from_bits(nat64 | u128::from(v4.to_bits()));
        assert_eq!(class(nat64.into()), class(address), "{nat64}");
    }
}

/// The registries, written down a second time, with the addresses next to them.
#[test]
fn the_neighbours_of_the_ranges_are_public() {
    let ranges = [
        ("0.0.0.0", "0.255.255.255", "", "1.0.0.0"),
        ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
        ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
        ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
        ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
        ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
        ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
        ("192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
        ("192.31.196.0", "192.31.196.255", "192.31.195.255", "192.31.197.0"),
        ("192.52.193.0", "192.52.193.255", "192.52.192.255", "192.52.194.0"),
        ("192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
        ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
        ("192.175.48.0", "192.175.48.255", "192.175.47.255", "192.175.49.0"),
        ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
        ("198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
        ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
        ("224.0.0.0", "255.255.255.255", "223.255.255.255", ""),
        ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2000::"),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::", "2001:db9::"),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff:ffff::", "2003::"),
        ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:7fff::", "2620:4f:8001::"),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::", "3fff:1000::"),
        ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff::", ""),
    ];
    for (first, last, before, after) in ranges {
        assert!(ranges::class(ip(first)).is_some(), "{first}");
        assert!(ranges::class(ip(last)).is_some(), "{last}");
        for public in [before, after].into_iter().filter(|text| !text.is_empty()) {
            assert_eq!(ranges::class(ip(public)), None, "{public}");
        }
    }
    let named = [
        ("::2", "an IPv4-compatible address"),
        ("100::", "a discard address"),
        ("100:0:0:1::1", "a dummy address"),
        ("2001::1", "a Teredo address"),
        ("2001:2::1", "a benchmarking address"),
        ("2001:1f::1", "an ORCHID address"),
        ("2001:2f::1", "an ORCHID address"),
        ("5f00::1", "a segment routing address"),
        ("fc00::", "a unique local address"),
        ("febf::1", "a link-local address"),
        ("fec0::1", "a site-local address"),
        ("ff02::1", "a multicast address"),
        ("4000::", "a reserved address"),
        ("255.255.255.255", "the broadcast address"),
    ];
    for (address, class) in named {
        assert_eq!(ranges::class(ip(address)), Some(class), "{address}");
    }
}

#[test]
fn addresses_within_addresses_are_allowed_with_them() {
    let within = policy(&["127.0.0.0/8"]);
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::1"] {
        assert_eq!(within.refused_class(ip(address)), None, "{address}");
    }
    for address in ["::1", "10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1", "::8.8.8.8"] {
        assert!(within.refused_class(ip(address)).is_some(), "{address}");
    }
    // All of IPv6 is not all of IPv4.
    assert!(policy(&["::/0"]).refused_class(ip("::ffff:127.0.0.1")).is_some());
    assert!(policy(&["0.0.0.0/0"]).refused_class(ip("::1")).is_some());
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    // Near the ranges' ends as often as anywhere.
    let ends: Vec<IpAddr> =
        ranges::V4.iter().chain(&ranges::V6).flat_map(|(network, _)| [network.first(), network.last()]).collect();
    let any = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ];
    prop_oneof![any, prop::sample::select(ends)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_allowed_is_never_refused(address in any_address(), prefix in 0u8..=128) {
        let prefix = if address.is_ipv4() { prefix % 33 } else { prefix };
        let base = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(
                v4.to_bits() & !u32::MAX.checked_shr(prefix.into()).unwrap_or(0))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(
                v6.to_bits() & !u128::MAX.checked_shr(prefix.into()).unwrap_or(0))),
        };
        let allowed = policy(&[&format!("{base}/{prefix}")]);
        // A mapped address is an IPv4 address, which a network that is more than mapped ones does not have.
        if address.to_canonical() == address || prefix >= 96 {
            prop_assert_eq!(allowed.refused_class(address), None);
        }
    }

    #[test]
    fn forms_of_one_address_are_judged_alike(bits in any::<u32>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = v4.octets();
        let expected = policy(&[]).refused_class(v4.into()).is_some();
        let guard = Guard::new(policy(&[]), Arc::new(Script::default()));
        let low = bits & 0x00ff_ffff;
        for host in [
            format!("{bits}"), format!("{bits:#x}"), format!("0{bits:o}"), format!("{a:#x}.0{b:o}.{c}.{d}."),
            format!("{a}.{low}"), format!("[::ffff:{v4}]"), format!("[64:ff9b::{v4}]"),
        ] {
            let url = Url::from_str(&format!("http://{host}/")).unwrap();
            prop_assert_eq!(guard.admit(&url).is_err(), expected, "{}", host);
        }
    }
}

#[tokio::test]
async fn names_are_refused_only_if_none_of_their_addresses_is_public() {
    let (guard, _) = guard(
        &["*.inside.test", "10.0.0.0/8"],
        &[
            ("localhost", &[&["127.0.0.1", "::1"]]),
            ("localhost.", &[&["127.0.0.1", "::1"]]),
            ("mixed.test", &[&["127.0.0.1", "8.8.8.8"]]),
            ("ten.test", &[&["10.1.2.3"]]),
            ("a.inside.test", &[&["127.0.0.1"]]),
            ("inside.test", &[&["127.0.0.1"]]),
            ("empty.test", &[&[]]),
        ],
    );
    for name in ["localhost", "LOCALHOST", "localhost.", "inside.test", "%6cocalhost"] {
        let problem = guard.check(&format!("http://{name}/")).await.unwrap_err();
        assert!(problem.contains(" points to a loopback address, which is not allowed here; "), "{problem}");
        assert!(!problem.contains("127.0.0.1") && !problem.contains("::1"), "{problem}");
    }
    for name in ["mixed.test", "ten.test", "a.inside.test", "A.Inside.Test.", "empty.test", "unknown.test"] {
        assert_eq!(guard.check(&format!("http://{name}/")).await, Ok(()), "{name}");
    }
    assert_eq!(guard.dial("mixed.test").await.unwrap(), [ip("8.8.8.8")]);
    assert_eq!(guard.dial("a.inside.test").await.unwrap(), [ip("127.0.0.1")]);
    let refused = "localhost points to a loopback address, which is not allowed here";
    assert_eq!(guard.dial("localhost").await, Err(DialError::Refused(refused.to_owned())));
    for (name, why) in [("empty.test", "it has no address"), ("unknown.test", "no such name")] {
        let expected = DialError::Unresolved(format!("{name} cannot be resolved: {why}"));
        assert_eq!(guard.dial(name).await, Err(expected));
    }
}

#[tokio::test]
async fn https_only_holds_for_what_is_allowed_too() {
    let policy = Policy::parse(&["127.0.0.0/8".to_owned(), "hooks.test".to_owned()], true).unwrap();
    let guard = Guard::new(policy, Arc::new(Script::default()));
    for url in ["http://127.0.0.1/", "http://hooks.test/", "http://8.8.8.8/"] {
        assert_eq!(guard.check(url).await, Err("must be an https URL: the operator allows no other".to_owned()));
        assert!(guard.admit(&Url::parse(url).unwrap()).unwrap_err().contains("only https"));
    }
    assert_eq!(guard.check("https://127.0.0.1/").await, Ok(()));
}

#[test]
fn a_policy_names_the_entry_that_is_wrong() {
    let problem = Policy::parse(&["127.0.0.0/8".to_owned(), "http://h".to_owned()], false).unwrap_err();
    assert!(problem.starts_with("\"http://h\" must be an IP address, a network"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_once_at_a_time_and_once_in_a_while() {
    let (release, held) = watch::channel(true);
    let mut script = Script::new(&[("hooks.test", &[&["8.8.8.8"], &["9.9.9.9"]])]);
    script.held = Some(held);
    let script = Arc::new(script);
    let guard = Guard::new(Policy::default(), script.clone());
    let both = async { tokio::join!(guard.dial("hooks.test"), guard.dial("hooks.test")) };
    let release = async {
        // The clock moves when both wait.
        tokio::time::sleep(Duration::from_secs(1)).await;
        release.send_replace(false);
    };
    let ((one, two), ()) = tokio::join!(both, release);
    assert_eq!((one.unwrap(), two.unwrap()), (vec![ip("8.8.8.8")], vec![ip("8.8.8.8")]));
    assert_eq!(script.asked(), 1);
    let url = Url::parse("http://hooks.test/").unwrap();
    assert_eq!(guard.called(&url), Some(ip("8.8.8.8")));

    tokio::time::advance(FRESH - Duration::from_millis(1)).await;
    assert_eq!(guard.dial("hooks.test").await.unwrap(), [ip("8.8.8.8")]);
    assert_eq!(script.asked(), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    // The old address serves until the new one is there.
    assert_eq!(guard.dial("hooks.test").await.unwrap(), [ip("8.8.8.8")]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(guard.dial("hooks.test").await.unwrap(), [ip("9.9.9.9")]);
    assert_eq!(script.asked(), 2);

    // That a name has no address is remembered as well.
    for _ in 0..3 {
        assert!(guard.dial("unknown.test").await.is_err());
    }
    assert_eq!(script.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn lookups_that_never_end_hold_nobody_and_no_more_than_their_slots() {
    let (_release, held) = watch::channel(true);
    let script = Arc::new(Script { held: Some(held), ..Script::default() });
    let guard = Arc::new(Guard::new(Policy::default(), script.clone()));
    let begun = Instant::now();
    let dials = (0..10 * SLOTS).map(|n| {
        let guard = guard.clone();
        async move { guard.dial(&format!("n{n}.test")).await }
    });
    for (n, answer) in futures::future::join_all(dials).await.into_iter().enumerate() {
        let expected = format!("n{n}.test cannot be resolved: no answer within 5s");
        assert_eq!(answer, Err(DialError::Unresolved(expected)));
    }
    assert_eq!(begun.elapsed(), PATIENCE);
    assert_eq!(script.running.load(Ordering::Relaxed), NEW_SLOTS + SLOW_SLOTS);
    // What was given up still runs.
    assert!(guard.dial("later.test").await.is_err());
    assert_eq!(script.running.load(Ordering::Relaxed), NEW_SLOTS + SLOW_SLOTS);
    // A check waits less, and accepts what it cannot judge.
    let begun = Instant::now();
    assert_eq!(guard.check("http://another.test/").await, Ok(()));
    assert_eq!(begun.elapsed(), CHECK_PATIENCE);
}

/// Lookups of a test that end as it says.
struct Faulty {
    good: Vec<IpAddr>,
    down: watch::Receiver<bool>,
    asked: Mutex<Vec<(String, Instant)>>,
}

impl Faulty {
    /// Knows `live…` while it is up; all else never gets an answer.
    fn start() -> (watch::Sender<bool>, Arc<Self>) {
        let (down, receiver) = watch::channel(false);
        (down, Arc::new(Self { good: vec![ip("8.8.8.8")], down: receiver, asked: Mutex::default() }))
    }

    fn asked(&self, name: &str) -> Vec<Instant> {
        self.asked.lock().unwrap().iter().filter(|(asked, _)| asked == name).map(|(_, at)| *at).collect()
    }
}

impl Lookup for Faulty {
    fn lookup(&self, name: String) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        self.asked.lock().unwrap().push((name.clone(), Instant::now()));
        match (name.starts_with("live"), *self.down.borrow()) {
            (true, true) => futures::future::ready(Err("the name servers are down".to_owned())).boxed(),
            (true, false) => futures::future::ready(Ok(self.good.clone())).boxed(),
            (false, _) => futures::future::pending().boxed(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_names_addresses_serve_for_minutes_without_name_servers() {
    let (down, lookup) = Faulty::start();
    let guard = Guard::new(Policy::default(), lookup.clone());
    assert_eq!(guard.dial("live.test").await.unwrap(), [ip("8.8.8.8")]);
    down.send_replace(true);
    let begun = Instant::now();
    while begun.elapsed() < GOOD {
        assert_eq!(guard.dial("live.test").await.unwrap(), [ip("8.8.8.8")], "{:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let why = "live.test cannot be resolved: the name servers are down".to_owned();
    assert_eq!(guard.dial("live.test").await, Err(DialError::Unresolved(why)));
    // It is asked for less and less.
    let asked = lookup.asked("live.test");
    let pauses: Vec<_> = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(pauses, [5, 5, 10, 20, 40, 60, 60, 60]);
    // And again as often as before once there is an answer.
    down.send_replace(false);
    tokio::time::sleep(FAILED_MAX).await;
    for _ in 0..3 {
        assert_eq!(guard.dial("live.test").await.unwrap(), [ip("8.8.8.8")]);
        tokio::time::sleep(FRESH).await;
    }
    assert_eq!(lookup.asked("live.test").len(), asked.len() + 3);
}

#[tokio::test(start_paused = true)]
async fn dead_names_leave_half_of_the_slots_to_names_that_lived() {
    let (_down, lookup) = Faulty::start();
    let guard = Arc::new(Guard::new(Policy::default(), lookup.clone()));
    assert!(guard.dial("live.test").await.is_ok());
    let dead = (0..10 * SLOTS).map(|n| {
        let guard = guard.clone();
        async move { guard.dial(&format!("dead{n}.test")).await }
    });
    assert!(futures::future::join_all(dead).await.iter().all(Result::is_err));
    let new = guard.dial("live-but-new.test").await;
    assert!(new.is_err(), "names that were never known share what the dead ones leave: {new:?}");
    tokio::time::sleep(GOOD).await;
    let begun = Instant::now();
    assert_eq!(guard.dial("live.test").await.unwrap(), [ip("8.8.8.8")]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(lookup.asked("live.test").len(), 2, "it was looked up, not remembered");
}

#[tokio::test(start_paused = true)]
async fn names_whose_servers_are_dead_make_room_for_a_new_one() {
    let (_down, lookup) = Faulty::start();
    let guard = Arc::new(Guard::new(Policy::default(), lookup.clone()));
    let dead = (0..3 * NEW_SLOTS).map(|n| {
        let guard = guard.clone();
        async move { guard.dial(&format!("dead{n}.test")).await }
    });
    let begun = Instant::now();
    let new = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let found = guard.dial("live-but-new.test").await;
        (found.is_ok(), begun.elapsed())
    };
    let (dead, new) = tokio::join!(futures::future::join_all(dead), new);
    assert!(dead.iter().all(Result::is_err));
    assert!(new.0 && new.1 <= 4 * QUICK, "{new:?}");
}

/// A name server of the attacker's: public at first, then inside.
#[tokio::test(start_paused = true)]
async fn old_addresses_serve_and_new_ones_are_judged_before_they_are_called() {
    let (guard, script) = guard(&[], &[("hooks.test", &[&["8.8.8.8"], &["127.0.0.1"], &["8.8.8.8", "10.0.0.1"]])]);
    assert_eq!(guard.check("http://hooks.test/").await, Ok(()));
    tokio::time::sleep(FRESH).await;
    assert_eq!(guard.dial("hooks.test").await.unwrap(), [ip("8.8.8.8")], "the old address, which is public");
    tokio::time::sleep(Duration::from_millis(1)).await;
    let refused = "hooks.test points to a loopback address, which is not allowed here";
    let url = Url::parse("http://hooks.test/").unwrap();
    for _ in 0..2 {
        // The new address counts; the public one is forgotten, and what is refused serves nobody while it is old.
        assert_eq!(guard.dial("hooks.test").await, Err(DialError::Refused(refused.to_owned())));
        assert_eq!(guard.called(&url), None);
        assert!(guard.check("http://hooks.test/").await.is_err());
        tokio::time::sleep(FRESH - Duration::from_millis(2)).await;
    }
    assert!(guard.dial("hooks.test").await.is_err(), "it is being looked up");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(guard.dial("hooks.test").await.unwrap(), [ip("8.8.8.8")], "of several only the public one");
    assert_eq!(script.asked(), 3);
}

#[tokio::test]
async fn the_system_knows_the_local_host() {
    let found = System.lookup("localhost".to_owned()).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|ip| ip.is_loopback()), "{found:?}");
    let guard = Guard::new(Policy::default(), Arc::new(System));
    assert!(guard.check("http://localhost/").await.is_err());
}
