//! Who may ask at all: on loopback everybody on this machine, but no page of another origin in their browser (DNS rebinding), and
//! nobody through a proxy that this build knows nothing of.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::problem::Problem;
use super::{LARGEST_BODY_BYTES, REQUEST_TIMEOUT};

#[derive(Debug)]
pub struct Guard {
    address: SocketAddr,
}

impl Guard {
    pub const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// `localhost`, a loopback address, or the one that is bound; with our port or none.
    fn is_ours(&self, authority: &str) -> bool {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (authority, Some(80)),
        };
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let is_local =
            host.eq_ignore_ascii_case("localhost") || address.is_some_and(|ip| ip.is_loopback() || ip == self.address.ip());
        is_local && port == Some(self.address.port())
    }

    fn refusal(&self, headers: &HeaderMap) -> Option<Problem> {
        let refused = |code, detail: String| Some(Problem::new(StatusCode::FORBIDDEN, code, detail));
        let is_forwarded = |name: &header::HeaderName| *name == header::FORWARDED || name.as_str().starts_with("x-forwarded-");
        if let Some(name) = headers.keys().find(|name| is_forwarded(name)) {
            return refused("forwarded", format!("the header {name} is not accepted: this address is for this machine only"));
        }
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        match text(header::HOST) {
            Some(host) if self.is_ours(host) => {}
            host => return refused("host", format!("the host {:?} is not this machine", host.unwrap_or_default())),
        }
        match text(header::ORIGIN) {
            Some(origin) if !origin.strip_prefix("http://").is_some_and(|authority| self.is_ours(authority)) => {
                refused("origin", format!("pages of {origin:?} may not ask"))
            }
            _ => None,
        }
    }
}

pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if let Some(problem) = guard.refusal(request.headers()) {
        return problem.into_response();
    }
    next.run(request).await
}

/// Questions are limited in number and time, and whatever refuses one says so as a problem. Ways in bound themselves.
pub async fn question(State(questions): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = questions.try_acquire() else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_requests", "too many requests at once; try again")
            .into_response();
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => explained(response),
        Err(_elapsed) => {
            let detail = format!("no answer within {} s; ask for less at once", REQUEST_TIMEOUT.as_secs());
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).into_response()
        }
    }
}

/// Layers and extractors of libraries refuse in plain text; every error of ours is a problem with a code.
fn explained(response: Response) -> Response {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_plain = content_type.is_none_or(|content_type| content_type.starts_with("text/plain"));
    if !(status.is_client_error() || status.is_server_error()) || !is_plain {
        return response;
    }
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("a body has at most {LARGEST_BODY_BYTES} bytes");
            Problem::new(status, "body_too_large", detail).into_response()
        }
        _ => Problem::new(status, "refused", "this request cannot be read").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(headers: &[(&'static str, &'static str)]) -> bool {
        let guard = Guard::new("127.0.0.1:8080".parse().unwrap());
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        guard.refusal(&headers).is_some()
    }

    #[test]
    fn only_this_machine_and_its_own_pages_may_ask() {
        assert!(!refusal(&[("host", "127.0.0.1:8080")]));
        assert!(!refusal(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")]));
        assert!(!refusal(&[("host", "[::1]:8080")]));
        assert!(refusal(&[]), "no host");
        assert!(refusal(&[("host", "evil.example:8080")]), "rebinding");
        assert!(refusal(&[("host", "localhost:9090")]), "another port");
        assert!(refusal(&[("host", "localhost:8080"), ("origin", "http://evil.example")]));
        assert!(refusal(&[("host", "localhost:8080"), ("x-forwarded-for", "10.0.0.1")]));
        assert!(refusal(&[("host", "localhost:8080"), ("forwarded", "for=10.0.0.1")]));
    }
}
