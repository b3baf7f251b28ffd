//! The outbox's tables.

pub const OUTBOX: &str = "
    CREATE TABLE webhooks (key bigint PRIMARY KEY, state integer NOT NULL);
    CREATE TABLE deliveries (webhook bigint NOT NULL, task bigint NOT NULL, sequence bigint NOT NULL, state integer NOT NULL);
    CREATE INDEX deliveries_by_task ON deliveries (task);";
