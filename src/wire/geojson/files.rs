//! GeoJSON files of settings: all fences of all of them, or every mistake with its file. Reading one document: `geojson`.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{FenceMistake, read};
use crate::domain::{Fence, FenceId};

/// One mistake, and in which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMistake {
    pub file: PathBuf,
    pub mistake: FenceMistake,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FenceFilesError {
    pub mistakes: Vec<FileMistake>,
}

/// # Errors
/// With every mistake of every file: it cannot be read, it is no GeoJSON, a fence cannot be, two files have a fence with the same id.
pub fn read_files(files: &[PathBuf]) -> Result<Vec<Fence>, FenceFilesError> {
    let mut fences: Vec<Fence> = Vec::new();
    let mut known: HashMap<FenceId, &Path> = HashMap::new();
    let mut mistakes = Vec::new();
    for file in files {
        let mut refuse = |mistake| mistakes.push(FileMistake { file: file.clone(), mistake });
        match read_file(file) {
            Ok(of_file) => {
                for fence in of_file {
                    match known.insert(fence.id.clone(), file) {
                        None => fences.push(fence),
                        Some(first) => refuse(FenceMistake {
                            feature: None,
                            id: Some(fence.id.to_string()),
                            problem: format!("fence {:?} is in {} already", fence.id.as_str(), first.display()),
                        }),
                    }
                }
            }
            Err(of_file) => of_file.into_iter().for_each(refuse),
        }
    }
    if mistakes.is_empty() { Ok(fences) } else { Err(FenceFilesError { mistakes }) }
}

fn read_file(file: &Path) -> Result<Vec<Fence>, Vec<FenceMistake>> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| vec![FenceMistake { feature: None, id: None, problem: format!("cannot be read: {error}") }])?;
    read(&text).map_err(|error| error.mistakes)
}

impl fmt::Display for FenceFilesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.mistakes.len();
        write!(formatter, "{number} mistake{} in the fences of `fences.files`:", if number == 1 { "" } else { "s" })?;
        for FileMistake { file, mistake } in &self.mistakes {
            write!(formatter, "\n  {}: {mistake}", file.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn mistakes_of_all_files_are_named_with_file_feature_and_place() {
        let folder = tempfile::tempdir().unwrap();
        let circle = |id: &str, latitude: f64| {
            format!(
                r#"{{"type":"Feature","id":"{id}","geometry":{{"type":"Point","coordinates":[8,{latitude}]}},"properties":{{"on":["enter"],"radius_m":50}}}}"#
            )
        };
        let depots = file(folder.path(), "depots.geojson", &circle("north", 49.0));
        let zones = file(folder.path(), "zones.geojson", &circle("zone", 95.0));
        let again = file(folder.path(), "again.geojson", &circle("north", 48.0));
        assert_eq!(read_files(std::slice::from_ref(&depots)).unwrap().len(), 1);
        let error = read_files(&[depots, zones, again, folder.path().join("none.geojson")]).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines[0], "3 mistakes in the fences of `fences.files`:");
        assert!(lines[1].contains("zones.geojson: feature 0 (\"zone\"): polygon 0, ring 0, coordinate 0 [8, 95]"), "{error}");
        assert!(lines[2].contains("again.geojson: fence \"north\" is in ") && lines[2].contains("depots.geojson"), "{error}");
        assert!(lines[3].contains("none.geojson: cannot be read: No such file"), "{error}");
    }
}
