//! The page, out of the binary. Made by `npm run build` in `web/`; a binary that was built without it says how to build it.

use std::borrow::Cow;
use std::io::Read;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use flate2::read::GzDecoder;
use rust_embed::{Embed, EmbeddedFile};

use super::Map;
use super::problem::Problem;

/// Text is kept compressed only, as `NAME.gz`: half of the size of the binary's page, and most of what a slow link would carry.
#[derive(Embed)]
#[folder = "src/dashboard/web/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";
/// Below it names carry a hash of their content.
const HASHED: &str = "assets/";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Odograph</title><h1>Odograph</h1>\
    <p>This binary was built without its page. <code>make build</code> builds both; by hand: <code>cd src/dashboard/web &amp;&amp; npm ci \
    &amp;&amp; npm run build</code>, then <code>cargo build</code> again. Node 20 or newer is needed.</p>\
    <p>The API answers all the same: <a href=\"/api/v1/vehicles\">/api/v1/vehicles</a>, <a href=\"/api/v1/alerts\">/api/v1/alerts</a>, \
    <a href=\"/health/ready\">/health/ready</a>, <a href=\"/metrics\">/metrics</a>.</p></html>";

pub async fn index(State(map): State<Map>, headers: HeaderMap) -> Response {
    let mut response = match file(INDEX, &headers) {
        Some(response) => response,
        None => Html(NOT_BUILT).into_response(),
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, map.content_security_policy());
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

pub async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    file(path, &headers).unwrap_or_else(|| Problem::not_found("no such file of the page").into_response())
}

fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
    let (file, is_compressed) = match Files::get(&format!("{path}.gz")) {
        Some(file) => (file, true),
        None => (Files::get(path)?, false),
    };
    let etag = etag(&file);
    let mut response = if headers.get(header::IF_NONE_MATCH) == Some(&etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let takes_gzip = headers
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("gzip"));
        body(file, is_compressed, takes_gzip)
    };
    let cache = if path.starts_with(HASHED) { FOR_EVER } else { ASK_AGAIN };
    let map = response.headers_mut();
    map.insert(header::ETAG, etag);
    map.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    map.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    map.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(response)
}

fn body(file: EmbeddedFile, is_compressed: bool, takes_gzip: bool) -> Response {
    let is_plain_wanted = is_compressed && !takes_gzip;
    if is_plain_wanted {
        let mut plain = Vec::new();
        let read = GzDecoder::new(&*file.data).read_to_end(&mut plain);
        let broken = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "page_unreadable", "a file of the page is broken");
        return read.map_or_else(|_| broken().into_response(), |_| plain.into_response());
    }
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    let encoding = is_compressed.then_some([(header::CONTENT_ENCODING, "gzip")]);
    (encoding.map(axum::response::AppendHeaders), bytes).into_response()
}

fn etag(file: &EmbeddedFile) -> HeaderValue {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash
        .iter()
        .take(12)
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).expect("hexadecimal digits in quotes")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_is_made_of_has_a_type() {
        assert_eq!(content_type("assets/index-Dk3.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("assets/no-ending"), "application/octet-stream");
    }
}
