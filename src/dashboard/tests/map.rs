//! Map tiles from disk.

use super::*;
use crate::dashboard::tiles::tests::a_file_of_tiles;

#[tokio::test]
async fn tiles_are_given_out_by_ranges_and_the_page_still_asks_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let map_tiles = folder.path().join("map.pmtiles");
    std::fs::write(&map_tiles, a_file_of_tiles()).unwrap();
    let server = a_server_with(settings::Page { map_tiles, ..settings::Page::default() }).await;
    assert_eq!(server.get("/api/v1/map").await.json, serde_json::json!({"style": null, "tiles": true, "roads": false}));
    let path = "/api/v1/map/tiles.pmtiles";
    let part = server.get_with(path, &[("range", "bytes=129-132")]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, b"2345".as_slice()));
    assert_eq!(part.content_type, "application/vnd.pmtiles");
    assert_eq!(server.get(path).await.body, a_file_of_tiles());
    assert_eq!(server.get_with(path, &[("range", "bytes=900-901")]).await.status, 416);
    assert_eq!(server.get_with(path, &[("host", "rebound.example")]).await.status, 403);
}

#[tokio::test]
async fn without_tiles_their_address_says_which_setting_has_them() {
    let server = a_server().await;
    let answer = server.get("/api/v1/map/tiles.pmtiles").await;
    assert_eq!((answer.status, answer.json["code"].as_str()), (404, Some("not_found")));
    assert!(answer.json["detail"].as_str().unwrap().contains("page.map_tiles"));
}
