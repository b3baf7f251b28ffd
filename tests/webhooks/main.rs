//! Webhooks end to end: the real program, its own API, and receivers that do whatever receivers do.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod answers;
mod changes;
mod forms;
mod guard;
mod hostile;
mod kept;
mod order;
#[path = "../process/mod.rs"]
mod process;
#[path = "../receiver/mod.rs"]
mod receiver;
mod resent;
mod rig;
