//! The end of a TLS connection from outside of whoever reads and writes it: a packet, the end of TLS, the end of this direction.

use std::io::{self, Write};

use rustix::net::{SendFlags, Shutdown, send, shutdown};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection of a client to a [`TlsServer`](super::TlsServer).
pub type TlsConnection = TlsStream<TcpStream>;

/// As far as the kernel has room for it: a peer that reads nothing does not hear it. What was being written before goes first.
pub fn last_words(connection: &mut TlsConnection, packet: &[u8]) {
    let (socket, session) = connection.get_mut();
    // A buffer in memory.
    let _never_fails = session.writer().write_all(packet);
    session.send_close_notify();
    while session.wants_write() {
        if session.write_tls(&mut NonBlocking(socket)).is_err() {
            break;
        }
    }
    let _already_gone = shutdown(&*socket, Shutdown::Write);
}

struct NonBlocking<'a>(&'a TcpStream);

impl Write for NonBlocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
