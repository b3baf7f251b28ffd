//! The same question, the same answer (promise P8): each operation and each error through all doors, decoded into one
//! model, A2A 1.0's own types, and compared whole: ids, states, times, every kind of part, free data, errors' details.
//!
//! What a dialect has no place for is taken out of what is expected, in `model::reduced`, which says why. Push
//! notification configs have such a test of their own in `doors_push.rs`, the gateway's cards in `card.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]
#[path = "../door/mod.rs"]
mod door;
#[path = "../support/mod.rs"]
mod support;

mod errors;
mod events;
mod lists;
mod model;
mod tasks;
