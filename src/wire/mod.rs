//! The dialects: A2A 1.0, A2A 0.3 and PraisonAI, to and from the generated types.
//!
//! Pure translation: no I/O, no transport, no policy. Reading takes every shape that clients of the three dialects
//! are known to send and names every field that is wrong, at once; writing emits only the one safest shape of each
//! dialect. What a request means (required content, lengths, ranges) is `task`'s to judge, for all doors alike.

pub mod canonical;
pub mod card;
pub mod decode;
pub mod encode;
pub mod fault;
#[cfg(test)]
pub(crate) mod fuzz;
pub mod method;
pub mod praisonai;
pub mod v03;
mod words;
mod wrapped;
