//! Turns, cancels and the connection over a link that the test plays, on a paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod cancels;
mod fake;
mod follows;
mod sends;
