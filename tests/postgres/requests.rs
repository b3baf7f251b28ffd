//! Request ids, used at the same time.

use std::sync::Arc;

use a2a_gateway::{
    error::ErrorKind,
    proto::a2a::TaskState,
    store::{Append, NewTask, Receipt, Store},
    task::TaskId,
};
use futures::future::join_all;

use super::{database, rig::*};

fn asking(id: &str, digest: u8) -> NewTask {
    NewTask { request: Some(request(id, digest, 9000)), ..new_task(&identity("o", "c")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_makes_one_task_through_however_many_stores() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let (one, _) = open(settings(&url)).await;
    let (two, _) = open(settings(&url)).await;
    for round in 0..20 {
        let id = format!("r-{round}");
        let tries = (0..8).map(|n| {
            let store = if n % 2 == 0 { one.clone() } else { two.clone() };
            let new = asking(&id, 1);
            tokio::spawn(async move { (new.identity.id, store.create(new).await.unwrap()) })
        });
        let results: Vec<(TaskId, Receipt)> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
        let written: Vec<TaskId> =
            results.iter().filter(|(_, receipt)| *receipt == Receipt::Written).map(|(id, _)| *id).collect();
        assert_eq!(written.len(), 1, "{results:?}");
        for (id, receipt) in results {
            if receipt != Receipt::Written {
                assert_eq!(receipt, Receipt::Replayed(written[0]));
                assert!(one.task(id).await.unwrap().is_none(), "a replay left a task behind");
            }
        }
        let other = two.create(asking(&id, 2)).await.unwrap_err();
        assert_eq!(other.kind(), ErrorKind::RequestIdReused);
        assert!(other.metadata().contains(&("taskId", written[0].to_string())));
    }
    assert_eq!(counted(&one).await, [(TaskState::Submitted, 20)]);
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn the_same_request_that_waits_twice_makes_one_task_and_others_beside_it_theirs() {
    let Some(server) = database::server() else { return };
    let (store, _) = open(settings(&server.database().await)).await;
    let new = [asking("a", 1), asking("b", 1), asking("a", 1), asking("c", 1), asking("a", 2)];
    let ids: Vec<_> = new.iter().map(|new| new.identity.id).collect();
    // All of them wait before the first is taken: this test has one thread.
    let results = join_all(new.map(|new| store.create(new))).await;
    assert_eq!(results[0], Ok(Receipt::Written));
    assert_eq!(results[1], Ok(Receipt::Written));
    assert_eq!(results[2], Ok(Receipt::Replayed(ids[0])));
    assert_eq!(results[3], Ok(Receipt::Written));
    assert_eq!(results[4].as_ref().unwrap_err().kind(), ErrorKind::RequestIdReused);
    assert_eq!(counted(&store).await, [(TaskState::Submitted, 3)]);
    store.close().await;
}

#[tokio::test]
async fn a_request_id_is_free_again_when_its_time_is_over_or_what_it_was_for_was_refused() {
    let Some(server) = database::server() else { return };
    let (store, _) = open(settings(&server.database().await)).await;
    let short = NewTask { request: Some(request("r", 1, 1000)), ..new_task(&identity("o", "c")) };
    let first = short.identity.id;
    store.create(short).await.unwrap();
    assert_eq!(store.request("o".into(), "a".into(), "r".into(), 999).await.unwrap().unwrap().task, first);
    assert_eq!(store.request("o".into(), "a".into(), "r".into(), 1000).await.unwrap(), None);
    // The time of new tasks here is 1000: it is over.
    let again = asking("r", 2);
    let second = again.identity.clone();
    assert_eq!(store.create(again).await, Ok(Receipt::Written));
    assert_eq!(store.create(asking("r", 2)).await, Ok(Receipt::Replayed(second.id)));

    let stale = Append { request: Some(request("s", 1, 9000)), ..more(&second, 7, "x") };
    assert_eq!(kind(store.append(stale).await), ErrorKind::Conflict);
    assert_eq!(store.request("o".into(), "a".into(), "s".into(), 1).await.unwrap(), None);
    let fresh = || Append { request: Some(request("s", 1, 9000)), ..more(&second, 1, "x") };
    assert_eq!(store.append(fresh()).await, Ok(Receipt::Written));
    // The log has moved on, but the request is known.
    assert_eq!(store.append(fresh()).await, Ok(Receipt::Replayed(second.id)));
    assert_eq!(log(&store, second.id).await.len(), 2);
    // Another caller's and agent's are their own.
    for (owner, agent) in [("p", "a"), ("o", "b")] {
        assert_eq!(store.request(Arc::from(owner), Arc::from(agent), "s".into(), 1).await.unwrap(), None);
    }
    store.purge(None, 9001, 10).await.unwrap();
    assert_eq!(store.request("o".into(), "a".into(), "s".into(), 1).await.unwrap(), None);
    store.close().await;
}
