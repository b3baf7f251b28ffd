//! The schema and its migrations, which one process makes while the others wait (an advisory lock).
//!
//! What is stored is what SQLite stores, with the same names; where it differs, several processes write at once:
//! - `segments.position` is the transaction's id and a number within it, for no sequence is the order of commits: a feed
//!   reads up to the oldest transaction that is still under way. Ids start again where a dump is restored; `meta.xid_base` is
//!   added to them so that positions go on.
//! - `tasks.runner` and `tasks.epoch` are the lease on a task (see `store::leases`); `replicas` are the processes that live.
//! - `counts` has several rows for each count, one for each who writes (`shard`), so that nobody waits for another's.
//! - Text that the outside shapes and nothing has checked is `bytea`: `text` takes no NUL.

use super::{
    OpenError,
    outbox::schema::OUTBOX,
    session::{Failure, Session},
};

/// What the advisory locks of this program begin with ("A2AG"), and which there are.
const LOCKS: i32 = 0x4132_4147;
const MIGRATING: i32 = 1;

/// Takes part in rounds and changes of webhooks: one at a time over all processes. Part of a transaction.
pub const OUTBOX_LOCK: &str = "SELECT pg_advisory_xact_lock(1093812551, 2)";

/// Whoever has it removes what is old; others need not. Part of a transaction.
pub const RETENTION_LOCK: &str = "SELECT pg_try_advisory_xact_lock(1093812551, 3)";

/// Each brings the schema from its index to the next version. Never edited once released, only added to.
const MIGRATIONS: [&[&str]; 1] = [&[TASKS, OUTBOX]];

/// `standing` is 0 for open tasks, 1 for settled ones, 2 for hidden ones.
const TASKS: &str = "
    CREATE TABLE meta (name text PRIMARY KEY, value bigint NOT NULL);
    INSERT INTO meta (name, value) VALUES ('feed_floor', 0), ('probe', 0), ('round', 0), ('xid_base', 0);
    CREATE TABLE replicas (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        until timestamptz NOT NULL
    );
    CREATE TABLE tasks (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        owner text NOT NULL,
        agent text NOT NULL,
        context text NOT NULL,
        dialect integer NOT NULL,
        created bigint NOT NULL,
        deadline bigint,
        output_modes text NOT NULL,
        state integer NOT NULL,
        updated bigint NOT NULL,
        head bigint NOT NULL,
        floor bigint NOT NULL DEFAULT 0,
        dispatched boolean NOT NULL DEFAULT false,
        standing integer NOT NULL DEFAULT 0,
        upstream_task bytea NOT NULL DEFAULT '',
        upstream_context bytea NOT NULL DEFAULT '',
        extensions text NOT NULL DEFAULT '',
        webhooks boolean NOT NULL DEFAULT false,
        runner bigint NOT NULL DEFAULT 0,
        epoch bigint NOT NULL DEFAULT 1
    ) WITH (fillfactor = 80);
    CREATE INDEX open_tasks ON tasks (owner, updated, key) WHERE standing = 0;
    CREATE INDEX open_deadlines ON tasks (deadline) WHERE standing = 0 AND deadline IS NOT NULL;
    CREATE INDEX open_by_runner ON tasks (runner, id) WHERE standing = 0 AND state IN (1, 2, 8);
    CREATE INDEX settled_tasks ON tasks (owner, updated, key) WHERE standing = 1;
    CREATE INDEX settled_by_agent ON tasks (owner, agent, updated, key) WHERE standing = 1;
    CREATE INDEX settled_by_context ON tasks (owner, context, updated, key) WHERE standing = 1;
    CREATE INDEX settled_by_state ON tasks (owner, state, updated, key) WHERE standing = 1;
    CREATE INDEX hidden_tasks ON tasks (owner, updated, key) WHERE standing = 2;
    CREATE INDEX upstream_tasks ON tasks (upstream_task, agent, owner) WHERE upstream_task <> '';
    CREATE TABLE segments (
        task bigint NOT NULL,
        first bigint NOT NULL,
        last bigint NOT NULL,
        position bigint NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (task, last)
    );
    CREATE UNIQUE INDEX segments_by_position ON segments (position);
    CREATE TABLE snapshots (
        task bigint PRIMARY KEY,
        sequence bigint NOT NULL,
        data bytea NOT NULL
    );
    CREATE TABLE counts (
        owner text NOT NULL,
        agent text NOT NULL,
        state integer NOT NULL,
        shard integer NOT NULL,
        tasks bigint NOT NULL,
        PRIMARY KEY (owner, agent, state, shard)
    ) WITH (fillfactor = 50);
    CREATE TABLE requests (
        owner text NOT NULL,
        agent text NOT NULL,
        id text NOT NULL,
        digest bytea NOT NULL,
        task uuid NOT NULL,
        expires bigint NOT NULL,
        PRIMARY KEY (owner, agent, id)
    );
    CREATE INDEX requests_by_expiry ON requests (expires);
    CREATE TABLE contexts (
        owner text NOT NULL,
        agent text NOT NULL,
        context text NOT NULL,
        upstream bytea NOT NULL,
        noted bigint NOT NULL,
        PRIMARY KEY (owner, agent, context)
    );
    CREATE INDEX contexts_by_time ON contexts (noted);
    CREATE TABLE cancels (
        task uuid PRIMARY KEY,
        metadata bytea
    );";

