//! Calling agents over HTTP: every call in every dialect, every fault, and finding cards.

mod calls;
mod cards;
mod fake;
mod faults;
mod tls;
