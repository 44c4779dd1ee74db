//! Options of a trainer's TCP connections: no delay, and Reno as congestion control within a machine.
//!
//! Messages of a few hundred kilobytes alternate with silence. Under BBR, which some systems use for all
//! connections, one in seventy messages stopped for 70 to 180 ms on loopback, where a step took 35 ms. Under
//! Reno one in a thousand did. Within a machine there is no congestion, and Reno waits for nothing but lost
//! packets. A worker that was given a TCP address keeps to it, on the coordinator's machine too.

use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Congestion control within a machine. Every Linux has it, and lets every user choose it.
const WITHIN_A_MACHINE: &str = "reno";

/// Connects to `address`, and prepares the connection.
///
/// # Errors
/// When the address can't be reached.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    prepare(&stream);
    Ok(stream)
}

/// Sets the options of an open connection. What the system refuses is left as it is, which is slower but
/// correct.
pub fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let is_within_machine = matches!(
        (stream.peer_addr(), stream.local_addr()), (Ok(peer), Ok(own)) if peer.ip() == own.ip()
    );
    if is_within_machine {
        let _ = choose(stream, WITHIN_A_MACHINE);
    }
}

/// Sets a connection's congestion control.
#[cfg(target_os = "linux")]
fn choose(stream: &TcpStream, congestion_control: &str) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_congestion(stream, congestion_control)?)
}

/// Does nothing: congestion control is chosen on Linux only.
#[cfg(not(target_os = "linux"))]
fn choose(_stream: &TcpStream, _congestion_control: &str) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn both_ends_of_a_connection_within_a_machine_send_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (there, here) = tokio::join!(connect(address), listener.accept());
        let (there, (here, _)) = (there.unwrap(), here.unwrap());
        prepare(&here);
        for stream in [there, here] {
            assert!(stream.nodelay().unwrap());
            #[cfg(target_os = "linux")]
            assert_eq!(rustix::net::sockopt::tcp_congestion(&stream).unwrap(), WITHIN_A_MACHINE);
        }
    }
}
