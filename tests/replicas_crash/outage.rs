//! While the database is away, gateways say so, and they go on by themselves once it is there again.

use std::time::{Duration, Instant};

use a2a_gateway::proto::{a2a::TaskState, gateway::SubmitTaskRequest};
use futures::future::join_all;
use tokio::task::block_in_place;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    database::Server,
    place::{Place, REPLICAS, Settings},
    process::{LIMIT, Random, http, submit},
};

/// Longer than a submit waits for a store of which it is not known whether it has committed. Where that is known an answer
/// takes five seconds, and as long again for what was before it.
const ANSWER: Duration = Duration::from_secs(40);

/// Submits that are under way when the database goes away.
const LOAD: usize = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_gateways_say_so_and_go_on_once_it_is_there_again() {
    let Some(server) = Server::start(&[]) else { return };
    let data = tempfile::tempdir().unwrap();
    let mut place = Place::start(server, Settings { dir: data.path(), agents: &[], lease: "2s" }).await;
    let mut clients = [0, 1, 2].map(|replica| place.client_of(replica));
    let mut clients = || (0..LOAD).map(|n| clients[n % REPLICAS].any()).collect::<Vec<_>>();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = clients().into_iter().enumerate().map(|(number, mut client)| {
        let stopped = stopped.clone();
        tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            for n in 0.. {
                let began = Instant::now();
                let answer = client.submit_task(submit("hello", &format!("{number}.{n}"))).await;
                longest = longest.max(began.elapsed());
                match answer {
                    Ok(_) if *stopped.borrow() => break,
                    Ok(_) => {}
                    Err(status) => {
                        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                        assert!(status.get_details_error_info().is_some(), "{status:?}");
                    }
                }
            }
            longest
        })
    });
    let load: Vec<_> = load.collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    block_in_place(|| place.server.stop("QUIT"));
    for address in place.addresses() {
        until_ready(&address, 503).await;
    }
    let refused = clients().into_iter().map(async |mut client| {
        let began = Instant::now();
        let refused = tokio::time::timeout(ANSWER, client.submit_task(submit("hello", ""))).await;
        let refused = refused.expect("no answer").unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        assert!(refused.get_details_error_info().is_some(), "{refused:?}");
        began.elapsed()
    });
    let longest = join_all(refused).await.into_iter().max().unwrap();
    eprintln!("without the database a submit is refused within {longest:?}");
    assert!(longest < ANSWER, "{longest:?}");
    block_in_place(|| place.server.begin());
    for address in place.addresses() {
        until_ready(&address, 200).await;
    }
    stop.send_replace(true);
    let longest = join_all(load).await.into_iter().map(Result::unwrap).max().unwrap();
    eprintln!("a submit that was under way when the database went away was answered within {longest:?}");
    assert!(longest < ANSWER, "{longest:?}");
    let mut client = place.client(Random(0)).any();
    let request = SubmitTaskRequest { wait: Some(LIMIT.into()), ..submit("hello", "at last") };
    let record = client.submit_task(request).await.unwrap().into_inner();
    assert_eq!(record.task.unwrap().status.unwrap().state(), TaskState::Completed);
    place.stop().await;
}

/// Waits until `/readyz` has this status.
async fn until_ready(address: &str, status: u16) {
    let http = http();
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = http.get(format!("http://{address}/readyz")).timeout(LIMIT).send().await.unwrap();
        if answer.status() == status {
            return;
        }
        assert!(Instant::now() < deadline, "{}", answer.text().await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
