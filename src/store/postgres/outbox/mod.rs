//! The outbox.

pub mod hear;
pub mod purge;
pub mod schema;
