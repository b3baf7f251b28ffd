//! The generated types: the one model, on the wire and in the store.
//!
//! [`a2a`] is A2A 1.0 (`lf.a2a.v1`), [`a2a_v03`] A2A 0.3 (`a2a.v1`), [`gateway`] the gateway's own API. All come from
//! `proto/` by `build.rs`, with ProtoJSON as their serde form. Maps are ordered, so equal values have equal bytes.

pub mod well_known;

pub use generated::a2a::gateway::v1 as gateway;
pub use generated::a2a::v1 as a2a_v03;
pub use generated::lf::a2a::v1 as a2a;

/// The compiled contracts as a serialized `google.protobuf.FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The A2A contracts' messages as JSON Schemas (`schemas`) and what 1.0's says about its operations (`operations`), as JSON.
pub const SCHEMAS: &str = include_str!(concat!(env!("OUT_DIR"), "/schemas.json"));

/// Modules nest as the packages do, since generated code refers to its neighbours by relative paths.
#[allow(clippy::all, missing_docs, rustdoc::all, clippy::pedantic)]
mod generated {
    pub mod lf {
        pub mod a2a {
            pub mod v1 {
                tonic::include_proto!("lf.a2a.v1");
                include!(concat!(env!("OUT_DIR"), "/lf.a2a.v1.serde.rs"));
            }
        }
    }
    pub mod a2a {
        pub mod v1 {
            tonic::include_proto!("a2a.v1");
            include!(concat!(env!("OUT_DIR"), "/a2a.v1.serde.rs"));
        }
        pub mod gateway {
            pub mod v1 {
                tonic::include_proto!("a2a.gateway.v1");
                include!(concat!(env!("OUT_DIR"), "/a2a.gateway.v1.serde.rs"));
            }
        }
    }
}
