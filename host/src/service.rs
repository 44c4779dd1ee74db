//! Service records of DNS (RFC 2782): on which hosts and ports a service is.
//!
//! The system's own look-up of names does not know them. Name servers and search domains are read from
//! `/etc/resolv.conf` at each look-up, and nothing is remembered: whoever asks again wants to know what is so
//! now.

use crate::address;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;
use std::time::Duration;

/// Most servers of a service that are used.
const SERVERS_MAX: usize = 64;

/// Why a service's servers are not known.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is no record, or no name server that answers.
    #[error("the service {name} can't be looked up: {source}")]
    Unresolved { name: String, source: NetError },
    /// The look-up took all the time.
    #[error("the service {name} was not looked up within {limit:?}")]
    Slow { name: String, limit: Duration },
    /// The records name no server that can be dialled.
    #[error("the service {name} has no server")]
    Empty { name: String },
}

/// Servers of the service `name`, such as `_lockstep._tcp.example.org`, as `HOST:PORT`: those of the lowest
/// priority number first, and among equals the one with the largest weight.
///
/// # Errors
/// When there is no record, or none is found within `limit`.
pub async fn servers(name: &str, limit: Duration) -> Result<Vec<String>, ServiceError> {
    let unresolved = |source| ServiceError::Unresolved { name: name.to_owned(), source };
    let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build()).map_err(unresolved)?;
    servers_by(&resolver, name, limit).await
}

async fn servers_by(
    resolver: &TokioResolver,
    name: &str,
    limit: Duration,
) -> Result<Vec<String>, ServiceError> {
    let Ok(found) = tokio::time::timeout(limit, resolver.srv_lookup(name)).await else {
        return Err(ServiceError::Slow { name: name.to_owned(), limit });
    };
    let found = found.map_err(|source| ServiceError::Unresolved { name: name.to_owned(), source })?;
    let mut records = Vec::new();
    for record in found.answers() {
        if let RData::SRV(server) = &record.data {
            let host = server.target.to_ascii();
            let order = (server.priority, u16::MAX - server.weight);
            records.push((order, address::join(host.trim_end_matches('.'), server.port)));
        }
    }
    records.sort();
    let dialled = records.into_iter().filter_map(|(_, server)| address::to_dial(&server).ok());
    let servers: Vec<String> = dialled.take(SERVERS_MAX).collect();
    if servers.is_empty() {
        return Err(ServiceError::Empty { name: name.to_owned() });
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use std::net::{Ipv4Addr, SocketAddr};
    use tokio::net::UdpSocket;

    const NAME: &str = "_lockstep._tcp.example.";
    const LIMIT: Duration = Duration::from_secs(10);

    /// Priority, weight, port and first label of the target, below `example`.
    type Record = (u16, u16, u16, &'static str);

    /// A name server that answers each question with these records, or never if there are none.
    async fn name_server(records: &'static [Record]) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((count, from)) = socket.recv_from(&mut question).await {
                if !records.is_empty() {
                    socket.send_to(&answer(&question[..count], records), from).await.unwrap();
                }
            }
        });
        address
    }

    /// The answer to a question, by RFC 1035.
    fn answer(question: &[u8], records: &[Record]) -> Vec<u8> {
        let name_end = 12 + question[12..].iter().position(|&byte| byte == 0).unwrap();
        let mut bytes = question[..2].to_vec();
        // A response without an error: one question, the answers, and nothing else.
        bytes.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        bytes.extend(&question[12..name_end + 5]);
        for &(priority, weight, port, label) in records {
            // The name is the question's; SRV, IN, a minute.
            bytes.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
            let mut data: Vec<u8> = [priority, weight, port].iter().flat_map(|n| n.to_be_bytes()).collect();
            for label in [label, "example"].iter().filter(|label| !label.is_empty()) {
                data.push(label.len() as u8);
                data.extend(label.bytes());
            }
            data.push(0);
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }

    fn resolver(name_server: SocketAddr) -> TokioResolver {
        let mut connection = ConnectionConfig::udp();
        connection.port = name_server.port();
        let server = NameServerConfig::new(name_server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_name_servers(vec![server]);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap()
    }

    #[tokio::test]
    async fn servers_come_in_the_order_of_priority_and_weight() {
        let records = &[(20, 0, 1, "last"), (10, 1, 2, "light"), (10, 9, 3, "heavy"), (0, 0, 0, "portless")];
        let servers = servers_by(&resolver(name_server(records).await), NAME, LIMIT).await.unwrap();
        assert_eq!(servers, ["heavy.example:3", "light.example:2", "last.example:1"]);
    }

    #[tokio::test]
    async fn no_server_and_no_answer_are_errors_that_name_the_service() {
        let none = servers_by(&resolver(name_server(&[(0, 0, 0, "")]).await), NAME, LIMIT).await;
        assert!(none.unwrap_err().to_string().contains("_lockstep._tcp.example. has no server"));
        let limit = Duration::from_millis(50);
        let silent = servers_by(&resolver(name_server(&[]).await), NAME, limit).await;
        assert!(silent.unwrap_err().to_string().contains("not looked up within 50ms"));
    }
}
