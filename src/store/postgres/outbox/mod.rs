//! The outbox.

pub mod schema;
