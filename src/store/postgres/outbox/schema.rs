//! The outbox's tables.

pub const OUTBOX: &str = "";
