//! Agents that speak A2A: any of its bindings and versions, and PraisonAI's dialect.

mod discover;
mod http;
mod jsonrpc;
mod link;
mod rest;
mod settings;
mod sse;

pub use self::http::Client;
pub use discover::{Fetched, choose, discover, link};
pub use link::{Answer, CallError, Event, Events, Link};
pub use settings::{Binding, Interface, Mode, OnLost, Preference, Secret, Settings, Tls};
