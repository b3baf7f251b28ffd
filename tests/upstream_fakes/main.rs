//! The scripted agents themselves: each face is driven by plain HTTP and gRPC calls, and what it sends is held against
//! text written out here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod client;
mod forms;
mod scripts;
mod table;
#[path = "../upstream/mod.rs"]
mod upstream;
