//! Compiles `proto/` without an installed protoc, and looks whether the page that goes into a release is another one.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    // Other builds read the page from its folder.
    if std::env::var_os("PROFILE").is_some_and(|profile| profile == "release") {
        println!("cargo:rerun-if-changed=src/dashboard/web/dist");
    }
    let files = protox::compile(
        [
            "odograph/v1/telemetry.proto",
            "odograph/v1/live.proto",
            "odograph/journal/v1/journal.proto",
            "odograph/mirror/v1/mirror.proto",
        ],
        ["proto"],
    )?;
    prost_build::Config::new().btree_map(["."]).compile_fds(files)?;
    Ok(())
}
