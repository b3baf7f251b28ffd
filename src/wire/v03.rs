//! A2A 0.3 as its contract has it (`a2a.v1`: gRPC, and the JSON of REST), to and from the 1.0 types.
//!
//! Conversions move what they are given and never fail, save where a request names a thing by a malformed resource
//! name. What 0.3 has no place for is left out, as the SDKs do: names and media types of text and data, tenants, the
//! metadata of a cancel. States and roles have the same numbers in both.

pub mod card;
pub mod decode;
pub mod encode;
pub mod field;
pub mod grpc;
pub mod json;
pub mod name;
pub mod rest;
#[cfg(test)]
mod tests;

pub use encode::FileBytes;
