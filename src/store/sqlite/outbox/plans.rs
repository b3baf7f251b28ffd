//! Every hot query goes by an index, and takes what it finds in the index's order.

use rusqlite::Connection;

use super::{arrivals, claim, contents, hear, lanes, origins, places, purge, read, requeue, round};
use crate::store::sqlite::{
    schema,
    webhooks::{config, rows},
};

/// Indexes that are gone through as a whole: they hold only what the query counts, or what is under way.
const COUNTED: [&str; 5] =
    ["deliveries_pending", "deliveries_failed", "origins_open", "lanes_leased", "webhooks_of_agents"];

fn plan(sql: &Connection, statement: &str) -> Vec<String> {
    let mut explained = sql.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    let count = explained.parameter_count();
    let rows = explained.query_map(rusqlite::params_from_iter(vec![1_i64; count]), |row| row.get::<_, String>(3));
    rows.unwrap().map(Result::unwrap).collect()
}

/// Whether it is the webhooks of one task that are sorted: these are few.
fn sorts_few(steps: &[String]) -> bool {
    steps[0].contains("webhooks_of_tasks (owner=? AND task=?)")
}

#[test]
fn hot_queries_go_by_an_index() {
    let mut sql = Connection::open_in_memory().unwrap();
    schema::migrate(&mut sql).unwrap();
    let hot = [
        &arrivals::PLANNED[..],
        &claim::PLANNED,
        &config::PLANNED,
        &contents::PLANNED,
        &hear::PLANNED,
        &lanes::PLANNED,
        &origins::PLANNED,
        &places::PLANNED,
        &purge::PLANNED,
        &requeue::PLANNED,
        &round::PLANNED,
        &read::PLANNED,
    ];
    let hot = hot.into_iter().flatten().map(|statement| (*statement).to_owned());
    for statement in hot.chain(rows::planned()) {
        let steps = plan(&sql, &statement);
        let sorted = sorts_few(&steps);
        for step in steps {
            let counted = COUNTED.iter().any(|index| step.contains(index)) || step.contains("(subquery");
            assert!(!step.contains("webhooks_by_"), "an owner may have very many: {statement}\n{step}");
            assert!(sorted || !step.contains("TEMP B-TREE"), "{statement}\n{step}");
            assert!(!step.starts_with("SCAN") || counted, "{statement}\n{step}");
        }
    }
    for (statement, index) in rows::planned_lists() {
        let steps = plan(&sql, &statement);
        assert!(steps[0].contains(&format!("USING INDEX {index} (")), "{statement}\n{steps:#?}");
        assert!(sorts_few(&steps) || steps.iter().all(|step| !step.contains("TEMP B-TREE")), "{statement}\n{steps:#?}");
    }
    for statement in read::planned_lists() {
        let steps = plan(&sql, &statement);
        assert!(steps.iter().all(|step| !step.contains("TEMP B-TREE")), "{statement}\n{steps:#?}");
        // Without a webhook or a task the newest rows are looked at, so many and no more.
        let narrowed = statement.contains("d.webhook =") || statement.contains("d.task =");
        assert_eq!(steps[0].contains("USING INDEX deliveries_"), narrowed, "{statement}\n{steps:#?}");
    }
}
