//! Every hot query goes by an index, and takes what it finds in the index's order.

#[path = "../../../tests/database/mod.rs"]
mod database;

use std::time::Duration;

use tokio_postgres::Client;

use super::{Database, read, retention, schema, session::Session, writer};

/// The plan of a statement, as it is run by the store: whatever its values are.
async fn plan(client: &Client, statement: &str) -> Vec<String> {
    let parameters = client.prepare(statement).await.unwrap_or_else(|error| panic!("{statement}\n{error:?}"));
    let values = vec!["NULL"; parameters.params().len()].join(", ");
    let call = if values.is_empty() { String::new() } else { format!("({values})") };
    client.batch_execute(&format!("PREPARE planned AS {statement}")).await.unwrap();
    let rows = client.query(&format!("EXPLAIN (FORMAT TEXT) EXECUTE planned{call}"), &[]).await.unwrap();
    client.batch_execute("DEALLOCATE planned").await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Tasks of few owners, most of them settled, each with a log.
const FILL: &str = "INSERT INTO tasks (id, owner, agent, context, dialect, created, output_modes, state, updated, head, standing)
        SELECT gen_random_uuid(), 'o' || n % 3, 'a' || n % 5, 'c' || n / 10, 0, n, '', CASE WHEN n % 50 = 0 THEN 2 ELSE 3 + n % 3 END,
               n, 4, CASE WHEN n % 50 = 0 THEN 0 ELSE 1 END FROM generate_series(1, 20000) AS n;
     INSERT INTO segments (task, first, last, position, data) SELECT key, n, n, key * 4 + n, 'x' FROM tasks, generate_series(1, 4) AS n;
     INSERT INTO snapshots SELECT key, 4, 'x' FROM tasks;
     INSERT INTO requests SELECT owner, agent, id::text, 'x', id, updated FROM tasks;
     INSERT INTO contexts SELECT owner, agent, id::text, 'x', updated FROM tasks;
     ANALYZE";

#[tokio::test]
async fn hot_queries_of_tasks_go_by_an_index() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let database = Database::parse(&url, None).unwrap();
    let session = Session::connect(&database, Duration::from_secs(10)).await.unwrap();
    schema::migrate(&session).await.unwrap();
    let hot = read::planned().into_iter().chain(retention::planned()).chain(writer::planned().map(str::to_owned));
    let hot: Vec<_> = hot.chain(read::planned_lists()).collect();
    // As it begins, and as it becomes.
    for fill in ["", FILL] {
        session.batch(fill).await.unwrap();
        for statement in &hot {
            let steps = plan(session.client(), statement).await;
            // The order of a merge is that of the ranges.
            let wrong = |step: &&String| step.contains("Seq Scan") || step.contains("Sort  (");
            let wrong = steps.iter().find(wrong);
            assert!(wrong.is_none(), "{statement}\n{steps:#?}");
        }
    }
}
