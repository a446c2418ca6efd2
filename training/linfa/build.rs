//! Compiles ONNX's own schema (onnx 1.23.2, Apache-2.0) without an installed protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["onnx.proto"], ["proto"])?;
    // Its comments are no Markdown.
    prost_build::Config::new().disable_comments(["."]).compile_fds(files)?;
    Ok(())
}
