//! Compiles `proto/` into prost types, tonic services and ProtoJSON serde, and their schemas, without an installed `protoc`.

#[path = "build/schemas.rs"]
mod schemas;

use std::{env, fs, io, path::PathBuf};

use prost::Message as _;

const PROTOS: [&str; 3] = ["lf/a2a/v1/a2a.proto", "a2a/v1/a2a.proto", "a2a/gateway/v1/gateway.proto"];

/// Well-known types that `src/proto/well_known.rs` provides: ordered maps, so that equal values encode to equal bytes.
const WELL_KNOWN: [&str; 6] = ["Struct", "Value", "ListValue", "NullValue", "Timestamp", "Duration"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);

    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let encoded = descriptors.encode_to_vec();
    fs::write(out.join("descriptors.bin"), &encoded)?;
    fs::write(out.join("schemas.json"), schemas::document(&descriptors).to_string())?;

    let mut prost = prost_build::Config::new();
    prost.btree_map(["."]).bytes([".lf.a2a.v1.Part", ".a2a.v1.FilePart"]);
    let mut pbjson = pbjson_build::Builder::new();
    pbjson.register_descriptors(&encoded)?.btree_map(["."]).ignore_unknown_fields();
    for name in WELL_KNOWN {
        let (proto, rust) = (format!(".google.protobuf.{name}"), format!("crate::proto::well_known::{name}"));
        prost.extern_path(proto.clone(), rust.clone());
        pbjson.extern_path(proto, rust);
    }
    tonic_prost_build::configure().build_client(true).build_server(true).compile_fds_with_config(descriptors, prost)?;
    pbjson.build(&[".lf.a2a.v1", ".a2a.v1", ".a2a.gateway.v1"])?;
    Ok(())
}
