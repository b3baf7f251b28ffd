//! Several processes on one PostgreSQL database: limits hold over all of them, nothing is claimed twice or left behind, and
//! their clocks need not agree.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use a2a_gateway::store::{Store, Timekeeper, Which};

use super::{rig::Place, *};

/// Two stores on one database; none: PostgreSQL is not installed.
struct Pair {
    place: Place,
    stores: [Box<dyn Store>; 2],
    ears: [Arc<Ear>; 2],
}

impl Pair {
    async fn new(options: Options) -> Option<Self> {
        database::server()?;
        let place = Place::new(Kind::Postgres).await;
        let (one, first) = place.open(options.clone()).await.unwrap();
        let (two, second) = place.open(options).await.unwrap();
        Some(Self { place, stores: [one, two], ears: [first, second] })
    }

    /// Two whose rounds go by the database's clock.
    async fn timed() -> Option<Self> {
        Self::new(Options { timekeeper: Timekeeper::Database, ..Options::default() }).await
    }

    async fn task(&self, hosts: &[&str]) -> Arc<Identity> {
        let task = identity("me", "a");
        let webhooks = hosts.iter().map(|host| webhook(&task, host)).collect();
        let new = NewTask {
            identity: task.clone(),
            extensions: Vec::new(),
            event: submitted(&task),
            webhooks,
            request: None,
        };
        self.stores[0].create(new).await.unwrap();
        task
    }

    async fn rows(&self, table: &str) -> i64 {
        self.place.number(&format!("SELECT count(*) FROM {table}")).await
    }

    /// One round of each at the same time.
    async fn both(&self, rounds: [Round; 2]) -> [Claims; 2] {
        let [first, second] = rounds;
        let (first, second) = tokio::join!(self.stores[0].dispatch(first), self.stores[1].dispatch(second));
        [first.unwrap(), second.unwrap()]
    }
}

