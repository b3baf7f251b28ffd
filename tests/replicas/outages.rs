//! The database goes away and comes back.

use std::time::Duration;

use a2a_gateway::{
    agent::Recovery,
    engine::{Caller, From},
    error::ErrorKind,
    proto::a2a::TaskState,
};

use super::{Pair, soon};
use crate::support::{chunk, database, kind, status, submit};

#[tokio::test]
async fn everything_goes_on_once_the_database_is_back() {
    let Some(mut server) = database::Server::start(&["fsync=off"]) else { return };
    let mut pair = Pair::on(server.database().await, Recovery::Fail, Duration::from_secs(300)).await;
    let id = pair.a.submit(submit("work")).await;
    let played = pair.a.script.turn().await;
    let mut watch = pair.b.watch(id, From::After(0)).await;
    pair.a.engine.ready().await.unwrap();

    server.stop("QUIT");
    let caller = Caller::default();
    let refusals = tokio::join!(
        soon(pair.a.engine.ready()),
        soon(pair.b.engine.ready()),
        async { soon(pair.a.engine.submit(&caller, submit("no"))).await.map(drop) },
        async { soon(pair.b.engine.get(&caller, id, None)).await.map(drop) },
    );
    for refused in [refusals.0, refusals.1, refusals.2, refusals.3] {
        assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::Unavailable));
    }
    // What the agent says meanwhile is kept.
    played.say(chunk("x", "said to nobody", false)).await;

    server.begin();
    soon(async { while pair.a.engine.ready().await.is_err() || pair.b.engine.ready().await.is_err() {} }).await;
    played.say(status(TaskState::Completed)).await;
    let mut seen = Vec::new();
    while let Some(event) = soon(watch.next()).await {
        // That updates cannot be stored yet is told, and is not the end.
        if let Ok(event) = event {
            seen.push((event.sequence, kind(&event)));
        }
    }
    let last = seen.last().unwrap();
    assert_eq!((seen.iter().filter(|(_, kind)| *kind == "artifact").count(), last.1), (1, "status"), "{seen:?}");
    assert_eq!(seen.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (1..=last.0).collect::<Vec<_>>());
    pair.b.submit(submit("again")).await;
    pair.b.script.turn().await.say(status(TaskState::Completed)).await;
    pair.stop().await;
}
