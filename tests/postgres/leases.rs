//! Who works on a task.

use std::{sync::Arc, time::Duration};

use a2a_gateway::{
    error::ErrorKind,
    proto::a2a::TaskState,
    store::{Acquired, Append, Identity, Leases as _, NewTask, Postgres, PostgresSettings, Store, Stray},
    task::TaskId,
};

use super::{database, rig::*};

/// The lease of processes that are to be declared dead.
const SHORT: Duration = Duration::from_millis(400);

async fn epoch(store: &Postgres, id: TaskId) -> u64 {
    store.task(id).await.unwrap().unwrap().epoch
}

async fn strays(store: &Postgres) -> Vec<Stray> {
    store.strays(None).await.unwrap()
}

fn under(epoch: u64, append: Append) -> Append {
    Append { epoch: Some(epoch), ..append }
}

fn taking(append: Append) -> Append {
    Append { take: true, ..append }
}

/// Appends whatever the state before was.
fn to(task: &Arc<Identity>, after: u64, from: TaskState, state: TaskState) -> Append {
    append(task, after, from, state, "x")
}

#[tokio::test]
async fn an_append_under_an_epoch_that_has_passed_is_refused() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (one, _) = open(settings(&url)).await;
    let (two, _) = open(settings(&url)).await;
    let task = create(&one, "o").await;
    assert_eq!(epoch(&two, task.id).await, 1);
    one.append(under(1, more(&task, 1, "mine"))).await.unwrap();
    // The other takes it.
    two.append(taking(more(&task, 2, "now mine"))).await.unwrap();
    assert_eq!(epoch(&one, task.id).await, 2);
    assert_eq!(kind(one.append(under(1, more(&task, 3, "still mine?"))).await), ErrorKind::Conflict);
    assert_eq!(log(&one, task.id).await.len(), 3);
    two.append(under(2, more(&task, 3, "mine"))).await.unwrap();
    // Without one, whatever it is; also a mark without events.
    one.append(more(&task, 4, "a word of the caller")).await.unwrap();
    let mark = Append { dispatched: Some(true), ..Append::new(task.clone(), 5, TaskState::Working, Vec::new()) };
    two.append(under(2, mark)).await.unwrap();
    let late = Append { dispatched: Some(false), ..Append::new(task.clone(), 5, TaskState::Working, Vec::new()) };
    assert_eq!(kind(one.append(under(1, late)).await), ErrorKind::Conflict);
    assert!(one.task(task.id).await.unwrap().unwrap().dispatched);
    one.close().await;
    two.close().await;
}

/// What a store says when it is asked to work on a task.
async fn acquired(store: &Postgres, id: TaskId) -> &'static str {
    match store.acquire(id).await.unwrap() {
        Acquired::Task(_) => "ours",
        Acquired::Elsewhere => "elsewhere",
        Acquired::Missing => "missing",
    }
}

