//! An HTTP server on a free port of this machine, with the answers, good or bad, that a test chooses.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Timeout of a client that stops in the middle of a request or an answer: it must not hold up the test's
/// end.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The answer to a GET.
pub(crate) enum Reply {
    /// These bytes as they are.
    Whole(Vec<u8>),
    /// The first half of these bytes, then the end of the connection.
    Cut(Vec<u8>),
    /// The first half of these bytes, then silence.
    Stalled(Vec<u8>),
    /// These bytes in five parts, with a pause before each.
    Slow(Vec<u8>, Duration),
    /// Zeros, as long as the client takes them.
    Endless,
    /// A status and no content.
    Status(u16),
}

type Script = Box<dyn FnMut(&str) -> Reply + Send>;

/// A mirror on this machine, which ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that answers HEAD at once, and each GET as `reply` returns for the file's name.
    pub(crate) fn start(reply: impl FnMut(&str) -> Reply + Send + 'static) -> Self {
        Self::run(Some(Box::new(reply)))
    }

    /// A server that accepts connections and sends nothing.
    pub(crate) fn silent() -> Self {
        Self::run(None)
    }

    fn run(mut reply: Option<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let log = requests.clone();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            // A closed connection is an answer too.
            let mut open = Vec::new();
            for stream in listener.incoming().map(Result::unwrap) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Some(line) = request(&stream) else { continue };
                let (method, rest) = line.split_once(" /").unwrap();
                let file = rest.split(' ').next().unwrap();
                log.lock().unwrap().push(format!("{method} {file}"));
                let told = match &mut reply {
                    Some(_) if method == "HEAD" => Some(Reply::Status(200)),
                    Some(reply) => Some(reply(file)),
                    None => None,
                };
                if matches!(told, None | Some(Reply::Stalled(_))) {
                    open.push(stream.try_clone().unwrap());
                }
                // A client that goes away is part of what is tested.
                told.map(|reply| answer(&stream, reply));
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    /// Base address of the files.
    pub(crate) fn base(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Method and file of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(self.address));
        self.thread.take().map(JoinHandle::join);
    }
}

/// The request line, once the whole header has arrived.
fn request(stream: &TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(CLIENT_TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(CLIENT_TIMEOUT)).unwrap();
    let lines: Vec<String> =
        BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    lines.into_iter().next()
}

fn answer(mut stream: &TcpStream, reply: Reply) -> std::io::Result<()> {
    let (status, length) = match &reply {
        Reply::Status(status) => (*status, Some(0)),
        Reply::Endless => (200, None),
        Reply::Whole(bytes) | Reply::Cut(bytes) | Reply::Stalled(bytes) | Reply::Slow(bytes, _) => {
            (200, Some(bytes.len()))
        }
    };
    let length = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
    write!(stream, "HTTP/1.1 {status} Told\r\n{length}Connection: close\r\n\r\n")?;
    match reply {
        Reply::Whole(bytes) => stream.write_all(&bytes),
        Reply::Cut(bytes) => {
            stream.write_all(&bytes[..bytes.len() / 2])?;
            stream.shutdown(std::net::Shutdown::Both)
        }
        Reply::Stalled(bytes) => stream.write_all(&bytes[..bytes.len() / 2]),
        Reply::Slow(bytes, pause) => bytes.chunks(bytes.len().div_ceil(5)).try_for_each(|piece| {
            thread::sleep(pause);
            stream.write_all(piece)
        }),
        Reply::Endless => loop {
            stream.write_all(&[0; 4096])?;
        },
        Reply::Status(_) => Ok(()),
    }
}
