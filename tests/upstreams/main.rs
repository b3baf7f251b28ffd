//! The gateway in front of agents: every scenario is run with a scripted agent of each kind, and judged by what a caller
//! sees through a door and by what the agent was asked.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod cancels;
#[path = "../door/mod.rs"]
mod door;
mod extensions;
mod floods;
mod later;
mod limits;
mod lost;
mod odd;
mod restarts;
mod rig;
mod turns;
mod unreached;
#[path = "../upstream/mod.rs"]
mod upstream;
