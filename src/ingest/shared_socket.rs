//! One TCP socket with two owners: the crate that speaks MQTT over it, and whoever ends the connection. A second descriptor would do
//! the same and halve the number of vehicles that a process can hold. Knows no protocol.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mqtt5::broker::transport::WebSocketTransport;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// At most one owner may wait to read, and one to write, at a time: a second would take the place of the first.
#[derive(Debug, Clone)]
pub(super) struct SharedSocket(Arc<TcpStream>);

impl SharedSocket {
    pub fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    /// Last words, as far as the kernel has room for them, then the end of this direction.
    pub fn say_and_close(&self, packet: &[u8]) {
        // A peer that reads nothing does not hear it: the socket does not block.
        let _unheard = send(&*self.0, packet, SendFlags::NOSIGNAL);
        let _already_gone = self.close();
    }

    fn close(&self) -> io::Result<()> {
        Ok(shutdown(&*self.0, Shutdown::Write)?)
    }
}

impl AsyncRead for SharedSocket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(into.initialize_unfilled()) {
                Ok(length) => {
                    into.advance(length);
                    return Poll::Ready(Ok(()));
                }
                // It was not ready after all; now it is known.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(from) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.close())
    }
}

/// Any stream may be one to the crate; nothing here frames or masks.
impl WebSocketTransport for SharedSocket {
    fn peer_addr(&self) -> mqtt5::Result<SocketAddr> {
        Ok(self.0.peer_addr()?)
    }
}
