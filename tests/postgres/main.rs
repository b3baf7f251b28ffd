//! The store in PostgreSQL: what is of it alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod batches;
mod feeds;
mod leases;
mod lost;
mod requests;
mod retention;
mod rig;
#[path = "../support/mod.rs"]
mod support;

use support::database;

#[tokio::test]
async fn the_servers_of_tests_can_be_stopped_and_started() {
    let Some(mut server) = database::Server::start(&[]) else { return };
    let url = server.database().await;
    let client = database::connect(&url).await;
    client.batch_execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await.unwrap();
    server.crash();
    assert!(client.query("SELECT n FROM kept", &[]).await.is_err(), "the connection broke");
    let row = database::connect(&url).await.query_one("SELECT n FROM kept", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
}
