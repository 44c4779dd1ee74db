//! A connection that is not a worker's is closed. Memory stays bounded, and the training is not affected.

use proto::wire::answer::Body;
use proto::wire::chunk::Place;
use proto::wire::cluster_client::ClusterClient;
use proto::wire::from_coordinator::Message;
use proto::wire::{Answer, Chunk, Dropped, Dtype, FromWorker, Hello, Node, Refused, TensorHead, from_worker};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tests::attacked_run::AttackedRun;
use tokio_stream::StreamExt;

/// Timeout for closing: a silent connection has 10 s, the rest is for a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(40);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An HTTP/2 SETTINGS frame without content, which keeps all defaults.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Reads until the other side closes; answers HTTP/2's pings if `polite`.
fn wait_for_close(stream: &mut TcpStream, polite: bool) {
    let deadline = Instant::now() + CLOSED_WITHIN;
    stream.set_read_timeout(Some(CLOSED_WITHIN)).expect("more than no time");
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(bytes) => received.extend(&buffer[..bytes]),
            Err(error) => {
                let open =
                    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                return assert!(!open, "still open after {CLOSED_WITHIN:?}");
            }
        }
        assert!(Instant::now() < deadline, "still open after {CLOSED_WITHIN:?}");
        while polite && received.len() >= 9 {
            let length = usize::from(received[1]) << 8 | usize::from(received[2]);
            if received.len() < 9 + length {
                break;
            }
            let frame: Vec<u8> = received.drain(..9 + length).collect();
            if frame[3] == 6 && frame[4] & 1 == 0 {
                let pong = [&frame[..4], &[1], &frame[5..]].concat();
                let _ = stream.write_all(&pong);
            }
        }
    }
}

#[test]
fn a_thousand_connections_that_say_nothing_are_closed() {
    let visited = AttackedRun::new(&[]);
    let address = visited.address.clone();
    let before_kb = visited.run.status("VmHWM");
    let mut silent = VecDeque::new();
    for _ in 0..1000 {
        silent.push_back(TcpStream::connect(&address).unwrap());
        // This process may have no more files open than the coordinator. The oldest are the first to go.
        if silent.len() > 400 {
            wait_for_close(&mut silent.pop_front().unwrap(), false);
        }
    }
    silent.iter_mut().for_each(|stream| wait_for_close(stream, false));
    let grown_kb = visited.run.status("VmHWM") - before_kb;
    assert!(grown_kb < 64 << 10, "the coordinator grew by {grown_kb} kB");
    assert!(visited.run.open_files() < 100, "{} files are open", visited.run.open_files());
    visited.ends_golden_and_undisturbed();
}

#[test]
fn one_who_never_says_hello_is_shown_out_whatever_else_he_says() {
    let visited = AttackedRun::new(&[]);
    let address = visited.address.clone();
    let connect = || TcpStream::connect(&address).unwrap();
    let noise: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sayings: [(&[u8], bool); 6] = [
        (b"", false),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", false),
        (&noise, false),
        (&PREFACE[..12], false),
        (PREFACE, false),
        (&[PREFACE, SETTINGS].concat(), true),
    ];
    std::thread::scope(|scope| {
        for (saying, polite) in sayings {
            scope.spawn(move || {
                let mut stream = connect();
                // The connection may be closed before everything is sent.
                let _ = stream.write_all(saying);
                wait_for_close(&mut stream, polite);
            });
        }
        scope.spawn(move || {
            let mut stream = connect();
            let deadline = Instant::now() + CLOSED_WITHIN;
            // A byte now and then, without end.
            for letter in PREFACE.iter().chain(SETTINGS).cycle() {
                std::thread::sleep(Duration::from_millis(700));
                if stream.write_all(&[*letter]).is_err() {
                    return;
                }
                assert!(Instant::now() < deadline, "still open after {CLOSED_WITHIN:?}");
            }
        });
    });
    visited.ends_golden_and_undisturbed();
}