#[tokio::test]
async fn a_task_is_somebodys_as_long_as_an_agent_may_work_on_it() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (one, _) = open(settings(&url)).await;
    let (two, _) = open(settings(&url)).await;
    let task = create(&one, "o").await;
    let (working, asking, done) = (TaskState::Working, TaskState::InputRequired, TaskState::Completed);
    assert_eq!(acquired(&two, task.id).await, "elsewhere");
    assert_eq!(acquired(&two, TaskId::mint()).await, "missing");
    // Another's word does not change whose it is.
    two.append(to(&task, 1, TaskState::Submitted, working)).await.unwrap();
    assert_eq!(acquired(&two, task.id).await, "elsewhere");
    assert_eq!(strays(&two).await, []);
    assert_eq!(strays(&one).await, [Stray { id: task.id, ours: true, epoch: 1 }]);
    one.append(to(&task, 2, working, TaskState::AuthRequired)).await.unwrap();
    assert_eq!(acquired(&two, task.id).await, "elsewhere");
    assert_eq!(strays(&one).await, [], "one that waits for its caller is nobody's stray");
    // Nobody works on one that waits for an answer; who brings it back does.
    one.append(to(&task, 3, TaskState::AuthRequired, asking)).await.unwrap();
    assert_eq!(strays(&two).await, []);
    two.append(to(&task, 4, asking, working)).await.unwrap();
    assert_eq!(acquired(&one, task.id).await, "elsewhere");
    assert_eq!(strays(&two).await, [Stray { id: task.id, ours: true, epoch: 1 }]);
    one.append(to(&task, 5, working, asking)).await.unwrap();
    assert_eq!(acquired(&one, task.id).await, "ours");
    assert_eq!(epoch(&one, task.id).await, 2);
    // Settled ones may be read by anybody.
    one.append(to(&task, 6, asking, done)).await.unwrap();
    assert_eq!((acquired(&one, task.id).await, acquired(&two, task.id).await), ("ours", "ours"));
    assert_eq!(epoch(&one, task.id).await, 2, "there is nothing to take");
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn what_is_overdue_is_found_by_those_who_may_end_it() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (one, _) = open(settings(&url)).await;
    let (two, _) = open(settings(&url)).await;
    let late = |deadline| {
        let Identity { id, owner, agent, context_id, .. } = Arc::into_inner(identity("o", "c")).unwrap();
        Arc::new(Identity {
            id,
            owner,
            agent,
            context_id,
            dialect: a2a_gateway::task::Dialect::V1,
            created: 1000,
            deadline: Some(deadline),
            output_modes: vec!["text/plain".into()],
        })
    };
    let (mine, waiting, later) = (late(2000), late(1500), late(3000));
    for task in [&mine, &waiting, &later] {
        one.create(NewTask { extensions: vec!["http://e/1".into()], ..new_task(task) }).await.unwrap();
    }
    one.append(to(&waiting, 1, TaskState::Submitted, TaskState::InputRequired)).await.unwrap();
    let stored = two.task(mine.id).await.unwrap().unwrap();
    assert_eq!((&*stored.identity, &stored.extensions[..]), (&*mine, &["http://e/1".to_owned()][..]));
    assert_eq!(one.overdue(1499).await.unwrap(), []);
    assert_eq!(one.overdue(2000).await.unwrap(), [waiting.id, mine.id]);
    assert_eq!(two.overdue(2000).await.unwrap(), [waiting.id]);
    one.close().await;
    // It said goodbye: its tasks are anybody's at once.
    assert_eq!(two.overdue(2000).await.unwrap(), [waiting.id, mine.id]);
    let strayed: Vec<_> = strays(&two).await.iter().map(|stray| (stray.id, stray.ours)).collect();
    assert_eq!(strayed, [(mine.id, false), (later.id, false)]);
    assert_eq!(acquired(&two, mine.id).await, "ours");
    two.close().await;
}

/// A store on a runtime of its own, which can be made to end without a word.
struct Doomed {
    runtime: tokio::runtime::Runtime,
    store: Arc<Postgres>,
}

impl Doomed {
    async fn open(settings: PostgresSettings) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = runtime.spawn(async move { open(settings).await.0 }).await.unwrap();
        Self { runtime, store }
    }

    /// Ends as a process does that is killed.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tasks_of_one_that_died_are_taken_over_under_the_next_epoch() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let short = PostgresSettings { lease: SHORT, ..settings(&url) };
    let doomed = Doomed::open(short.clone()).await;
    let (store, _) = open(short).await;
    let store = &store;
    let task = create(&doomed.store, "o").await;
    let kept = create(store, "o").await;
    // As long as it lives, its tasks are its own.
    tokio::time::sleep(SHORT * 3).await;
    assert_eq!(acquired(store, task.id).await, "elsewhere");
    doomed.kill();
    until("its tasks are strays", async || strays(store).await.iter().any(|stray| stray.id == task.id)).await;
    let stray = strays(store).await.into_iter().find(|stray| stray.id == task.id);
    assert_eq!(stray, Some(Stray { id: task.id, ours: false, epoch: 1 }));
    assert_eq!(acquired(store, task.id).await, "ours");
    assert_eq!(epoch(store, task.id).await, 2);
    assert_eq!(epoch(store, kept.id).await, 1);
    assert_eq!(kind(store.append(under(1, more(&task, 1, "x"))).await), ErrorKind::Conflict);
    store.append(under(2, more(&task, 1, "x"))).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_taken_for_dead_begins_anew_and_hears_of_it() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (store, told) = open(PostgresSettings { lease: SHORT, ..settings(&url) }).await;
    let store = &store;
    let task = create(store, "o").await;
    let client = database::connect(&url).await;
    client.execute("DELETE FROM replicas", &[]).await.unwrap();
    until("it hears that it was lost", async || told.lost() == 1).await;
    assert_eq!(strays(store).await, [Stray { id: task.id, ours: false, epoch: 1 }]);
    assert_eq!(acquired(store, task.id).await, "ours");
    let next = create(store, "o").await;
    let whose = "SELECT count(*) FROM tasks JOIN replicas ON replicas.id = tasks.runner WHERE tasks.id IN ($1, $2)";
    let ids = [task.id, next.id].map(|id| uuid::Uuid::from_bytes(id.to_bytes()));
    let mine: i64 = client.query_one(whose, &[&ids[0], &ids[1]]).await.unwrap().get(0);
    assert_eq!(mine, 2);
    store.close().await;
}
