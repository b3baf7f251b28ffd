//! Calling agents over HTTP: every call in every dialect, every fault, and finding cards.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod calls;
mod cards;
mod fake;
mod faults;
mod tls;
