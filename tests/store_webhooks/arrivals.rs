//! What waits to be spread over SQLite's tables of webhooks is as good as in them: for readers, for rounds, after a crash.

use std::{fs, path::Path};

use a2a_gateway::{
    error::ErrorKind,
    store::{WebhookQuery, Which},
};

use super::{rig::Place, *};

impl Rig {
    /// The folder of its file.
    fn dir(&self) -> &Path {
        match &self.place {
            Place::Sqlite(dir) => dir.path(),
            Place::Postgres(_) => panic!("a file is asked for"),
        }
    }

    /// Rows that wait to be spread.
    async fn waiting(&self) -> i64 {
        self.rows("arrivals").await
    }

    /// Has everything spread.
    async fn settle(&self) {
        self.store.backlog().await.unwrap();
        assert_eq!(self.waiting().await, 0);
    }
}

/// A new task with webhooks that hear of everything.
async fn bring(rig: &Rig, hosts: &[&str]) -> (Arc<Identity>, Vec<Webhook>) {
    let task = identity("me", "a");
    let hooks: Vec<_> = hosts.iter().map(|host| webhook(&task, host)).collect();
    rig.create(&task, hooks.clone()).await.unwrap();
    (task, hooks)
}

#[tokio::test]
async fn whoever_submits_a_webhook_finds_it_and_its_deliveries() {
    let rig = Rig::new(Kind::Sqlite).await;
    for read in 0..6 {
        let hosts = [format!("one-{read}"), format!("two-{read}")];
        let (task, hooks) = bring(&rig, &[&*hosts[0], &*hosts[1]]).await;
        rig.say(&task, 1, &["status"]).await;
        assert_eq!((rig.waiting().await, rig.rows("webhooks").await), (2, 2 * read));
        let id = hooks[0].id;
        let owner: Arc<str> = "me".into();
        match read {
            0 => assert_eq!(rig.store.webhook(owner, Which::Id(id)).await.unwrap(), Some(hooks[0].clone())),
            1 => {
                let query =
                    WebhookQuery { owner, task: Some(task.id.to_string()), limit: 9, ..WebhookQuery::default() };
                assert_eq!(rig.store.webhooks(query).await.unwrap().webhooks, hooks);
            }
            2 => assert_eq!(rig.store.standing(id).await.unwrap().pending, 2),
            3 => {
                let query = DeliveryQuery { owner, task: Some(task.id), limit: 9, ..DeliveryQuery::default() };
                assert_eq!(rig.store.deliveries(query).await.unwrap().deliveries.len(), 4);
            }
            4 => assert_eq!(rig.store.backlog().await.unwrap().pending, 4 * 5),
            _ => assert_eq!(rig.claim(2000).await.len(), 2 * 6),
        }
        assert_eq!(rig.waiting().await, 0, "read {read}");
    }
}

#[tokio::test]
async fn what_changes_a_webhook_that_waits_finds_it() {
    let rig = Rig::new(Kind::Sqlite).await;
    let (task, hooks) = bring(&rig, &["one", "two", "three"]).await;
    let pause = WebhookChange { state: Some(WebhookState::Paused), ..change(&hooks[0]) };
    assert_eq!(rig.store.update_webhook("me".into(), pause).await.unwrap().unwrap().state, WebhookState::Paused);
    let (other, brought) = bring(&rig, &["one"]).await;
    assert!(rig.store.delete_webhook("me".into(), brought[0].id).await.unwrap());
    // With the next message of its task, under its name: it is the same one.
    let (third, named) = bring(&rig, &["one"]).await;
    let again = Webhook { name: named[0].name.clone(), ..webhook(&third, "elsewhere") };
    rig.store.append(Append { webhooks: vec![again], ..append(&third, 1, &["status"]) }).await.unwrap();
    let moved = rig.reload(&named[0]).await;
    assert_eq!((moved.url.as_str(), moved.id), ("https://elsewhere/in", named[0].id));
    rig.say(&other, 1, &["status"]).await;
    rig.say(&task, 1, &["status"]).await;
    let mut claimed: Vec<_> = rig.claim(2000).await.iter().map(|claim| claim.delivery.webhook).collect();
    claimed.sort_unstable();
    let mut expected = [hooks[1].id, hooks[2].id, named[0].id];
    expected.sort_unstable();
    assert_eq!(claimed, expected);
}

