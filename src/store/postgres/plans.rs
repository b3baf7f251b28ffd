//! Every hot query goes by an index, and takes what it finds in the index's order.

#[path = "../../../tests/database/mod.rs"]
mod database;

use std::time::Duration;

use tokio_postgres::Client;

use super::{Database, outbox, read, retention, schema, session::Session, slot, webhooks, writer};

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
    session.batch("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let hot = read::planned().into_iter().chain(retention::planned()).chain(writer::planned().map(str::to_owned));
    let hot: Vec<_> = hot.chain(read::planned_lists()).chain(slot::PLANNED.map(str::to_owned)).collect();
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

/// Indexes that are gone through: they hold only what the query counts or what is under way, or few rows are taken.
const COUNTED: [&str; 9] = [
    "arrivals_pkey",
    "deliveries_failed",
    "deliveries_pending",
    "lanes_by_age",
    "lanes_by_holder",
    "lanes_leased",
    "origins_open",
    "removed_pkey",
    "webhooks_idle",
];

/// The indexes of which a plan takes more than what a condition picks.
fn gone_through(steps: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let Some((_, index)) = step.split_once(" using ").or_else(|| step.split_once("Bitmap Index Scan on ")) else {
            continue;
        };
        let picked = steps.get(place + 1).is_some_and(|next| next.contains("Index Cond"));
        if step.contains("Index") && !picked {
            found.extend(index.split(' ').next().map(str::to_owned));
        }
    }
    found
}

/// Webhooks of tasks and of agents, with deliveries of which few wait, and lanes for those, some of them under way.
const FILL_OUTBOX: &str =
    "INSERT INTO webhooks (id, owner, agent, task, task_key, name, url, origin, payload, events, secrets, state,
            created, updated, last_error)
        SELECT gen_random_uuid(), owner || key % 100, agent, CASE WHEN key % 10 = 0 THEN '' ELSE id::text END,
               CASE WHEN key % 10 > 1 THEN key END, 'n' || key, 'u', 'o' || key % 100, key % 3, 7, 'x', 0, key, key, ''
        FROM tasks;
     INSERT INTO deliveries (webhook, task, sequence, created, state, settled)
        SELECT key, key, n, key, CASE WHEN key % 20 = 2 THEN 0 WHEN key % 20 = 3 THEN 2 ELSE 1 END,
               CASE WHEN key % 20 = 2 THEN NULL ELSE key END
        FROM tasks, generate_series(1, 3) AS n;
     INSERT INTO attempts SELECT key, 1, 0, 0, 0, '', '', '' FROM deliveries WHERE state > 0;
     INSERT INTO origins (name, standing, fresh, retry) SELECT 'o' || n, n % 3, n, n FROM generate_series(0, 99) AS n;
     INSERT INTO lanes (webhook, task, origin, created, due, retry, held, token, until, holder, stood)
        SELECT webhook, task, webhook % 100, created, created, false, 0, CASE WHEN task % 200 = 2 THEN task END,
               CASE WHEN task % 200 = 2 THEN task END, CASE WHEN task % 200 = 2 THEN 1 END,
               CASE WHEN task % 200 = 2 THEN 0 END
        FROM deliveries WHERE state = 0 AND sequence = 1;
     INSERT INTO arrivals (webhook, task, created) SELECT webhook, task, 0 FROM lanes;
     ANALYZE";

#[tokio::test]
async fn hot_queries_of_the_outbox_go_by_an_index() {
    let Some(server) = database::server() else { return };
    let url = server.database().await;
    let database = Database::parse(&url, None).unwrap();
    let session = Session::connect(&database, Duration::from_secs(10)).await.unwrap();
    schema::migrate(&session).await.unwrap();
    // What a table that is small yet is read by does not matter.
    session.batch("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan").await.unwrap();
    let hot = outbox::planned().into_iter().chain(webhooks::config::PLANNED.map(str::to_owned));
    let hot: Vec<_> = hot.chain(webhooks::rows::planned()).collect();
    // As it begins, and as it becomes: then the database knows that owners may have very many.
    for filled in [false, true] {
        if filled {
            session.batch(&format!("{FILL}; {FILL_OUTBOX}")).await.unwrap();
        }
        for statement in &hot {
            let steps = plan(session.client(), statement).await;
            // Processes are few.
            let read_as_a_whole = |step: &String| step.contains("Seq Scan") && !step.contains("on replicas");
            assert!(!steps.iter().any(read_as_a_whole), "{statement}\n{steps:#?}");
            let of_an_owner = |step: &String| step.contains("webhooks_by_owner") || step.contains("webhooks_by_agent");
            assert!(!filled || !steps.iter().any(of_an_owner), "{statement}\n{steps:#?}");
            // A lane may have very many deliveries that do not wait.
            if statement.contains("ORDER BY d.sequence LIMIT 1") {
                let of_those_that_wait = |step: &String| step.contains("deliveries_pending on deliveries d");
                assert!(steps.iter().any(of_those_that_wait), "{statement}\n{steps:#?}");
            }
            for index in gone_through(&steps) {
                assert!(COUNTED.contains(&&*index), "{index} is gone through: {statement}\n{steps:#?}");
            }
        }
        for statement in outbox::read::planned_lists() {
            let steps = plan(session.client(), &statement).await;
            assert!(!steps.iter().any(|step| step.contains("Seq Scan")), "{statement}\n{steps:#?}");
            // Without a webhook or a task the newest rows are looked at, so many and no more.
            let narrowed = statement.contains("p.webhook") || statement.contains("p.task");
            let by = |step: &String| step.contains("using deliveries_by_") || step.contains("using deliveries_failed");
            assert_eq!(steps.iter().any(by), narrowed, "{statement}\n{steps:#?}");
            let sorted = steps.iter().position(|step| step.contains("Sort  ("));
            let page = steps.iter().position(|step| step.contains("Limit  ("));
            assert!(sorted.is_none_or(|sorted| Some(sorted) < page), "a page alone is sorted: {statement}\n{steps:#?}");
        }
        for (statement, index) in webhooks::rows::planned_lists() {
            let steps = plan(session.client(), &statement).await;
            let by = steps.iter().any(|step| step.contains(&format!(" {index} on")));
            let sorts = steps.iter().any(|step| step.contains("Sort  ("));
            assert!(!filled || by && (!sorts || index == "webhooks_of_tasks"), "{statement}\n{steps:#?}");
        }
    }
}
