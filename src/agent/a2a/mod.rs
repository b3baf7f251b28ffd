//! Agents that speak A2A: any of its bindings and versions, and PraisonAI's dialect.

mod grpc;
mod link;
mod settings;

pub use grpc::GrpcLink;
pub use link::{Answer, CallError, Event, Events, Link};
pub use settings::{Binding, Interface, Mode, OnLost, Preference, Secret, Settings, Tls};
