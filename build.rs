//! Compiles `proto/` without an installed protoc, and looks whether the page that goes into a release is another one.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    // Other builds read the page from its folder.
    if std::env::var_os("PROFILE").is_some_and(|profile| profile == "release") {
        println!("cargo:rerun-if-changed=src/dashboard/web/dist");
    }
    let of_services = protox::compile(["odograph/v1/telemetry_service.proto", "odograph/v1/alert_service.proto"], ["proto"])?;
    // What server reflection tells.
    let descriptors = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("services.binpb");
    std::fs::write(descriptors, of_services.encode_to_vec())?;
    let files = protox::compile(
        [
            "odograph/v1/telemetry_service.proto",
            "odograph/v1/alert_service.proto",
            "odograph/journal/v1/journal.proto",
            "odograph/mirror/v1/mirror.proto",
            "odograph/link/v1/analytics_link.proto",
            "odograph/link/v1/storage_link.proto",
        ],
        ["proto"],
    )?;
    tonic_prost_build::configure().btree_map(".").bytes(".odograph.link").build_transport(false).compile_fds(files)?;
    Ok(())
}
