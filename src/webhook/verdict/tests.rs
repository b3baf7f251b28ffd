use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::task::{DeliveryId, Dialect, Events, Health, Secrets, TaskId, Webhook, WebhookId};

const NOW: i64 = 1_767_323_045_678;
const DAY: i64 = 86_400_000;

fn claim(tries: u32, failing_since: Option<i64>) -> Claim {
    let webhook = Webhook {
        id: WebhookId::mint(),
        owner: "".into(),
        agent: "echo".into(),
        task: String::new(),
        name: "w".into(),
        url: "http://h.test/".into(),
        origin: "http://h.test:80".into(),
        payload: Dialect::V1,
        events: Events::of(Dialect::V1),
        secrets: Secrets::default(),
        state: WebhookState::Enabled,
        created: NOW,
        updated: NOW,
        health: Health { failing_since, ..Health::default() },
    };
    Claim {
        proven: true,
        hot: false,
        ticket: Ticket { lane: 3, token: 4 },
        delivery: DeliveryId { webhook: webhook.id, task: TaskId::mint(), sequence: 1 },
        webhook: Arc::new(webhook),
        number: tries + 5,
        tries,
        // Older than any limit: it waited for a gateway that did not run.
        created: NOW - 100 * DAY,
    }
}

fn judge(claim: &Claim, report: Report) -> Attempted {
    let policy = Policy { schedule: Schedule::default(), disable_after: Some(Duration::from_secs(5 * 86_400)) };
    policy.judge(Tried { claim, began: NOW - 40, now: NOW }, report, &Chance::seeded(1))
}

fn status(status: u16) -> Report {
    Report { status, ..Report::default() }
}

fn failure(failure: Failure) -> Report {
    Report { failure: Some(failure), ..Report::default() }
}

fn retried(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Retry(_))
}

#[test]
fn each_status_has_its_verdict() {
    let fresh = claim(0, None);
    let verdict = |code| judge(&fresh, status(code)).verdict;
    for code in [200, 201, 202, 204, 299] {
        assert_eq!(verdict(code), Verdict::Delivered, "{code}");
    }
    assert_eq!(verdict(410), Verdict::Disable(WebhookState::Gone));
    for code in [301, 302, 307, 400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 500, 501, 502, 503, 504, 599] {
        assert!(retried(&verdict(code)), "{code}");
    }
}

#[test]
fn a_refused_payload_has_two_retries_and_all_else_eleven() {
    for code in [400, 405, 406, 411, 413, 414, 415, 422, 431] {
        for tries in [0, 1] {
            let Verdict::Retry(due) = judge(&claim(tries, None), status(code)).verdict else { panic!("{code}") };
            assert!((800..=1200).contains(&(due - NOW)), "{code}: the first pause each time: {}", due - NOW);
        }
        assert_eq!(judge(&claim(2, None), status(code)).verdict, Verdict::Failed, "{code}");
    }
    for code in [302, 401, 403, 404, 408, 409, 429, 500, 503] {
        assert!(retried(&judge(&claim(10, None), status(code)).verdict), "{code}");
        assert_eq!(judge(&claim(11, None), status(code)).verdict, Verdict::Failed, "{code}");
    }
    let refused = || failure(Failure::Refused("not there".into()));
    assert!(retried(&judge(&claim(10, None), refused()).verdict));
    assert_eq!(judge(&claim(11, None), refused()).verdict, Verdict::Failed);
}

#[test]
fn a_receiver_that_took_it_and_broke_off_has_taken_it() {
    let report = Report { failure: Some(Failure::Broken("reset".into())), ..status(200) };
    let result = judge(&claim(0, None), report);
    assert_eq!((result.verdict, result.reached), (Verdict::Delivered, Some(true)));
    assert_eq!(result.attempt.unwrap().error, "");
}

#[test]
fn circuits_hear_of_origins_that_were_not_reached() {
    let fresh = claim(0, None);
    let text = String::new;
    for (report, reached) in [
        (status(200), Some(true)),
        (status(302), Some(true)),
        (status(404), Some(true)),
        (status(410), Some(true)),
        (status(500), Some(true)),
        (status(501), Some(true)),
        (status(429), None),
        (status(502), Some(false)),
        (status(503), Some(false)),
        (status(504), Some(false)),
        (failure(Failure::Refused(text())), None),
        (failure(Failure::Resolve(text())), Some(false)),
        (failure(Failure::Connect(text())), Some(false)),
        (failure(Failure::Tls(text())), Some(false)),
        (failure(Failure::Timeout(text())), Some(false)),
        (failure(Failure::Broken(text())), Some(false)),
    ] {
        let shown = format!("{report:?}");
        assert_eq!(judge(&fresh, report).reached, reached, "{shown}");
    }
}

