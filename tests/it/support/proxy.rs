//! A TCP proxy between two parties that hurts what passes: slow, in slices, swallowed, reset, or cut when a word was said.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// How long a thread may not notice that something changed.
const NOTICES_WITHIN: Duration = Duration::from_millis(20);

/// What happens to what passes, in both directions, from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Everything comes so much later.
    Delay(Duration),
    /// A few bytes at a time, so that no message arrives whole.
    Slices,
    /// Taken and never delivered; nobody is told.
    BlackHole,
    /// Every connection is reset, and every new one at once.
    Reset,
    /// Once the client has said this word, its connection is reset as soon as the server answers, and the answer is lost.
    CutAfter(&'static [u8]),
}

/// Stops when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    fault: Mutex<Fault>,
    /// Connections that a fault ended.
    cuts: AtomicUsize,
    is_over: AtomicBool,
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            fault: Mutex::new(Fault::None),
            cuts: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            let _panicked = acceptor.join();
        }
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        thread::scope(|scope| {
            while !self.is_over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => {
                        scope.spawn(move || self.serve(&client));
                    }
                    Err(_) => thread::sleep(NOTICES_WITHIN / 4),
                }
            }
        });
    }

    fn serve(&self, client: &TcpStream) {
        let server = TcpStream::connect_timeout(&self.target, Duration::from_secs(5));
        let Ok(server) = server.and_then(|server| prepared(server, client)) else { return reset(client) };
        let word_was_said = AtomicBool::new(false);
        let is_open = AtomicBool::new(true);
        let connection = Connection { shared: self, client, server: &server, word_was_said, is_open };
        thread::scope(|scope| {
            scope.spawn(|| connection.pass(client, &server, true));
            connection.pass(&server, client, false);
        });
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    client: &'a TcpStream,
    server: &'a TcpStream,
    word_was_said: AtomicBool,
    is_open: AtomicBool,
}

impl Connection<'_> {
    /// Until one side ends, a fault does, or the test is over.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream, is_from_client: bool) {
        let mut buffer = vec![0; 16 * 1024];
        while self.is_open.load(Ordering::Relaxed) && !self.shared.is_over.load(Ordering::Relaxed) {
            if self.shared.fault() == Fault::Reset {
                return self.cut();
            }
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => break,
            };
            let bytes = &buffer[..read];
            let passed = match self.shared.fault() {
                Fault::None => to.write_all(bytes),
                Fault::Delay(by) => {
                    thread::sleep(by);
                    to.write_all(bytes)
                }
                Fault::Slices => bytes.chunks(7).try_for_each(|slice| {
                    thread::sleep(Duration::from_micros(200));
                    to.write_all(slice)
                }),
                Fault::BlackHole => Ok(()),
                Fault::Reset => return self.cut(),
                Fault::CutAfter(word) => {
                    if is_from_client {
                        let says_it = bytes.windows(word.len()).any(|part| part == word);
                        self.word_was_said.fetch_or(says_it, Ordering::Relaxed);
                    } else if self.word_was_said.load(Ordering::Relaxed) {
                        return self.cut();
                    }
                    to.write_all(bytes)
                }
            };
            if passed.is_err() {
                break;
            }
        }
        self.is_open.store(false, Ordering::Relaxed);
        for side in [self.client, self.server] {
            let _gone = side.shutdown(Shutdown::Both);
        }
    }

    fn cut(&self) {
        if self.is_open.swap(false, Ordering::Relaxed) {
            self.shared.cuts.fetch_add(1, Ordering::Relaxed);
        }
        reset(self.client);
        reset(self.server);
    }
}

fn prepared(server: TcpStream, client: &TcpStream) -> std::io::Result<TcpStream> {
    for side in [&server, client] {
        side.set_nonblocking(false)?;
        side.set_nodelay(true)?;
        side.set_read_timeout(Some(NOTICES_WITHIN))?;
    }
    Ok(server)
}

/// With RST, as a machine that was switched off answers.
fn reset(side: &TcpStream) {
    // Without lingering, closing resets; the shutdown wakes whoever reads.
    let _gone = set_socket_linger(side, Some(Duration::ZERO));
    let _gone = side.shutdown(Shutdown::Both);
}