fn now() -> i64 {
    i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn limits_hold_over_rounds_of_two_processes_at_once() {
    let Some(pair) = Pair::timed().await else { return };
    for _ in 0..30 {
        pair.task(&["one"]).await;
    }
    let go = |results| Round { results, limits: Limits { per_origin: 6, ..limits() }, ..round(now()) };
    let mut claims = pair.both([go(Vec::new()), go(Vec::new())]).await;
    let mut seen = HashSet::new();
    let mut delivered = 0;
    for (turn, expected) in [4, 6, 6, 6, 6, 2].into_iter().enumerate() {
        let all_claims = || claims.iter().flat_map(|claims| &claims.claims);
        assert_eq!(all_claims().count(), expected, "in turn {turn}");
        assert!(all_claims().all(|claim| seen.insert(claim.delivery)), "one was claimed twice");
        delivered += expected;
        let results = [0, 1].map(|which: usize| all(&claims[which].claims, &Verdict::Delivered));
        let refused = pair.both(results.map(|results| Round { take: 0, ..go(results) })).await;
        assert!(refused.iter().all(|claims| claims.refused == 0));
        claims = pair.both([go(Vec::new()), go(Vec::new())]).await;
    }
    assert_eq!((delivered, pair.stores[1].backlog().await.unwrap().pending), (30, 0));
}

/// What two dispatchers know of each other, for the test's sake.
#[derive(Default)]
struct Street {
    /// Lanes under way.
    held: HashSet<(TaskId, WebhookId)>,
    /// How far each lane was delivered.
    taken: BTreeMap<(TaskId, WebhookId), u64>,
}

/// Delivers until nothing waits and nothing more comes.
async fn dispatcher(store: &dyn Store, which: u64, street: &Mutex<Street>, done: &tokio::sync::watch::Receiver<bool>) {
    let lock = || street.lock().unwrap_or_else(PoisonError::into_inner);
    let mut count = which;
    loop {
        let last = *done.borrow();
        let claims = store.dispatch(Round { take: 3, ..round(now()) }).await.unwrap();
        let mut results = Vec::new();
        assert_eq!(claims.refused, 0);
        for claim in &claims.claims {
            let lane = (claim.delivery.task, claim.delivery.webhook);
            let mut street = lock();
            assert!(street.held.insert(lane), "two claims of a lane");
            count += 1;
            let verdict = match count % 5 {
                0 => Verdict::Retry(now()),
                1 => Verdict::Released,
                _ => {
                    let taken = street.taken.entry(lane).or_default();
                    assert_eq!(claim.delivery.sequence, *taken + 1, "out of order");
                    *taken += 1;
                    Verdict::Delivered
                }
            };
            results.push(result(claim, verdict));
        }
        // From here on the other one may have them.
        for claim in &claims.claims {
            lock().held.remove(&(claim.delivery.task, claim.delivery.webhook));
        }
        if !results.is_empty() {
            let recorded = store.dispatch(Round { results, take: 0, ..round(now()) }).await.unwrap();
            assert_eq!(recorded.refused, 0);
        } else if last && store.backlog().await.unwrap().pending == 0 {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_beside_rounds_leave_nothing_behind_and_keep_the_order() {
    const EVENTS: u64 = 40;
    let Some(pair) = Pair::timed().await else { return };
    pair.stores[1].put_webhook(of_agent("me", "a", "agents")).await.unwrap();
    let mut tasks = Vec::new();
    for hosts in [&["one"][..], &["one", "two"], &["two"], &[], &["three"]] {
        tasks.push(pair.task(hosts).await);
    }
    let street = Mutex::new(Street::default());
    let (end, done) = tokio::sync::watch::channel(false);
    let says = async {
        let say = |(n, task): (usize, &Arc<Identity>)| {
            let (store, task) = (&pair.stores[n % 2], task.clone());
            async move {
                for after in 1..EVENTS {
                    store.append(append(&task, after, &["status"])).await.unwrap();
                }
            }
        };
        futures::future::join_all(tasks.iter().enumerate().map(say)).await;
        end.send_replace(true);
    };
    let [one, two] = &pair.stores;
    tokio::join!(says, dispatcher(&**one, 0, &street, &done), dispatcher(&**two, 3, &street, &done));
    let street = street.into_inner().unwrap();
    // Five webhooks of tasks, and the agent's of each.
    assert_eq!(street.taken.values().copied().collect::<Vec<_>>(), vec![EVENTS; 10]);
    for table in ["lanes", "arrivals"] {
        assert_eq!(pair.rows(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn what_commits_for_a_webhook_that_was_removed_meanwhile_goes() {
    let Some(pair) = Pair::timed().await else { return };
    let task = pair.task(&["one"]).await;
    let [one, two] = &pair.stores;
    let hook = one.put_webhook(of_agent("me", "a", "agents")).await.unwrap();
    let claims = one.dispatch(round(now())).await.unwrap().claims;
    one.dispatch(Round { results: all(&claims, &Verdict::Delivered), take: 0, ..round(now()) }).await.unwrap();
    // A commit that has seen the webhook, and ends after the webhook did.
    let Place::Postgres(url) = &pair.place else { return };
    let mut client = database::connect(url).await;
    let commit = client.transaction().await.unwrap();
    for (table, columns, values) in [("deliveries", "sequence, created", "2, 5"), ("arrivals", "created", "5")] {
        let insert = format!(
            "INSERT INTO {table} (webhook, task, {columns}) SELECT w.key, t.key, {values} FROM webhooks AS w, tasks AS t
             WHERE w.task = ''"
        );
        assert_eq!(commit.execute(&insert, &[]).await.unwrap(), 1);
    }
    assert!(two.delete_webhook("me".into(), hook.id).await.unwrap());
    commit.commit().await.unwrap();
    // And ordinary ones beside a removal.
    let other = two.put_webhook(of_agent("me", "a", "agents")).await.unwrap();
    let says = async {
        for after in 1..30 {
            one.append(append(&task, after, &["status"])).await.unwrap();
        }
    };
    let removed = async { two.delete_webhook("me".into(), other.id).await.unwrap() };
    assert!(tokio::join!(says, removed).1);
    let mut claims = one.dispatch(round(now())).await.unwrap().claims;
    while !claims.is_empty() {
        assert!(claims.iter().all(|claim| claim.webhook.url.contains("one")));
        let results = all(&claims, &Verdict::Delivered);
        claims = two.dispatch(Round { results, ..round(now()) }).await.unwrap().claims;
    }
    while one.purge_deliveries(None, 0, 1000).await.unwrap() > 0 {}
    let left = [("deliveries", 30), ("attempts", 30), ("lanes", 0), ("arrivals", 0), ("removed", 0), ("origins", 1)];
    for (table, left) in left {
        assert_eq!(pair.rows(table).await, left, "{table}");
    }
}

#[tokio::test]
async fn claims_of_a_process_that_died_end_at_once() {
    let Some(pair) = Pair::timed().await else { return };
    let [one, two] = &pair.stores;
    pair.task(&["one"]).await;
    let lost = two.dispatch(round(now())).await.unwrap().claims;
    assert_eq!(lost.len(), 1);
    assert!(one.dispatch(round(now())).await.unwrap().claims.is_empty());
    // It is declared dead, long before its lease ends.
    assert_eq!(pair.place.execute("DELETE FROM replicas WHERE id = (SELECT max(id) FROM replicas)").await, 1);
    let again = one.dispatch(round(now())).await.unwrap().claims;
    assert_eq!((again[0].delivery, again[0].number), (lost[0].delivery, 1));
    let late = two.dispatch(Round { results: all(&lost, &Verdict::Failed), take: 0, ..round(now()) }).await.unwrap();
    assert_eq!(late.refused, 1);
    // One that says goodbye is as good as dead.
    one.close().await;
    assert_eq!(two.dispatch(round(now())).await.unwrap().claims[0].delivery, lost[0].delivery);
}

#[tokio::test]
async fn the_clocks_of_processes_need_not_agree() {
    const HOUR: i64 = 3_600_000;
    /// What a step may take.
    const SLACK: i64 = 20_000;
    let Some(pair) = Pair::timed().await else { return };
    let [one, two] = &pair.stores;
    let (ahead, behind) = (|| now() + HOUR, || now() - HOUR);
    pair.task(&["one"]).await;
    let claims = one.dispatch(round(ahead())).await.unwrap();
    assert!((LEASE - SLACK..=LEASE + SLACK).contains(&(claims.next.unwrap() - ahead())), "its lease, by its clock");
    // Due in a minute: each is told so by its own clock.
    let later = all(&claims.claims, &Verdict::Retry(ahead() + 60_000));
    let next = one.dispatch(Round { results: later, ..round(ahead()) }).await.unwrap().next.unwrap();
    assert!((60_000 - SLACK..=60_000 + SLACK).contains(&(next - ahead())));
    let next = two.dispatch(round(behind())).await.unwrap();
    assert!(next.claims.is_empty());
    assert!((60_000 - SLACK..=60_000 + SLACK).contains(&(next.next.unwrap() - behind())));
    // What is due at once is so for both; and what is due soon not before its time.
    let soon = pair.task(&["two"]).await;
    let claims = two.dispatch(round(behind())).await.unwrap().claims;
    assert_eq!(claims[0].delivery.task, soon.id);
    let begun = Instant::now();
    let results = all(&claims, &Verdict::Retry(behind() + 300));
    let mut again = two.dispatch(Round { results, ..round(behind()) }).await.unwrap().claims;
    while again.is_empty() {
        again = one.dispatch(round(ahead())).await.unwrap().claims;
    }
    assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    assert_eq!(again[0].delivery, claims[0].delivery);
    // The database's own clock is set back by an hour: what waits comes earlier by as much.
    let results = all(&again, &Verdict::Retry(ahead() + HOUR + 60_000));
    one.dispatch(Round { results, ..round(ahead()) }).await.unwrap();
    pair.place.execute(&format!("UPDATE meta SET value = value + {HOUR} WHERE name = 'round'")).await;
    pair.place.execute("UPDATE lanes SET due = due + 1000 WHERE token IS NULL").await;
    let [first, second] = pair.both([round(ahead()), round(behind())]).await;
    assert_eq!(first.claims.len() + second.claims.len(), 1, "the first one's was due by the clock of before");
    let due = pair.place.number("SELECT max(due) FROM lanes WHERE token IS NULL").await;
    assert!((60_000 - SLACK..=60_000 + SLACK).contains(&(due - now())), "{}", due - now());
}

#[tokio::test]
async fn attempts_of_other_processes_end_before_a_webhook_is_removed_or_paused() {
    let Some(pair) = Pair::timed().await else { return };
    let [one, _] = &pair.stores;
    let heard = |id: WebhookId| pair.ears[1].stopped.lock().unwrap().contains(&id);
    let until = Instant::now() + Duration::from_secs(60);
    // Until it knows of the other one.
    loop {
        let hook = one.put_webhook(of_agent("me", "a", "agents")).await.unwrap();
        one.delete_webhook("me".into(), hook.id).await.unwrap();
        if heard(hook.id) {
            break;
        }
        assert!(Instant::now() < until);
    }
    let hook = one.put_webhook(of_agent("me", "a", "agents")).await.unwrap();
    let pause = WebhookChange { state: Some(WebhookState::Paused), ..change(&hook) };
    one.update_webhook("me".into(), pause).await.unwrap();
    assert!(heard(hook.id));
}

#[tokio::test]
async fn what_holds_a_nul_is_not_found_or_kept_without_it() {
    let Some(pair) = Pair::timed().await else { return };
    let [one, two] = &pair.stores;
    let task = pair.task(&["one"]).await;
    let claims = one.dispatch(round(now())).await.unwrap().claims;
    let mut results = all(&claims, &Verdict::Retry(i64::MAX / 2));
    let nul = || "a\0b".to_owned();
    let attempt = Attempt { address: nul(), error: nul(), excerpt: nul(), ..Attempt::default() };
    results[0].attempt = Some(attempt);
    assert_eq!(one.dispatch(Round { results, ..round(now()) }).await.unwrap().refused, 0);
    let query = DeliveryQuery { owner: "me".into(), task: Some(task.id), limit: 1, ..DeliveryQuery::default() };
    let found = two.deliveries(query).await.unwrap().deliveries.remove(0).attempts.remove(0);
    assert_eq!([found.address, found.error, found.excerpt], ["a\u{FFFD}b"; 3]);
    let health = two.webhook("me".into(), Which::Id(claims[0].webhook.id)).await.unwrap().unwrap().health;
    assert_eq!(health.last_error, "a\u{FFFD}b");
    for which in [Which::Task { task: nul(), name: nul() }, Which::Agent { agent: "a".into(), name: nul() }] {
        assert_eq!(one.webhook("me".into(), which).await.unwrap(), None);
    }
    let named = Webhook { name: nul(), ..of_agent("me", "a", "h") };
    assert!(one.put_webhook(named).await.is_err());
    assert_eq!(pair.rows("webhooks").await, 1);
}
