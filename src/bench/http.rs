//! A small HTTP/1.1 client over one kept connection, for asking the service about itself. Only GET, only bodies with a length.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("could not ask http://{address}{path}: {source}")]
    Io { address: SocketAddr, path: String, source: std::io::Error },
    #[error("http://{address}{path} answered in a form that was not expected: {what}")]
    Form { address: SocketAddr, path: String, what: &'static str },
    #[error("http://{address}{path} answered {status}: {body}")]
    Status { address: SocketAddr, path: String, status: u16, body: String },
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Any status is an answer.
    pub async fn get(&mut self, path: &str) -> Result<Answer, HttpError> {
        let answer = self.ask(path).await;
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    /// The body of a 200; every other status is an error.
    pub async fn get_ok(&mut self, path: &str) -> Result<Vec<u8>, HttpError> {
        match self.get(path).await? {
            Answer { status: 200, body } => Ok(body),
            Answer { status, body } => {
                let body = String::from_utf8_lossy(&body).chars().take(300).collect();
                Err(HttpError::Status { address: self.address, path: path.to_owned(), status, body })
            }
        }
    }

    async fn ask(&mut self, path: &str) -> Result<Answer, HttpError> {
        let address = self.address;
        let io = |source| HttpError::Io { address, path: path.to_owned(), source };
        let form = |what| HttpError::Form { address, path: path.to_owned(), what };
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(address).await.map_err(io)?;
                stream.set_nodelay(true).map_err(io)?;
                none.insert(stream)
            }
        };
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.map_err(io)?;
        let mut bytes = Vec::with_capacity(4_096);
        let head_end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await.map_err(io)? == 0 {
                return Err(form("the connection ended in the head"));
            }
        };
        let head = std::str::from_utf8(&bytes[..head_end]).map_err(|_| form("the head is no text"))?;
        let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| form("no status"))?;
        let length: usize = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .ok_or_else(|| form("no Content-Length"))?;
        let mut body = bytes.split_off(head_end);
        while body.len() < length {
            if stream.read_buf(&mut body).await.map_err(io)? == 0 {
                return Err(form("the connection ended in the body"));
            }
        }
        Ok(Answer { status, body })
    }
}
