//! A durable gateway in front of A2A agents.

pub mod agent;
pub mod config;
pub mod engine;
pub mod error;
pub mod metrics;
pub mod proto;
pub mod task;