#[tokio::test]
async fn a_crash_before_they_are_spread_loses_nothing() {
    let rig = Rig::new(Kind::Sqlite).await;
    rig.store.put_webhook(of_agent("me", "a", "agents")).await.unwrap();
    let (task, hooks) = bring(&rig, &["one"]).await;
    rig.say(&task, 1, &["status", "artifact"]).await;
    rig.say(&task, 3, &["done"]).await;
    assert_eq!((rig.waiting().await, rig.rows("deliveries").await), (3, 0));
    // The files as a kill leaves them.
    let dir = tempfile::tempdir().unwrap();
    for name in ["gateway.db", "gateway.db-wal"] {
        fs::copy(rig.dir().join(name), dir.path().join(name)).unwrap();
    }
    let place = Place::Sqlite(dir);
    let (store, ear) = place.open(Options::default()).await.unwrap();
    let killed = Rig { place, store, ear };
    assert_eq!(killed.waiting().await, 0);
    assert_eq!(killed.reload(&hooks[0]).await, hooks[0]);
    for sequence in 1..=4 {
        let claims = killed.claim(2000).await;
        assert_eq!(sequences(&claims), [sequence; 2]);
        killed.record(2001, all(&claims, &Verdict::Delivered)).await;
    }
    assert!(killed.claim(2010).await.is_empty());
    // A webhook that comes later has a key, and with it a place in lists, of its own.
    let (_, later) = bring(&killed, &["two"]).await;
    let query = WebhookQuery { owner: "me".into(), limit: 9, ..WebhookQuery::default() };
    let listed: Vec<_> = killed.store.webhooks(query).await.unwrap().webhooks.iter().map(|hook| hook.id).collect();
    assert_eq!(listed[1..], [hooks[0].id, later[0].id]);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_to_spread() {
    let rig = Rig::with(Kind::Sqlite, Options { per_task: 2, ..Options::default() }).await;
    let (limited, doubled, taken) = (identity("me", "a"), identity("me", "a"), identity("me", "a"));
    let three = ["one", "two", "three"].map(|host| webhook(&limited, host)).to_vec();
    let same = webhook(&doubled, "one");
    let twice = vec![same.clone(), Webhook { name: same.name.clone(), ..webhook(&doubled, "two") }];
    let results = tokio::join!(
        rig.create(&limited, three),
        rig.create(&doubled, twice),
        rig.create(&taken, vec![webhook(&taken, "one")])
    );
    assert_eq!(results.0.unwrap_err().kind(), ErrorKind::WebhookLimit);
    assert_eq!(results.1.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(results.2.unwrap(), Receipt::Written);
    for task in [&limited, &doubled] {
        assert!(rig.store.task(task.id).await.unwrap().is_none());
    }
    assert_eq!(rig.waiting().await, 1);
    let claims = rig.claim(2000).await;
    assert_eq!(claims.iter().map(|claim| claim.delivery.task).collect::<Vec<_>>(), [taken.id]);
}

#[tokio::test]
async fn a_commit_with_webhooks_writes_about_as_many_pages_as_one_without() {
    let rig = Rig::new(Kind::Sqlite).await;
    let log = rig.dir().join("gateway.db-wal");
    let pages = || fs::metadata(&log).unwrap().len() / (4096 + 24);
    let mut written = [0, 0];
    for turn in 0..60 {
        let hosts = [format!("one-{turn}"), format!("two-{turn}")];
        for (hosts, sum) in [&[][..], &[&*hosts[0], &*hosts[1]]].into_iter().zip(&mut written) {
            let before = pages();
            bring(&rig, hosts).await;
            *sum += pages() - before;
        }
        // Before the writer would do it by itself.
        if turn % 4 == 3 {
            rig.settle().await;
        }
    }
    let [without, with] = written;
    assert!(without >= 60 * 5, "the log went around: {without} pages");
    assert!(with <= without + 2 * 60, "{with} pages with webhooks, {without} without");
}

#[tokio::test]
async fn an_idle_writer_spreads_what_nobody_asks_for() {
    let rig = Rig::new(Kind::Sqlite).await;
    for _ in 0..100 {
        bring(&rig, &["one"]).await;
    }
    // It ends when fewer wait than are worth a commit.
    while rig.waiting().await >= 16 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.waiting().await + rig.rows("webhooks").await, 100);
    assert_eq!(rig.deliveries().await.len(), 100);
}

#[tokio::test]
async fn a_full_store_opens_and_can_be_purged_while_they_wait() {
    const SIZE: u64 = 512 << 10;
    let rig = Rig::with(Kind::Sqlite, Options { max_size: SIZE, ..Options::default() }).await;
    let mut old = Vec::new();
    for _ in 0..20 {
        let task = rig.task().await;
        let snapshot = Some(vec![0; 8 << 10].into());
        rig.store.append(Append { snapshot, ..append(&task, 1, &["done"]) }).await.unwrap();
        old.push(task.id);
    }
    // Large ones, for which there will be no room in pages that are there.
    let hosts: Vec<_> = (0..15).map(|number| number.to_string() + &"h".repeat(2000)).collect();
    let (task, hooks) = bring(&rig, &hosts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for length in [4 << 10, 1 << 10, 64] {
        loop {
            let filler = identity("me", "a");
            let request =
                Some(Request { id: "r".repeat(length) + &filler.id.to_string(), digest: [7; 32], expires: 9 });
            let new = NewTask {
                identity: filler.clone(),
                extensions: vec!["x".repeat(length)],
                event: submitted(&filler),
                webhooks: Vec::new(),
                request,
            };
            match rig.store.create(new).await {
                Ok(receipt) => assert_eq!(receipt, Receipt::Written),
                Err(error) => break assert_eq!(error.kind(), ErrorKind::StoreFull),
            }
        }
    }
    assert_eq!(rig.waiting().await, 1);
    let full = rig.store.standing(hooks[0].id).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StoreFull);
    let rig = rig.again_with(Options { max_size: SIZE, ..Options::default() }).await;
    assert_eq!(rig.waiting().await, 1, "there is no room for it");
    assert_eq!(rig.store.purge(Some(i64::MAX), 10, 100).await.unwrap(), old);
    let claims = rig.claim(2000).await;
    assert!(claims.len() == 15 && claims.iter().all(|claim| claim.delivery.task == task.id), "{claims:?}");
    assert_eq!(rig.reload(&hooks[0]).await, hooks[0]);
}
