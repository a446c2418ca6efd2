//! What is refused, here and at the ways in: with its reason and a code that stays.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn refused_messages_are_listed_counted_and_exported() {
    let server = a_server().await;
    let payload = server.keeps_refused().await;
    let listed = server.get("/api/v1/quarantine?reason=json_syntax").await.json;
    assert_eq!(listed["counts"], serde_json::json!({"json_syntax": 1}));
    let message = &listed["messages"][0];
    assert_eq!((message["payload_base64"].as_str(), message["source"].as_str()), (Some("/25vIGpzb24="), Some("mqtt")));
    let exported = server.get(&format!("/api/v1/quarantine/{}/payload", message["id"])).await;
    assert_eq!((exported.status, exported.body.as_slice()), (200, payload));
    assert_eq!(server.get("/api/v1/quarantine?reason=too_old").await.json["messages"], serde_json::json!([]));
    let replayed = server.post("/api/v1/quarantine/replay", r#"{"reason":"json_syntax"}"#).await;
    let expected = serde_json::json!({
        "taken": 0, "accepted": 0, "duplicates": 0, "still_refused": {"vehicle_id_invalid": 1}, "not_whole": 0, "not_replayable": 0
    });
    assert_eq!((replayed.status, replayed.json), (200, expected));
    for body in ["{}", r#"{"reason":"json"}"#, r#"{"ids":[1],"cursor":"1"}"#, ""] {
        let answer = server.post("/api/v1/quarantine/replay", body).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (400, Some("bad_replay")), "{body}");
    }
}

#[tokio::test]
async fn mistakes_are_explained_with_a_stable_code() {
    let server = a_server().await;
    server.keeps(&a_reading_at(moment("2026-11-24T03:00:00Z"))).await;
    let readings = "/api/v1/vehicles/truck-7/readings";
    for (path, status, code, hint) in [
        (format!("{readings}?form=2026-11-24T03:00:00Z"), 400, "bad_parameter", "did you mean `from`"),
        (format!("{readings}?from=2026-11-24T03:00:00+01:00"), 400, "bad_parameter", "write + as %2B"),
        (format!("{readings}?to=yesterday"), 400, "bad_parameter", "RFC 3339"),
        (format!("{readings}?limit=0"), 400, "bad_parameter", "1..1000"),
        (format!("{readings}?limit=1&limit=2"), 400, "bad_parameter", "twice"),
        (format!("{readings}?cursor=abc"), 400, "bad_parameter", "next_cursor"),
        (format!("{readings}?from=2026-11-24T04:00:00Z&to=2026-11-24T03:00:00Z"), 400, "bad_parameter", "before"),
        (format!("{readings}?every=15"), 400, "bad_parameter", "such as 30s"),
        (format!("{readings}?every=0s"), 400, "bad_parameter", "whole number of seconds"),
        (format!("{readings}?every=1500ms"), 400, "bad_parameter", "whole number of seconds"),
        (format!("{readings}?every=5m"), 400, "bad_parameter", "needs `from`"),
        (format!("{readings}?every=5m&from=2026-11-23T00:00:00Z&to=2026-11-30T00:00:01Z"), 400, "bad_parameter", "2017 buckets"),
        (format!("{readings}?every=5m&from=2026-11-24T04:00:00Z&to=2026-11-24T03:00:00Z"), 400, "bad_parameter", "before"),
        (
            format!("{readings}?every=5m&from=2026-11-24T03:00:00Z&to=2026-11-24T04:00:00Z&cursor=a"),
            400,
            "bad_parameter",
            "next_cursor",
        ),
        (
            "/api/v1/vehicles/van-1/readings?every=1h&from=2026-11-24T03:00:00Z&to=2026-11-24T04:00:00Z".to_owned(),
            404,
            "not_found",
            "van-1",
        ),
        ("/api/v1/vehicles/truck%207".to_owned(), 400, "bad_parameter", "A-Z"),
        ("/api/v1/vehicles/van-1/readings".to_owned(), 404, "not_found", "van-1"),
        ("/api/v1/quarantine?reason=json".to_owned(), 400, "bad_parameter", "json_syntax"),
        ("/api/v1/quarantine/99/payload".to_owned(), 404, "not_found", "99"),
        ("/api/v1/vehicle".to_owned(), 404, "not_found", "/vehicles"),
        ("/nowhere".to_owned(), 404, "not_found", "/api/v1"),
    ] {
        let answer = server.get(&path).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (status, Some(code)), "{path}");
        assert_eq!(answer.content_type, "application/problem+json", "{path}");
        assert_eq!(answer.json["status"], status, "{path}");
        assert!(answer.json["detail"].as_str().unwrap().contains(hint), "{path}: {}", answer.json["detail"]);
    }
    // By hand: the answer comes before the body, which a client that is still sending may not live to read.
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let (address, length) = (server.address, LARGEST_BODY_BYTES + 1);
    let head = format!(
        "POST /api/v1/vehicles/import HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    let request = ureq::http::Request::delete(format!("http://{}/api/v1/vehicles/truck-7", server.address));
    let answer = server.send(request.body(Vec::new()).unwrap()).await;
    assert_eq!((answer.status, answer.json["code"].as_str()), (405, Some("method_not_allowed")));
}

#[tokio::test]
async fn other_hosts_other_origins_and_proxies_are_refused() {
    let server = a_server().await;
    for (name, value, code) in [
        ("host", "rebound.example", "host"),
        ("origin", "http://rebound.example", "origin"),
        ("origin", "null", "origin"),
        ("x-forwarded-for", "192.0.2.1", "forwarded"),
    ] {
        let answer = server.get_with("/api/v1/vehicles", &[(name, value)]).await;
        assert_eq!((answer.status, answer.json["code"].as_str()), (403, Some(code)), "{name}: {value}");
    }
}