/// The end of a stream on which these messages are sent, with the coordinator's last message, if any. All but
/// the first wait for the coordinator's first message: before its hello is accepted nobody may send much.
async fn answer_to(address: &str, messages: Vec<FromWorker>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let client = ClusterClient::connect(format!("http://{address}")).await;
    let mut client = client.map_err(|error| text(&error))?;
    let (sender, sent) = tokio::sync::mpsc::channel(1);
    let mut messages = messages.into_iter();
    for first in messages.by_ref().take(1) {
        sender.send(first).await.expect("room for one");
    }
    let sent = tokio_stream::wrappers::ReceiverStream::new(sent);
    let mut stream = client.join(sent).await.map_err(|error| text(&error))?.into_inner();
    while let Some(message) = stream.next().await {
        let message = message.map_err(|error| text(&error))?.message;
        for next in messages.by_ref() {
            // The stream may be over.
            let _ = sender.send(next).await;
        }
        if let Some(Message::Refused(Refused { reason, .. }) | Message::Dropped(Dropped { reason })) = message
        {
            return Err(reason);
        }
    }
    Ok(())
}

fn hello(protocol_version: u32, name: &str) -> FromWorker {
    let proto::message::Hello { name, instance, threads, numerics } = tests::scripted::hello(name);
    let instance = instance.0;
    let numerics = numerics.0;
    let hello = Hello { protocol_version, name, threads, numerics, instance };
    FromWorker { message: Some(from_worker::Message::Hello(hello)) }
}

#[test]
fn another_version_and_a_wrong_checksum_are_refused_by_name() {
    let visited = AttackedRun::new(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = |messages| {
        let told = async { tokio::time::timeout(CLOSED_WITHIN, answer_to(&visited.address, messages)).await };
        runtime.block_on(told).expect("it is closed").expect_err("it has no reason to end well")
    };
    let told_other = told(vec![hello(proto::PROTOCOL_VERSION + 1, "newer")]);
    let [own, newer] = [0, 1].map(|more| format!("version {}", proto::PROTOCOL_VERSION + more));
    assert!(told_other.contains(&own) && told_other.contains(&newer), "{told_other}");
    // Parameters of the run's model: 784, 64 and 10 neurons.
    let elements = 784 * 64 + 64 + 64 * 10 + 10;
    let gradient = Some(TensorHead { elements, dtype: Dtype::F32.into() });
    let head =
        Answer { node: Some(Node::default()), body: gradient.map(Body::Gradient), ..Answer::default() };
    let data = Some(Place::Data(vec![0; 4 * proto::tensor::CHUNK_VALUES].into()));
    let messages =
        [from_worker::Message::Answer(head), from_worker::Message::Chunk(Chunk { place: data, crc32: 1 })];
    let messages = messages.map(|message| FromWorker { message: Some(message) });
    let told_checksum = told([vec![hello(proto::PROTOCOL_VERSION, "garbled")], messages.to_vec()].concat());
    assert!(told_checksum.contains("checksum"), "{told_checksum}");
    visited.ends_golden_and_undisturbed();
}

#[test]
fn a_stream_without_a_hello_or_with_an_oversize_message_is_ended() {
    let visited = AttackedRun::new(&[]);
    let address = visited.address.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hello = |name: &str| hello(proto::PROTOCOL_VERSION, name);
    let nothing = FromWorker { message: None };
    let long = hello(&"x".repeat(2 * proto::MESSAGE_BYTES_MAX));
    let sayings = [
        vec![],
        vec![nothing.clone()],
        vec![long.clone()],
        // Members are dropped for their next message.
        vec![hello("talks nonsense"), nothing],
        vec![hello("says too much"), long],
        vec![hello("says it twice"), hello("says it twice")],
    ];
    for messages in sayings {
        let said = format!("{} messages", messages.len());
        let ended = async { tokio::time::timeout(CLOSED_WITHIN, answer_to(&address, messages)).await };
        // Refusals come as a message before an orderly end, or as a status.
        assert!(runtime.block_on(ended).is_ok(), "still open after {said}");
    }
    visited.ends_golden_and_undisturbed();
}