/// Brings a database to the newest schema, an empty one included.
pub async fn migrate(session: &Session) -> Result<(), OpenError> {
    session.query("SELECT pg_advisory_lock($1, $2)", &[&LOCKS, &MIGRATING]).await?;
    let result = migrate_locked(session).await;
    // The connection may have broken, and the lock with it.
    let unlocked = session.query("SELECT pg_advisory_unlock($1, $2)", &[&LOCKS, &MIGRATING]).await;
    result?;
    unlocked?;
    Ok(())
}

async fn migrate_locked(session: &Session) -> Result<(), OpenError> {
    let version = version(session).await?;
    let known = MIGRATIONS.len();
    if version > known {
        return Err(OpenError::Newer { found: version, known });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let note = format!("DELETE FROM a2a_gateway_schema; INSERT INTO a2a_gateway_schema VALUES ({})", index + 1);
        session.batch("BEGIN").await?;
        for statements in *migration {
            session.batch(statements).await?;
        }
        session.batch(&note).await?;
        session.batch("COMMIT").await?;
    }
    if version < known {
        tracing::info!(from = version, to = known, "store schema migrated");
    }
    keep_positions_growing(session).await?;
    Ok(())
}

/// How many migrations have been made.
async fn version(session: &Session) -> Result<usize, OpenError> {
    let ours = session.query_one("SELECT to_regclass('a2a_gateway_schema') IS NOT NULL", &[]).await?;
    if !ours.get::<_, bool>(0) {
        let others = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace";
        if session.query_one(others, &[]).await?.get::<_, i64>(0) > 0 {
            return Err(OpenError::Foreign);
        }
        session.batch("CREATE TABLE a2a_gateway_schema (version bigint NOT NULL)").await?;
    }
    let version = session.query_opt("SELECT version FROM a2a_gateway_schema", &[]).await?;
    let version: i64 = version.map_or(0, |row| row.get(0));
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// Transactions are numbered from the start again where a dump was restored. What they are given as positions is raised.
async fn keep_positions_growing(session: &Session) -> Result<(), Failure> {
    session
        .execute(
            "UPDATE meta SET value = value + needed FROM (
                SELECT ((SELECT greatest(coalesce(max(position), 0), (SELECT value FROM meta WHERE name = 'feed_floor'))
                         FROM segments) >> 20)
                    - (SELECT value FROM meta WHERE name = 'xid_base')
                    - pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1 AS needed) AS n
             WHERE name = 'xid_base' AND needed > 0",
            &[],
        )
        .await?;
    Ok(())
}
