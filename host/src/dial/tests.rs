//! No test measures time. A time that must pass is short, and one that must not pass is longer than any test.

use super::*;
use std::future::{pending, ready};
use std::sync::Arc;
use tokio::sync::Notify;

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

/// `count` addresses of which every other one is of IPv6.
fn addresses(count: u16) -> Vec<SocketAddr> {
    let host = |port| if port % 2 == 0 { "[::1]" } else { "127.0.0.1" };
    (1..=count).map(|port| format!("{}:{port}", host(port)).parse().unwrap()).collect()
}

/// Dials that many addresses, each of which does what `connect` says.
async fn dial_all<F: Future<Output = io::Result<SocketAddr>>>(
    count: u16,
    timing: Timing,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<SocketAddr, DialError> {
    dial("node7", ready(Ok(addresses(count))), connect, timing).await
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ConnectionRefused.into())
}

#[tokio::test]
async fn an_address_that_never_answers_delays_the_next_and_stops_nothing() {
    let connect =
        |address: SocketAddr| async move { if address.port() < 3 { pending().await } else { Ok(address) } };
    let connected = dial_all(3, Timing { delay: SHORT, limit: LONG }, connect).await.unwrap();
    assert_eq!(connected, addresses(3)[2]);
}

#[tokio::test]
async fn a_refusal_begins_the_next_attempt_at_once() {
    let connect =
        |address: SocketAddr| async move { if address.port() < 3 { refused() } else { Ok(address) } };
    let connected = dial_all(3, Timing { delay: LONG, limit: LONG }, connect).await.unwrap();
    assert_eq!(connected, addresses(3)[2]);
}

#[tokio::test]
async fn an_earlier_attempt_can_still_win_when_a_later_one_has_begun() {
    let has_begun = Arc::new(Notify::new());
    let connect = |address: SocketAddr| {
        let has_begun = Arc::clone(&has_begun);
        async move {
            if address.port() > 1 {
                has_begun.notify_one();
                return pending().await;
            }
            has_begun.notified().await;
            Ok(address)
        }
    };
    let connected = dial_all(2, Timing { delay: SHORT, limit: LONG }, connect).await.unwrap();
    assert_eq!(connected, addresses(1)[0]);
}

#[tokio::test]
async fn where_none_connects_each_address_is_named_with_what_it_said() {
    let connect = |_| async { refused() };
    let told = |count| async move {
        dial_all(count, Timing { delay: LONG, limit: LONG }, connect).await.unwrap_err().to_string()
    };
    assert_eq!(told(1).await, "127.0.0.1:1: connection refused");
    let two = told(2).await;
    assert!(two.starts_with("none of 2 addresses"), "{two}");
    assert!(two.ends_with("127.0.0.1:1: connection refused; [::1]:2: connection refused"), "{two}");
    let many = told(9).await;
    assert!(
        many.contains("127.0.0.1:3: ") && many.ends_with("[::1]:4: connection refused; and 5 more"),
        "{many}"
    );
}

#[tokio::test]
async fn a_limit_ends_attempts_that_are_never_answered() {
    for (delay, more) in [(Duration::ZERO, 0), (LONG, 1)] {
        let told = dial_all(2, Timing { delay, limit: SHORT }, |_| pending()).await.unwrap_err().to_string();
        assert!(told.contains("127.0.0.1:1: no answer"), "{told}");
        assert_eq!(told.contains("[::1]:2: no answer"), more == 0, "{told}");
        assert_eq!(told.ends_with("; and 1 more"), more == 1, "{told}");
    }
}

#[tokio::test]
async fn a_look_up_that_hangs_or_fails_is_told_by_name() {
    let look_up =
        |lookup| dial("node7", lookup, |address| ready(Ok(address)), Timing { delay: LONG, limit: LONG });
    for found in [refused(), Ok(vec![])] {
        let told = look_up(ready(found)).await.unwrap_err().to_string();
        assert!(told.starts_with("the name node7 can't be resolved: "), "{told}");
    }
    let hangs = dial("node7", pending(), |address| ready(Ok(address)), Timing { delay: LONG, limit: SHORT });
    assert!(hangs.await.unwrap_err().to_string().starts_with("the name node7 was not resolved within "));
    assert!(connect("node7", LONG).await.unwrap_err().to_string().contains("HOST:PORT"));
}

#[test]
fn families_alternate_and_no_address_is_tried_twice() {
    let parsed = |text: &[&str]| text.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
    let found = ["[::1]:1", "[::2]:1", "[::1]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"];
    let order = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"];
    assert_eq!(in_order(&parsed(&found)), parsed(&order));
    assert_eq!(in_order(&addresses(1000)).len(), ADDRESSES_MAX);
}

/// An address whose listener takes no more connections, so that the system drops what asks for one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_black_hole_among_a_names_addresses_is_passed_over() {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    use std::net::{Ipv4Addr, TcpListener};

    let full = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&full, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    listen(&full, 0).unwrap();
    let full = TcpListener::from(full);
    let black_hole = full.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(CONNECTION_ATTEMPT_DELAY, tcp::connect(black_hole)).await {
        queued.push(stream.unwrap());
        assert!(queued.len() < 16, "the queue has no end");
    }
    let live = TcpListener::bind("127.0.0.1:0").unwrap();
    let found = vec![black_hole, live.local_addr().unwrap()];
    let timing = Timing { delay: CONNECTION_ATTEMPT_DELAY, limit: LONG };
    let connected = dial("node7", ready(Ok(found)), tcp::connect, timing).await.unwrap();
    assert_eq!(connected.peer_addr().unwrap(), live.local_addr().unwrap());
}
