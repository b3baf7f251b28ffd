//! The promise of webhooks that a crash must not break, held against the real program: nothing is lost, and only what was
//! under way is sent again.
//!
//! The gateway is killed in the midst of submits and deliveries and started again on the same data, many times, while
//! receivers refuse, break and keep silent at random. The kills come when a submit was acknowledged, when a request has
//! arrived and is not answered, right after an answer, after a refusal, and at any time. Then every event that a
//! webhook should hear of has arrived, in order, with the same bytes each time. `A2A_CRASH_SEED` repeats a run, as far as
//! the moments of the kills go, and `A2A_CRASH_ROUNDS` makes it longer.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod check;
mod hooks;
mod place;
#[path = "../process/mod.rs"]
mod process;
#[path = "../receiver/mod.rs"]
mod receiver;
mod work;

use std::{sync::Arc, time::Duration};

use check::Tally;
use hooks::{AGENT_WIDE, receivers};
use place::{MOMENTS, Place, Trap};
use process::{Random, seed};
use work::{Stories, settle, work};

/// Kills, unless the environment says otherwise.
const ROUNDS: u64 = 25;
/// Kills of one data directory: its tasks and deliveries are checked after them.
const KILLS: u64 = 25;
/// Callers that submit all the time.
const WORKERS: usize = 3;
/// How long a moment to kill is waited for; on PostgreSQL, where what a killed one had claimed waits until it is known to be dead.
const PATIENCE: Duration = Duration::from_millis(400);
const PATIENCE_ON_POSTGRES: Duration = Duration::from_millis(2500);

/// Kills the gateway so many times, and checks what has arrived.
async fn chaos(random: &mut Random, kills: u64) -> Tally {
    let data = tempfile::tempdir().unwrap();
    let trap = Arc::new(Trap::default());
    let receivers = receivers(random, &trap).await;
    let mut place = Place::start(data.path(), &trap);
    let stories = Stories::default();
    for n in 0..AGENT_WIDE {
        let hook = hooks::agent_wide(n, &receivers);
        stories.add_hook(place.client().create(hook).await);
    }
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let urls = receivers.each_ref().map(|receiver| receiver.url(""));
        let random = Random(random.below(u64::MAX));
        let working = work(place.client(), place.over(), random, kills * 100 + number as u64, urls, stories.clone());
        workers.push(tokio::spawn(working));
    }
    let on_postgres = process::database::on_postgres();
    let patience = if on_postgres { PATIENCE_ON_POSTGRES } else { PATIENCE };
    for round in 0..kills {
        match MOMENTS[round as usize % MOMENTS.len()] {
            // The moment may be long in coming, where nothing is on its way: then any time will do.
            Some(moment) => {
                let most = 1 << random.below(9);
                trap.wait(moment, 1 + random.below(most), patience).await;
            }
            None => tokio::time::sleep(Duration::from_millis(20 + random.below(230))).await,
        }
        place.kill(&receivers).await;
    }
    place.end();
    for worker in workers {
        worker.await.unwrap();
    }
    let mut client = place.client();
    settle(&mut client).await;
    check::check(&mut client, &stories, &receivers, &place.kills).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_loses_a_delivery_and_only_what_was_under_way_is_sent_again() {
    let mut random = Random(seed());
    let rounds = std::env::var("A2A_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut total = Tally::default();
    let mut left = rounds;
    while left > 0 {
        let kills = left.min(KILLS);
        let limit = Duration::from_secs(60 + 6 * kills);
        let scenario = tokio::time::timeout(limit, chaos(&mut random, kills));
        total += scenario.await.expect("something does not come to its end");
        left -= kills;
    }
    eprintln!("{rounds} kills: {total:?}");
    let Tally { cut_off, unsent, unanswered, unrecorded, between_retries, .. } = total;
    // Each phase was hit, or it was not tested.
    for (phase, hits) in [
        ("before the commit", cut_off),
        ("between commit and send", unsent),
        ("before the answer", unanswered),
        ("between answer and record", unrecorded),
        ("between retries", between_retries),
    ] {
        assert!(hits > 0 || rounds < KILLS, "no kill hit a delivery {phase}: {total:?}");
    }
}
