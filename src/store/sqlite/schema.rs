//! The schema and its migrations.
//!
//! `user_version` counts the migrations applied. A file from a newer gateway is refused, as is anything that is not an
//! SQLite database of ours; nothing in such a file is changed.

use rusqlite::Connection;

use super::OpenError;

/// "A2AG": marks the files that are ours.
const APPLICATION_ID: i32 = 0x4132_4147;

/// Each brings the schema from its index to the next version. Never edited once released, only added to.
const MIGRATIONS: [&str; 5] = [
    // `segments` holds the logs: a row for each commit, with its events. Its position is the order of all commits.
    // `tasks` rows stay small (snapshots have their own table), so that lists read few pages. `standing` is 0 for open
    // tasks, 1 for settled ones, 2 for hidden ones: open tasks are few and change often, so they have one small index;
    // settled ones are many and never change, so each of their indexes is written once.
    "CREATE TABLE tasks (
        key INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        agent TEXT NOT NULL,
        context TEXT NOT NULL,
        dialect INTEGER NOT NULL,
        created INTEGER NOT NULL,
        deadline INTEGER,
        output_modes TEXT NOT NULL,
        state INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        head INTEGER NOT NULL,
        floor INTEGER NOT NULL DEFAULT 0,
        dispatched INTEGER NOT NULL DEFAULT 0,
        standing INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX open_tasks ON tasks (owner, updated, key) WHERE standing = 0;
    CREATE INDEX open_deadlines ON tasks (deadline) WHERE standing = 0 AND deadline IS NOT NULL;
    CREATE INDEX settled_tasks ON tasks (owner, updated, key) WHERE standing = 1;
    CREATE INDEX settled_by_agent ON tasks (owner, agent, updated, key) WHERE standing = 1;
    CREATE INDEX settled_by_context ON tasks (owner, context, updated, key) WHERE standing = 1;
    CREATE INDEX settled_by_state ON tasks (owner, state, updated, key) WHERE standing = 1;
    CREATE INDEX hidden_tasks ON tasks (owner, updated, key) WHERE standing = 2;
    CREATE TABLE segments (
        position INTEGER PRIMARY KEY,
        task INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX segments_by_task ON segments (task, last);
    CREATE TABLE snapshots (
        task INTEGER PRIMARY KEY,
        sequence INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE counts (
        owner TEXT NOT NULL,
        agent TEXT NOT NULL,
        state INTEGER NOT NULL,
        tasks INTEGER NOT NULL,
        PRIMARY KEY (owner, agent, state)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE requests (
        owner TEXT NOT NULL,
        agent TEXT NOT NULL,
        id TEXT NOT NULL,
        digest BLOB NOT NULL,
        task BLOB NOT NULL,
        expires INTEGER NOT NULL,
        PRIMARY KEY (owner, agent, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX requests_by_expiry ON requests (expires);
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO meta (name, value) VALUES ('feed_floor', 0), ('probe', 0);",
    // How agents know tasks. `contexts` has a row only for conversations that an agent named otherwise than it was told.
    "ALTER TABLE tasks ADD COLUMN upstream_task TEXT NOT NULL DEFAULT '';
    ALTER TABLE tasks ADD COLUMN upstream_context TEXT NOT NULL DEFAULT '';
    CREATE INDEX upstream_tasks ON tasks (upstream_task, agent, owner) WHERE upstream_task <> '';
    CREATE TABLE contexts (
        owner TEXT NOT NULL,
        agent TEXT NOT NULL,
        context TEXT NOT NULL,
        upstream TEXT NOT NULL,
        noted INTEGER NOT NULL,
        PRIMARY KEY (owner, agent, context)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX contexts_by_time ON contexts (noted);",
    // Webhooks and their deliveries. A lane is there only while something of (webhook, task) is pending; it knows when
    // the first of that is due, and the claim on it. An origin knows when the next of its lanes can be claimed, `fresh`
    // for first attempts and `retry` for others, and NULL for none: a round then touches only origins that have
    // something to claim, however many wait for receivers that do not answer. Its `standing` is 0 if it was
    // reached of late, 1 if it was never tried, 2 else. Of lanes, `created` is
    // that of the first pending delivery, `held` is the webhook's state; and of their claims `failing` is the webhook's
    // `failing_since` at the time, and `moved` says that its URL changed since.
    // `deliveries.settled` is when it was delivered or given up. `removed` lists webhooks that are gone and some of whose
    // deliveries are not yet. Keys of webhooks and origins are never used twice.
    "ALTER TABLE tasks ADD COLUMN webhooks INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE webhooks (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        agent TEXT NOT NULL,
        task TEXT NOT NULL,
        task_key INTEGER,
        name TEXT NOT NULL,
        url TEXT NOT NULL,
        origin INTEGER NOT NULL,
        payload INTEGER NOT NULL,
        events INTEGER NOT NULL,
        secrets BLOB NOT NULL,
        state INTEGER NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        disabled INTEGER,
        failing_since INTEGER,
        last_success INTEGER,
        last_failure INTEGER,
        last_error TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX webhooks_of_tasks ON webhooks (owner, task, name) WHERE task <> '';
    CREATE UNIQUE INDEX webhooks_of_agents ON webhooks (owner, agent, name) WHERE task = '';
    CREATE INDEX webhooks_by_task ON webhooks (task_key) WHERE task_key IS NOT NULL;
    CREATE INDEX webhooks_of_no_task ON webhooks (owner, updated) WHERE task <> '' AND task_key IS NULL;
    CREATE INDEX webhooks_by_owner ON webhooks (owner);
    CREATE INDEX webhooks_by_payload ON webhooks (owner, payload);
    CREATE INDEX webhooks_by_agent ON webhooks (owner, agent);
    CREATE INDEX webhooks_by_place ON webhooks (owner, task);
    CREATE INDEX webhooks_by_origin ON webhooks (origin);
    CREATE INDEX webhooks_disabled ON webhooks (disabled) WHERE disabled IS NOT NULL;
    CREATE TABLE deliveries (
        key INTEGER PRIMARY KEY,
        webhook INTEGER NOT NULL,
        task INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        state INTEGER NOT NULL DEFAULT 0,
        created INTEGER NOT NULL,
        settled INTEGER,
        tries INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE UNIQUE INDEX deliveries_by_lane ON deliveries (webhook, task, sequence);
    CREATE INDEX deliveries_pending ON deliveries (webhook, task, sequence) WHERE state = 0;
    CREATE INDEX deliveries_failed ON deliveries (webhook) WHERE state = 2;
    CREATE INDEX deliveries_settled ON deliveries (settled) WHERE settled IS NOT NULL;
    CREATE INDEX deliveries_by_webhook ON deliveries (webhook);
    CREATE INDEX deliveries_by_task ON deliveries (task);
    CREATE TABLE attempts (
        delivery INTEGER NOT NULL,
        number INTEGER NOT NULL,
        time INTEGER NOT NULL,
        latency INTEGER NOT NULL,
        status INTEGER NOT NULL,
        address TEXT NOT NULL,
        error TEXT NOT NULL,
        excerpt TEXT NOT NULL,
        PRIMARY KEY (delivery, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE lanes (
        key INTEGER PRIMARY KEY,
        webhook INTEGER NOT NULL,
        task INTEGER NOT NULL,
        origin INTEGER NOT NULL,
        created INTEGER NOT NULL,
        due INTEGER NOT NULL,
        retry INTEGER NOT NULL DEFAULT 0,
        held INTEGER NOT NULL,
        token INTEGER,
        until INTEGER,
        delivery INTEGER,
        failing INTEGER,
        probe INTEGER NOT NULL DEFAULT 0,
        moved INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE UNIQUE INDEX lanes_by_task ON lanes (task, webhook);
    CREATE INDEX lanes_by_webhook ON lanes (webhook);
    CREATE INDEX lanes_waiting ON lanes (origin, retry, due) WHERE held = 0 AND token IS NULL;
    CREATE INDEX lanes_under_way ON lanes (origin, until) WHERE token IS NOT NULL;
    CREATE INDEX lanes_by_age ON lanes (created) WHERE held = 0;
    CREATE INDEX lanes_leased ON lanes (until) WHERE token IS NOT NULL;
    CREATE TABLE origins (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        standing INTEGER NOT NULL DEFAULT 1,
        reached_at INTEGER,
        failures INTEGER NOT NULL DEFAULT 0,
        open_for INTEGER NOT NULL DEFAULT 0,
        open_until INTEGER NOT NULL DEFAULT 0,
        full INTEGER NOT NULL DEFAULT 0,
        fresh INTEGER,
        retry INTEGER
    ) STRICT;
    CREATE INDEX origins_fresh ON origins (standing, fresh) WHERE fresh IS NOT NULL;
    CREATE INDEX origins_retry ON origins (standing, retry) WHERE retry IS NOT NULL;
    CREATE INDEX origins_open ON origins (open_until) WHERE open_for > 0;
    CREATE TABLE removed (webhook INTEGER PRIMARY KEY) STRICT;
    INSERT INTO meta (name, value) VALUES ('round', 0), ('epoch', 0);",
    // `tasks.extensions` are those that are active for a task's turn, one a line. Attempts that take long are counted apart:
    // of a lane's claim `stood` is the origin's standing at the time; of an origin `blamed` is the newest claim there was
    // when its last failure was counted. An origin counts its `webhooks`, and what is found by owner and task has no
    // index of its own: each is a page that every submit with webhooks would write.
    "ALTER TABLE tasks ADD COLUMN extensions TEXT NOT NULL DEFAULT '';
    ALTER TABLE lanes ADD COLUMN stood INTEGER;
    ALTER TABLE origins ADD COLUMN blamed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE origins ADD COLUMN webhooks INTEGER NOT NULL DEFAULT 0;
    UPDATE origins SET webhooks = (SELECT count(*) FROM webhooks WHERE webhooks.origin = origins.key);
    DROP INDEX webhooks_by_origin;
    DROP INDEX webhooks_by_task;
    DROP INDEX webhooks_by_place;
    DROP INDEX webhooks_by_payload;
    CREATE INDEX webhooks_of_praisonai ON webhooks (owner) WHERE payload = 2;
    DROP INDEX lanes_leased;
    CREATE INDEX lanes_leased ON lanes (until, retry, stood) WHERE until IS NOT NULL;",
    // What a commit brought for `webhooks`, `deliveries` and `lanes`, at its position, until it is spread over them: see
    // `outbox::arrivals`.
    "CREATE TABLE arrivals (
        position INTEGER PRIMARY KEY,
        task INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;",
];

/// Brings a database to the newest schema, a new file included.
pub fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (objects > 0 || version > 0) {
        return Err(OpenError::Foreign);
    }
    if version > MIGRATIONS.len() {
        return Err(OpenError::Newer { found: version, known: MIGRATIONS.len() });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", index + 1)?;
        transaction.commit()?;
    }
    if version < MIGRATIONS.len() {
        tracing::info!(from = version, to = MIGRATIONS.len(), "store schema migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(connection: &Connection) -> Vec<(String, Vec<String>)> {
        let mut tables = connection.prepare("SELECT name FROM sqlite_schema ORDER BY name").unwrap();
        let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap);
        let columns = |table: &str| -> Vec<String> {
            let mut columns = connection.prepare("SELECT name || ' ' || type FROM pragma_table_info(?1)").unwrap();
            columns.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        tables.map(|table| (table.clone(), columns(&table))).collect()
    }

    #[test]
    fn each_version_is_brought_to_the_newest_with_its_rows() {
        let mut new = Connection::open_in_memory().unwrap();
        migrate(&mut new).unwrap();
        for version in 1..=MIGRATIONS.len() {
            let mut old = Connection::open_in_memory().unwrap();
            old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            for migration in &MIGRATIONS[..version] {
                old.execute_batch(migration).unwrap();
            }
            old.pragma_update(None, "user_version", version).unwrap();
            old.execute_batch(
                "INSERT INTO tasks (id, owner, agent, context, dialect, created, output_modes, state, updated, head)
                 VALUES (x'01', 'o', 'a', 'c', 0, 1, '', 2, 3, 4)",
            )
            .unwrap();
            // Twice: the second time there is nothing to do.
            for _ in 0..2 {
                migrate(&mut old).unwrap();
                assert_eq!(schema(&old), schema(&new), "from version {version}");
                let columns = "SELECT owner, head, upstream_task || upstream_context, extensions, webhooks FROM tasks";
                let row = old.query_row(columns, [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                });
                let expected: (String, i64, String, String, i64) = ("o".into(), 4, String::new(), String::new(), 0);
                assert_eq!(row.unwrap(), expected);
            }
        }
    }
}
