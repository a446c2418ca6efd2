//! Compiles `proto/` without an installed protoc, and looks whether the page that goes into a release is another one.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

/// Between processes of one deployment.
const LINKS: [&str; 3] =
    ["odograph/link/v1/analytics_link.proto", "odograph/link/v1/archive_link.proto", "odograph/link/v1/storage_link.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    // Other builds read the page from its folder.
    if std::env::var_os("PROFILE").is_some_and(|profile| profile == "release") {
        println!("cargo:rerun-if-changed=src/dashboard/web/dist");
    }
    let of_services = protox::compile(["odograph/v1/telemetry_service.proto", "odograph/v1/alert_service.proto"], ["proto"])?;
    // What server reflection tells.
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(folder.join("services.binpb"), of_services.encode_to_vec())?;
    // What the test of compatibility compares with `proto/links.binpb`.
    let of_links = protox::compile(LINKS, ["proto"])?;
    std::fs::write(folder.join("links.binpb"), of_links.encode_to_vec())?;
    let files = protox::compile(
        [
            "odograph/v1/telemetry_service.proto",
            "odograph/v1/alert_service.proto",
            "odograph/journal/v1/journal.proto",
            "odograph/mirror/v1/mirror.proto",
        ]
        .into_iter()
        .chain(LINKS),
        ["proto"],
    )?;
    tonic_prost_build::configure().btree_map(".").bytes(".odograph.link").build_transport(false).compile_fds(files)?;
    Ok(())
}
