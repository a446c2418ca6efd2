//! Connections of a gRPC server as they come, plain or TLS, for `serve_with_incoming_shutdown`; each says to its calls who is calling.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::{Certificate, Peer, TlsServer};
use crate::tasks::{Stop, Tasks};

/// Connections that have shaken hands and the server has not taken. Full: they wait.
const WAITING: usize = 16;

/// Connections in their handshake. Full: the kernel keeps further ones until one is through, which a timeout sees to.
const IN_HANDSHAKE: usize = 1_024;

/// Accepting can fail for want of file descriptors; trying again at once would burn a core.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

pub type Incoming = ReceiverStream<io::Result<Connection>>;

/// Who is at the other end; a server finds it in the extensions of each request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub address: SocketAddr,
    /// `None`: plain text, or no certificate was wanted.
    pub certificate: Option<Arc<Certificate>>,
}

/// One connection of a client.
pub struct Connection {
    stream: Stream,
    caller: Caller,
}

enum Stream {
    Plain(TcpStream),
    /// Boxed: a TLS session is a kilobyte.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Caller {
    #[must_use]
    pub fn peer(&self) -> Option<&Peer> {
        self.certificate.as_ref().map(|certificate| &certificate.peer)
    }
}

/// Accepts until the stop signal. `security`: `None` for plain text.
#[must_use]
pub fn incoming(listener: TcpListener, security: Option<Arc<TlsServer>>, tasks: &Tasks) -> Incoming {
    let (through, connections) = mpsc::channel(WAITING);
    tasks.spawn("incoming connections", accept_until_stopped(listener, security, through, tasks.stop()));
    ReceiverStream::new(connections)
}

async fn accept_until_stopped(
    listener: TcpListener,
    security: Option<Arc<TlsServer>>,
    through: mpsc::Sender<io::Result<Connection>>,
    mut stop: Stop,
) -> anyhow::Result<()> {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if handshakes.len() < IN_HANDSHAKE => match accepted {
                Ok((stream, address)) => {
                    handshakes.spawn(shake_hands(stream, address, security.clone(), through.clone()));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection, will try again");
                    sleep(PAUSE_AFTER_ERROR).await;
                }
            },
            Some(_done) = handshakes.join_next() => {}
            () = through.closed() => return Ok(()),
            () = stop.requested() => return Ok(()),
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    address: SocketAddr,
    security: Option<Arc<TlsServer>>,
    through: mpsc::Sender<io::Result<Connection>>,
) {
    // Else small answers wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        return debug!(%error, "connection was gone before it began");
    }
    let connection = match security {
        None => Connection { stream: Stream::Plain(stream), caller: Caller { address, certificate: None } },
        Some(security) => match security.accept(stream).await {
            Ok((stream, certificate)) => Connection {
                stream: Stream::Tls(Box::new(stream)),
                caller: Caller { address, certificate: certificate.map(Arc::new) },
            },
            Err(error) => return debug!(%address, %error, "connection refused"),
        },
    };
    let _server_is_gone = through.send(Ok(connection)).await;
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, from),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, from),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
