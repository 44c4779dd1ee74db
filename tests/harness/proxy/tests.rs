use super::*;
use std::io::{ErrorKind, Read, Write};

const PATIENCE: Duration = Duration::from_secs(60);

/// The two ends of a connection through a proxy.
struct Pair {
    proxy: Proxy,
    client: std::net::TcpStream,
    server: std::net::TcpStream,
}

fn pair() -> Pair {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(&listener.local_addr().unwrap().to_string());
    let client = std::net::TcpStream::connect(proxy.address()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for end in [&client, &server] {
        end.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    Pair { proxy, client, server }
}

fn receive(stream: &mut std::net::TcpStream, bytes: usize) -> Vec<u8> {
    let mut received = vec![0; bytes];
    stream.read_exact(&mut received).unwrap();
    received
}

/// Whether nothing arrives for a while; it shows only that the proxy did not send at once.
fn is_silent(stream: &mut std::net::TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = stream.read(&mut [0]).err().map(|error| error.kind());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    matches!(error, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn bytes_pass_unchanged_both_ways_over_a_slow_link() {
    let mut ends = pair();
    let link = Link { delay: Duration::from_millis(5), rate: Some(10_000_000), fate: None };
    ends.proxy.set_both(link);
    let sent: Vec<u8> = (0..100_000u32).map(|i| i as u8 ^ (i >> 8) as u8).collect();
    ends.client.write_all(&sent).unwrap();
    assert_eq!(receive(&mut ends.server, sent.len()), sent);
    ends.server.write_all(b"yes").unwrap();
    assert_eq!(receive(&mut ends.client, 3), b"yes");
    assert_eq!((ends.proxy.arrived(Way::Up), ends.proxy.arrived(Way::Down)), (100_000, 3));
}

#[test]
fn a_close_comes_after_exactly_so_many_bytes() {
    let mut ends = pair();
    ends.proxy.set(Way::Up, Link::after(3, Fate::Close));
    ends.client.write_all(b"abcdef").unwrap();
    let mut received = Vec::new();
    ends.server.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"abc");
}

#[test]
fn a_reset_reaches_both_sides() {
    let mut ends = pair();
    ends.client.write_all(b"a").unwrap();
    assert_eq!(receive(&mut ends.server, 1), b"a");
    ends.proxy.break_all(Fate::Reset);
    for end in [&mut ends.client, &mut ends.server] {
        assert_eq!(end.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_held_link_loses_nothing() {
    let mut ends = pair();
    ends.proxy.set(Way::Up, Link::after(2, Fate::Hold));
    ends.client.write_all(b"abcd").unwrap();
    assert_eq!(receive(&mut ends.server, 2), b"ab");
    ends.proxy.wait_for_fate(Way::Up, PATIENCE);
    assert!(is_silent(&mut ends.server));
    ends.proxy.heal();
    assert_eq!(receive(&mut ends.server, 2), b"cd");
}

#[test]
fn a_swallowing_link_tells_nobody_until_it_is_healed() {
    let Pair { proxy, mut client, mut server } = pair();
    proxy.set(Way::Up, Link::after(1, Fate::Swallow));
    client.write_all(b"abcd").unwrap();
    assert_eq!(receive(&mut server, 1), b"a");
    drop(client);
    assert!(is_silent(&mut server));
    proxy.heal();
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn connections_end_with_the_proxy() {
    let Pair { proxy, mut client, mut server } = pair();
    proxy.set_both(Link::after(0, Fate::Hold));
    drop(proxy);
    for end in [&mut client, &mut server] {
        assert!(matches!(end.read(&mut [0]), Ok(0) | Err(_)));
    }
}
