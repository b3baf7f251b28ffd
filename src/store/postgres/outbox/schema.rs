//! The outbox's tables: SQLite's, with the same names (see there). Where they differ:
//!
//! - What commits of events write, they only insert: `deliveries`, and an `arrivals` row for each webhook and task. `lanes`
//!   and `origins` are made from the arrivals by whoever has the outbox lock next.
//! - A webhook has the name of its origin, and origins do not count their webhooks: no commit writes another's row.
//! - `lanes.holder` is the process that has the claim: those of dead processes end at once.
//! - `meta.token` is the newest claim's.
//! - The unique index of deliveries begins with their sequences, so that nothing takes it for the one of those that wait:
//!   a lane may have very many that do not.

/// Part of a migration.
pub const OUTBOX: &str = "
    CREATE TABLE webhooks (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL UNIQUE,
        owner text NOT NULL,
        agent text NOT NULL,
        task text NOT NULL,
        task_key bigint,
        name text NOT NULL,
        url text NOT NULL,
        origin text NOT NULL,
        payload integer NOT NULL,
        events bigint NOT NULL,
        secrets bytea NOT NULL,
        state bigint NOT NULL,
        created bigint NOT NULL,
        updated bigint NOT NULL,
        disabled bigint,
        failing_since bigint,
        last_success bigint,
        last_failure bigint,
        last_error text NOT NULL
    ) WITH (fillfactor = 80);
    CREATE UNIQUE INDEX webhooks_of_tasks ON webhooks (owner, task, name) WHERE task <> '';
    CREATE UNIQUE INDEX webhooks_of_agents ON webhooks (owner, agent, name) WHERE task = '';
    CREATE INDEX webhooks_of_no_task ON webhooks (owner, updated) WHERE task <> '' AND task_key IS NULL;
    CREATE INDEX webhooks_idle ON webhooks (updated) WHERE task <> '' AND task_key IS NULL;
    CREATE INDEX webhooks_by_owner ON webhooks (owner, key);
    CREATE INDEX webhooks_by_agent ON webhooks (agent, owner, key);
    CREATE INDEX webhooks_of_praisonai ON webhooks (owner, key) WHERE payload = 2;
    CREATE INDEX webhooks_by_origin ON webhooks (origin);
    CREATE INDEX webhooks_disabled ON webhooks (disabled) WHERE disabled IS NOT NULL;
    CREATE TABLE deliveries (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        webhook bigint NOT NULL,
        task bigint NOT NULL,
        sequence bigint NOT NULL,
        created bigint NOT NULL,
        settled bigint,
        state integer NOT NULL DEFAULT 0,
        tries integer NOT NULL DEFAULT 0,
        attempts integer NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX deliveries_by_event ON deliveries (sequence, task, webhook);
    CREATE INDEX deliveries_pending ON deliveries (webhook, task, sequence) WHERE state = 0;
    CREATE INDEX deliveries_failed ON deliveries (webhook, key) WHERE state = 2;
    CREATE INDEX deliveries_settled ON deliveries (settled) WHERE settled IS NOT NULL;
    CREATE INDEX deliveries_by_webhook ON deliveries (webhook, key);
    CREATE INDEX deliveries_by_task ON deliveries (task, key);
    CREATE TABLE attempts (
        delivery bigint NOT NULL,
        number integer NOT NULL,
        time bigint NOT NULL,
        latency bigint NOT NULL,
        status integer NOT NULL,
        address text NOT NULL,
        error text NOT NULL,
        excerpt text NOT NULL,
        PRIMARY KEY (delivery, number)
    );
    CREATE TABLE arrivals (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        webhook bigint NOT NULL,
        task bigint NOT NULL,
        created bigint NOT NULL
    );
    CREATE TABLE lanes (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        webhook bigint NOT NULL,
        task bigint NOT NULL,
        origin bigint NOT NULL,
        created bigint NOT NULL,
        due bigint NOT NULL,
        retry boolean NOT NULL,
        held bigint NOT NULL,
        token bigint,
        until bigint,
        holder bigint,
        delivery bigint,
        failing bigint,
        stood bigint,
        probe boolean NOT NULL DEFAULT false,
        moved boolean NOT NULL DEFAULT false
    ) WITH (fillfactor = 70);
    CREATE UNIQUE INDEX lanes_by_task ON lanes (task, webhook);
    CREATE INDEX lanes_by_webhook ON lanes (webhook);
    CREATE INDEX lanes_waiting ON lanes (origin, retry, due) WHERE held = 0 AND token IS NULL;
    CREATE INDEX lanes_under_way ON lanes (origin, until) WHERE token IS NOT NULL;
    CREATE INDEX lanes_by_age ON lanes (created) WHERE held = 0;
    CREATE INDEX lanes_leased ON lanes (until, retry, stood) WHERE until IS NOT NULL;
    CREATE INDEX lanes_by_holder ON lanes (holder) WHERE token IS NOT NULL;
    CREATE TABLE origins (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        standing bigint NOT NULL DEFAULT 1,
        reached_at bigint,
        failures bigint NOT NULL DEFAULT 0,
        blamed bigint NOT NULL DEFAULT 0,
        open_for bigint NOT NULL DEFAULT 0,
        open_until bigint NOT NULL DEFAULT 0,
        is_full boolean NOT NULL DEFAULT false,
        fresh bigint,
        retry bigint
    ) WITH (fillfactor = 70);
    CREATE INDEX origins_fresh ON origins (standing, fresh) WHERE fresh IS NOT NULL;
    CREATE INDEX origins_retry ON origins (standing, retry) WHERE retry IS NOT NULL;
    CREATE INDEX origins_open ON origins (open_until) WHERE open_for > 0;
    CREATE TABLE removed (webhook bigint PRIMARY KEY);
    INSERT INTO meta (name, value) VALUES ('token', 0);";
