//! Map tiles out of a PMTiles file on disk, by ranges: the page draws streets and asks nobody else. Does not read the tiles.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeFile;

use super::map::Map;
use super::parameters::Parameters;
use super::problem::Problem;

/// Of a PMTiles file, version 3 (<https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md>, 3).
const HEADER_BYTES: usize = 127;
const MAGIC: &[u8] = b"PMTiles";
const VERSION: u8 = 3;
/// Where a section's offset and length stand: root directory, metadata, leaf directories, tile data.
const SECTIONS: [usize; 4] = [8, 24, 40, 56];

/// A file that was one of tiles when the process began.
#[derive(Debug, Clone)]
pub struct Tiles {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TilesError {
    #[error("cannot read {path} of `page.map_tiles`: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("{path} of `page.map_tiles` is no PMTiles file; MBTiles and others are converted by `pmtiles convert`")]
    Foreign { path: PathBuf },
    #[error(
        "{path} of `page.map_tiles` is PMTiles version {version}, this program reads version {VERSION}; `pmtiles convert` makes one"
    )]
    Version { path: PathBuf, version: u8 },
    #[error("{path} of `page.map_tiles` has {has} bytes and should have {should}; was it copied to its end?")]
    Short { path: PathBuf, has: u64, should: u64 },
}

impl Tiles {
    /// Looks at its header only.
    ///
    /// # Errors
    /// Where the file cannot be read, is another one, or has lost its end.
    pub fn open(path: &Path) -> Result<Self, TilesError> {
        let failed = |error| TilesError::File { path: path.to_owned(), error };
        let mut file = File::open(path).map_err(failed)?;
        let has = file.metadata().map_err(failed)?.len();
        let mut header = Vec::with_capacity(HEADER_BYTES);
        file.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(failed)?;
        let Some(&[version]) = header.strip_prefix(MAGIC).and_then(|rest| rest.get(..1)) else {
            return Err(TilesError::Foreign { path: path.to_owned() });
        };
        if version != VERSION {
            return Err(TilesError::Version { path: path.to_owned(), version });
        }
        let should = SECTIONS.iter().map(|at| end_of_section(&header, *at)).fold(HEADER_BYTES as u64, u64::max);
        if has < should {
            return Err(TilesError::Short { path: path.to_owned(), has, should });
        }
        Ok(Self { path: path.to_owned() })
    }
}

/// A header that is cut off has no sections, and is too short as a file.
fn end_of_section(header: &[u8], at: usize) -> u64 {
    let number = |at: usize| header.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    number(at).saturating_add(number(at + 8))
}

/// The PMTiles file of `page.map_tiles`; ask for ranges.
#[utoipa::path(get, path = "/map/tiles.pmtiles", operation_id = "map_tiles", responses(
    (status = OK, content_type = "application/vnd.pmtiles"),
    (status = PARTIAL_CONTENT, description = "The `Range` that was asked for", content_type = "application/vnd.pmtiles"),
))]
pub async fn tiles(State(map): State<Map>, parameters: Parameters, request: Request) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let none = || Problem::not_found("the settings name no map tiles (`page.map_tiles`)");
    let tiles = map.tiles().ok_or_else(none)?;
    let response = ServeFile::new(&tiles.path).try_call(request).await.map_err(|error| {
        tracing::warn!(%error, path = %tiles.path.display(), "map tiles cannot be read");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "tiles_unreadable", "the file of the map tiles cannot be read")
    })?;
    Ok(([(header::CONTENT_TYPE, "application/vnd.pmtiles")], response).into_response())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header and eight bytes of tiles.
    pub fn a_file_of_tiles() -> Vec<u8> {
        let mut file = [MAGIC, &[VERSION]].concat();
        for (offset, length) in [(127_u64, 0_u64), (127, 0), (127, 0), (127, 8)] {
            file.extend(offset.to_le_bytes());
            file.extend(length.to_le_bytes());
        }
        file.resize(HEADER_BYTES, 0);
        file.extend(b"01234567");
        file
    }

    fn opened(content: &[u8]) -> Result<Tiles, TilesError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.pmtiles");
        std::fs::write(&path, content).unwrap();
        Tiles::open(&path)
    }

    #[test]
    fn only_a_whole_file_of_version_3_is_taken() {
        let whole = a_file_of_tiles();
        assert!(opened(&whole).is_ok());
        assert!(matches!(opened(b"SQLite format 3\0"), Err(TilesError::Foreign { .. })));
        assert!(matches!(opened(b""), Err(TilesError::Foreign { .. })));
        let mut old = whole.clone();
        old[7] = 2;
        assert!(matches!(opened(&old), Err(TilesError::Version { version: 2, .. })));
        assert!(matches!(opened(&whole[..130]), Err(TilesError::Short { has: 130, should: 135, .. })));
        assert!(matches!(opened(&whole[..50]), Err(TilesError::Short { has: 50, .. })));
        let missing = Tiles::open(Path::new("no/such.pmtiles")).unwrap_err().to_string();
        assert!(missing.contains("no/such.pmtiles") && missing.contains("page.map_tiles"), "{missing}");
    }
}
