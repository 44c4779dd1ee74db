//! Compiles `cluster.proto` without `protoc`: protox parses it in Rust, tonic generates from its descriptors.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=cluster.proto");
    let descriptors = protox::compile(["cluster.proto"], ["."])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
