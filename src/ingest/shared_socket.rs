//! One socket, plain or TLS, with two owners: the crate that speaks MQTT over it, and whoever ends the connection. A second descriptor
//! would do the same and halve the number of vehicles that a process can hold. Knows no protocol.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use mqtt5::broker::transport::WebSocketTransport;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::tls::{TlsConnection, last_words};

/// At most one owner may wait to read, and one to write, at a time: a second would take the place of the first.
#[derive(Clone)]
pub(super) struct SharedSocket(Arc<Shared>);

struct Shared {
    stream: Stream,
    /// Last words have been said. The crate reads the end then, whatever still comes, and writes nothing.
    is_over: AtomicBool,
}

enum Stream {
    Plain(TcpStream),
    /// Never waited for: its owners are in one task.
    Tls(Mutex<Secured>),
}

struct Secured {
    connection: Box<TlsConnection>,
    /// What was read of it to see which protocol it speaks.
    first: Vec<u8>,
}

/// What still comes after the last words.
pub(super) struct Rest(SharedSocket);

impl SharedSocket {
    pub fn plain(stream: TcpStream) -> Self {
        Self::of(Stream::Plain(stream))
    }

    /// `first`: what was read of it already.
    pub fn secured(connection: TlsConnection, first: Vec<u8>) -> Self {
        Self::of(Stream::Tls(Mutex::new(Secured { connection: Box::new(connection), first })))
    }

    fn of(stream: Stream) -> Self {
        Self(Arc::new(Shared { stream, is_over: AtomicBool::new(false) }))
    }

    /// Last words, as far as the kernel has room for them, then the end of this direction.
    pub fn say_and_close(&self, packet: &[u8]) {
        self.0.is_over.store(true, Ordering::Relaxed);
        match &self.0.stream {
            Stream::Plain(stream) => {
                // A peer that reads nothing does not hear it: the socket does not block.
                let _unheard = send(stream, packet, SendFlags::NOSIGNAL);
                let _already_gone = shutdown(stream, Shutdown::Write);
            }
            Stream::Tls(secured) => last_words(&mut lock(secured).connection, packet),
        }
    }

    pub fn rest(&self) -> Rest {
        Rest(self.clone())
    }

    fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    fn poll_read_on(&self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = match &self.0.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(secured) => return lock(secured).poll_read(context, into),
        };
        loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_read(into.initialize_unfilled()) {
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

impl Secured {
    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // The crate never flushes; what the kernel had no room for would wait for its next packet.
        if self.connection.get_ref().1.wants_write()
            && let Poll::Ready(Err(error)) = Pin::new(&mut *self.connection).poll_flush(context)
        {
            return Poll::Ready(Err(error));
        }
        if self.first.is_empty() {
            return Pin::new(&mut *self.connection).poll_read(context, into);
        }
        let length = self.first.len().min(into.remaining());
        into.put_slice(&self.first[..length]);
        self.first.drain(..length);
        if self.first.is_empty() {
            self.first = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

fn lock(secured: &Mutex<Secured>) -> MutexGuard<'_, Secured> {
    secured.lock().expect("nobody panics while holding it")
}

impl AsyncRead for SharedSocket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_over() { Poll::Ready(Ok(())) } else { self.poll_read_on(context, into) }
    }
}

impl AsyncRead for Rest {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_on(context, into)
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_over() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let stream = match &self.0.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(secured) => return Pin::new(&mut *lock(secured).connection).poll_write(context, from),
        };
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_write(from) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0.stream {
            _ if self.is_over() => Poll::Ready(Ok(())),
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(secured) => Pin::new(&mut *lock(secured).connection).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0.stream {
            _ if self.is_over() => Poll::Ready(Ok(())),
            Stream::Plain(stream) => Poll::Ready(Ok(shutdown(stream, Shutdown::Write)?)),
            Stream::Tls(secured) => Pin::new(&mut *lock(secured).connection).poll_shutdown(context),
        }
    }
}

/// Any stream may be one to the crate; nothing here frames or masks.
impl WebSocketTransport for SharedSocket {
    fn peer_addr(&self) -> mqtt5::Result<SocketAddr> {
        Ok(match &self.0.stream {
            Stream::Plain(stream) => stream.peer_addr()?,
            Stream::Tls(secured) => lock(secured).connection.get_ref().0.peer_addr()?,
        })
    }
}
