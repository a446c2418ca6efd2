//! Where the library of ONNX Runtime is. Does not load it: `model`.

use std::path::{Path, PathBuf};

/// The version that the tests and figures of this program are about.
pub const LIBRARY_FILE: &str = "libonnxruntime.so.1.32.0";

/// Where `make fetch` puts it, below the folder of the sources.
const FETCHED_TO: &str = ".cache/onnxruntime";

/// The configured one; without that, the one beside the binary, or the one that `make` has fetched for a binary in `target/`. Where
/// there is none at all, the first place, so that loading it fails with a name.
#[must_use]
pub fn find_library(configured: &Path) -> PathBuf {
    if !configured.as_os_str().is_empty() {
        return configured.to_owned();
    }
    let binary = std::env::current_exe().unwrap_or_default();
    let candidates: Vec<PathBuf> = candidates(&binary).collect();
    candidates.iter().find(|candidate| candidate.exists()).unwrap_or(&candidates[0]).clone()
}

fn candidates(binary: &Path) -> impl Iterator<Item = PathBuf> {
    let folder = binary.parent().unwrap_or(Path::new("")).to_owned();
    let beside = folder.join(LIBRARY_FILE);
    // target/release/odograph and target/debug/deps/odograph-… stand two and three folders below the sources.
    let fetched = (0..=3).filter_map(move |levels| Some(folder.ancestors().nth(levels)?.join(FETCHED_TO).join(LIBRARY_FILE)));
    std::iter::once(beside).chain(fetched).chain([Path::new(FETCHED_TO).join(LIBRARY_FILE)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_library_is_taken_as_it_is() {
        assert_eq!(find_library(Path::new("/opt/onnx/lib.so")), Path::new("/opt/onnx/lib.so"));
    }

    #[test]
    fn a_binary_in_target_finds_what_was_fetched() {
        let places: Vec<PathBuf> = candidates(Path::new("/src/target/release/odograph")).collect();
        assert_eq!(places[0], Path::new("/src/target/release").join(LIBRARY_FILE));
        assert!(places.contains(&Path::new("/src/.cache/onnxruntime").join(LIBRARY_FILE)));
        assert!(find_library(Path::new("")).exists(), "this test's own binary finds it: run `make fetch`");
    }
}