#[test]
fn retry_after_counts_for_429_and_503_and_only_upwards() {
    let due = |code, seconds| {
        let report = Report { retry_after: Some(Duration::from_secs(seconds)), ..status(code) };
        match judge(&claim(1, None), report).verdict {
            Verdict::Retry(due) => (due - NOW) / 1000,
            other => panic!("{other:?}"),
        }
    };
    for code in [429, 503] {
        assert_eq!(due(code, 3600), 3600);
        assert_eq!(due(code, u64::MAX), 24 * 3600);
        assert!((4..=6).contains(&due(code, 0)));
    }
    assert!((4..=6).contains(&due(500, 3600)));
}

#[test]
fn days_of_failure_disable_a_webhook_and_a_hiccup_after_them_does_not() {
    let since = |days| Some(NOW - days * DAY);
    let disabled = Verdict::Disable(WebhookState::Failing);
    assert_eq!(judge(&claim(2, since(5)), status(500)).verdict, disabled);
    assert_eq!(judge(&claim(2, since(6)), status(400)).verdict, disabled, "also where it is given up");
    assert!(retried(&judge(&claim(1, since(9)), status(500)).verdict), "it has hardly been tried");
    assert!(retried(&judge(&claim(2, since(4)), status(500)).verdict));
    assert!(retried(&judge(&claim(5, None), status(500)).verdict), "another task's delivery succeeded");
    assert_eq!(judge(&claim(2, since(9)), status(200)).verdict, Verdict::Delivered);
    let kind = Policy { schedule: Schedule::default(), disable_after: None };
    let long = claim(2, since(900));
    let tried = Tried { claim: &long, began: NOW, now: NOW };
    assert!(retried(&kind.judge(tried, status(500), &Chance::seeded(1)).verdict));
    let strict = Policy { disable_after: Some(Duration::ZERO), ..kind };
    assert_eq!(strict.judge(tried, status(500), &Chance::seeded(1)).verdict, disabled);
    assert!(retried(&strict.faulted(tried, &Chance::seeded(1)).verdict), "the fault is not the receiver's");
    assert!(strict.judge(tried, status(500), &Chance::seeded(1)).blame);
    for own in [strict.faulted(tried, &Chance::seeded(1)), unsendable(tried, "why"), released(long.ticket)] {
        assert!(!own.blame, "{own:?}");
    }
}

#[test]
fn an_attempt_says_what_happened_in_one_line() {
    let error = |report| judge(&claim(0, None), report).attempt.unwrap().error;
    assert_eq!(error(status(500)), "answered 500");
    assert_eq!(error(status(302)), "answered 302: redirects are not followed");
    assert_eq!(error(failure(Failure::Connect("no\nconnection".into()))), "no connection");
    assert_eq!(error(failure(Failure::Broken("x".repeat(5000)))).len(), ERROR_MAX);
    let half = Report { failure: Some(Failure::Timeout("the time was up".into())), ..status(500) };
    assert_eq!(error(half), "answered 500, then: the time was up");
    let report = Report {
        latency: Duration::from_millis(35),
        address: "192.0.2.1:443".into(),
        excerpt: "no".into(),
        ..status(404)
    };
    let result = judge(&claim(3, None), report);
    assert_eq!(result.ticket, Ticket { lane: 3, token: 4 });
    let expected = Attempt {
        number: 8,
        time: NOW - 40,
        latency: 35,
        status: 404,
        address: "192.0.2.1:443".into(),
        error: "answered 404".into(),
        excerpt: "no".into(),
    };
    assert_eq!(result.attempt, Some(expected));
}

proptest! {
    #[test]
    fn a_retry_is_due_between_its_pause_and_a_day_more(
        code in 100_u16..=599, tries in 0_u32..20, asked in prop::option::of(any::<u64>()), seed: u64,
    ) {
        let schedule = Schedule::default();
        let policy = Policy { schedule: schedule.clone(), disable_after: None };
        let claim = claim(tries, None);
        let report = Report { retry_after: asked.map(Duration::from_secs), ..status(code) };
        let tried = Tried { claim: &claim, began: NOW, now: NOW };
        if let Verdict::Retry(due) = policy.judge(tried, report, &Chance::seeded(seed)).verdict {
            let turn = if matches!(Pace::of(code), Pace::Brief) { 0 } else { tries };
            let pause = millis(schedule.after(turn, &Chance::seeded(seed)).unwrap());
            prop_assert!(due - NOW >= pause && due - NOW <= pause.max(DAY));
        }
    }
}
