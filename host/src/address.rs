//! Addresses that a person writes: which spellings of `HOST:PORT` are understood, and what is said of others.
//!
//! 1. Other systems' addresses begin with a scheme and may end with a slash. Where the scheme stands for a
//!    plain connection, both are left out.
//! 2. Where it asks for TLS, the address is refused: a token asks for it, and the address can't.
//! 3. An IPv6 address stands in brackets. Without them its last group could be the port.
//! 4. What is refused is answered with the right spelling, as far as it can be told.
//!
//! Nothing is looked up here. Whether a name exists is seen when it is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Schemes that stand for a plain connection.
const PLAIN: [&str; 3] = ["http", "grpc", "tcp"];
/// Schemes that ask for TLS.
const ENCRYPTED: [&str; 4] = ["https", "grpcs", "tls", "ssl"];
/// Hosts that stand for all addresses in front of the port to listen on.
const ALL: [&str; 2] = ["", "*"];
/// The port in examples: the coordinator's default one.
const PORT: &str = "29400";
/// Longest host name, according to RFC 1035.
const NAME_BYTES_MAX: usize = 253;

/// The address to dial that `text` stands for, as `HOST:PORT`.
///
/// # Errors
/// When it is none, with the reason and the right spelling.
pub fn to_dial(text: &str) -> Result<String, String> {
    let (host, port) = parse(text)?;
    let is_for_all =
        ALL.contains(&host) || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_unspecified());
    if is_for_all {
        let all = join(host, port);
        return Err(format!("{all} is an address to listen on; name the coordinator's host: HOST:{port}"));
    }
    if port == 0 {
        return Err("port 0 is a port to listen on; give the one that the coordinator prints".to_owned());
    }
    Ok(join(host, port))
}

/// The address to listen on that `text` stands for, as `HOST:PORT`. Without a host it is all IPv4 addresses.
///
/// # Errors
/// When it is none, with the reason and the right spelling.
pub fn to_listen_on(text: &str) -> Result<String, String> {
    let (host, port) = parse(text)?;
    Ok(if ALL.contains(&host) { join("0.0.0.0", port) } else { join(host, port) })
}

/// Host and port of `HOST:PORT`; the host without an IPv6 address's brackets.
#[must_use]
pub fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let within = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Some((within.unwrap_or(host), port.parse().ok()?))
}

/// `HOST:PORT`, with brackets around an IPv6 address.
#[must_use]
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The address as a URI's authority, which names no zone: it means something on one machine only.
#[must_use]
pub fn authority(address: &str) -> String {
    match split(address) {
        Some((host, port)) => join(host.split_once('%').map_or(host, |(host, _zone)| host), port),
        None => address.to_owned(),
    }
}

/// An address as far as it tells machines apart: an IPv6 network of 64 bits is usually one machine's, which
/// may choose among its addresses. IPv4 in the form of IPv6 is IPv4.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// Whether the text can be a host's name.
#[must_use]
pub(crate) fn is_name(host: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&host.len()) && host.bytes().all(is_of_name)
}

fn parse(text: &str) -> Result<(&str, u16), String> {
    let text = without_scheme(text.trim())?;
    let text = text.strip_suffix('/').unwrap_or(text);
    only_host_and_port(text)?;
    let (host, port) = halves(text)?;
    if !ALL.contains(&host) && ipv6(host).is_none() {
        name_or_ipv4(host)?;
    }
    let number = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
    Ok((host, number.ok_or_else(|| format!("{port} is not a port, which is a number up to 65535"))?))
}

fn without_scheme(text: &str) -> Result<&str, String> {
    if text.starts_with("unix:") {
        return Err("a Unix socket is unix:@NAME, and for a worker's --connect only".to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(text) };
    let scheme = scheme.to_ascii_lowercase();
    if PLAIN.contains(&scheme.as_str()) {
        Ok(rest)
    } else if ENCRYPTED.contains(&scheme.as_str()) {
        Err(format!("a token decides whether there is TLS, not {scheme}://; write HOST:PORT"))
    } else {
        Err("an address is HOST:PORT, and before it there may be http://, grpc:// or tcp:// only".to_owned())
    }
}

fn only_host_and_port(text: &str) -> Result<(), String> {
    let why = if text.is_empty() {
        "the address is missing"
    } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        "an address has no spaces or control characters"
    } else if text.contains('@') {
        "an address has no user name"
    } else if text.contains(['/', '\\', '?', '#']) {
        "an address ends with its port"
    } else {
        return Ok(());
    };
    Err(format!("{why}; write HOST:PORT alone"))
}

/// Splits host and port; the host without an IPv6 address's brackets.
fn halves(text: &str) -> Result<(&str, &str), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').unwrap_or((rest, ""));
        if ipv6(host).is_none() || !rest.contains(']') {
            return Err(format!("[{rest} is not an IPv6 address in brackets; write [IPV6]:PORT"));
        }
        return match after.strip_prefix(':') {
            Some(port) if !port.is_empty() => Ok((host, port)),
            _ => Err(format!("add a port, such as [{host}]:{PORT}")),
        };
    }
    match text.rsplit_once(':') {
        Some((host, port)) if host.contains(':') => Err(without_brackets(text, host, port)),
        Some((host, port)) if !port.is_empty() => Ok((host, port)),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("{text} is a port alone; add a host, such as 127.0.0.1:{text}"))
        }
        Some((host, _)) if !host.is_empty() => Err(format!("add a port, such as {host}:{PORT}")),
        Some(_) => Err("an address is HOST:PORT".to_owned()),
        None => Err(format!("add a port, such as {text}:{PORT}")),
    }
}

/// What is said of several colons: `host` is all before the last one.
fn without_brackets(text: &str, host: &str, port: &str) -> String {
    let with_port = ipv6(host).and(port.parse::<u16>().ok()).map(|_| format!("[{host}]:{port}"));
    let without_port = ipv6(text).map(|_| format!("[{text}]:{PORT}"));
    match (with_port, without_port) {
        (Some(one), Some(other)) => {
            format!("an IPv6 address stands in brackets; write {one}, or {other} for the other meaning")
        }
        (Some(address), None) | (None, Some(address)) => {
            format!("an IPv6 address stands in brackets; write {address}")
        }
        (None, None) => "it has too many colons; write HOST:PORT, or [IPV6]:PORT".to_owned(),
    }
}

fn name_or_ipv4(host: &str) -> Result<(), String> {
    let is_numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_numeric && host.parse::<Ipv4Addr>().is_err() {
        return Err(format!("{host} is not an IPv4 address, which is four numbers up to 255"));
    }
    if !is_name(host) {
        return Err(format!("{host} is not a host's name (letters, digits, -, . and _) or IP address"));
    }
    Ok(())
}

/// The IPv6 address, which may have a zone.
fn ipv6(host: &str) -> Option<Ipv6Addr> {
    let (address, zone) = host.split_once('%').map_or((host, None), |(host, zone)| (host, Some(zone)));
    address.parse().ok().filter(|_| zone.is_none_or(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_apart_by_what_they_can_not_choose() {
        let network = |address: &str| network(address.parse().unwrap());
        assert_eq!(network("2001:db8::7"), network("2001:db8::1:2:3:4"));
        assert_ne!(network("2001:db8:0:1::7"), network("2001:db8:0:2::7"));
        assert_ne!(network("10.0.0.5"), network("10.0.0.6"));
        assert_eq!(network("::ffff:10.0.0.5"), network("10.0.0.5"));
    }

    #[test]
    fn an_address_keeps_its_spelling_and_loses_scheme_and_slash() {
        for good in ["127.0.0.1:29400", "node-1.local:1", "a_b:65535", "[::1]:80", "[fe80::1%eth0]:29400"] {
            assert_eq!(to_dial(good).as_deref(), Ok(good));
            assert_eq!(to_listen_on(good).as_deref(), Ok(good));
            for other in ["http://", "grpc://", "TCP://"].map(|scheme| format!(" {scheme}{good}/\n")) {
                assert_eq!(to_dial(&other).as_deref(), Ok(good));
                assert_eq!(to_listen_on(&other).as_deref(), Ok(good));
            }
        }
    }

    #[track_caller]
    fn refused(text: &str, words: &[&str]) {
        for why in [to_dial(text).unwrap_err(), to_listen_on(text).unwrap_err()] {
            words.iter().for_each(|word| assert!(why.contains(word), "{text:?}: no {word:?} in: {why}"));
        }
    }

    #[test]
    fn an_ipv6_address_without_brackets_is_told_where_they_go() {
        refused("::1:29400", &["write [::1]:29400"]);
        refused("::1:8080", &["write [::1]:8080, or [::1:8080]:29400"]);
        refused("2001:db8::5", &["write [2001:db8::5]:29400"]);
        refused("::", &["write [::]:29400"]);
        refused("a:b:c", &["HOST:PORT"]);
        for bad in ["[::1", "[::1:29400", "[localhost]:80", "[]:80", "[::1%]:80", "["] {
            refused(bad, &["[IPV6]:PORT"]);
        }
        for bad in ["[::1]", "[::1]:", "[::1]80"] {
            refused(bad, &["such as [::1]:29400"]);
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        refused("node7", &["such as node7:29400"]);
        refused("http://node7/", &["such as node7:29400"]);
        refused("node7:", &["such as node7:29400"]);
        refused("29400", &["a port alone", "127.0.0.1:29400"]);
        for port in ["99999", "x", "+80", "-1", "0x10"] {
            refused(&format!("node7:{port}"), &[port, "not a port"]);
        }
        for bad in ["", " ", ":", "://", "http://", "@", "me@node7:80", "node7:80/path", "node7:80?a=b"] {
            refused(bad, &["HOST:PORT"]);
        }
        for bad in ["node 7:80", "node7 :80", "node7\t:80", "no\u{1b}de:80", "node7:80//"] {
            refused(bad, &["HOST:PORT"]);
        }
        refused("10.0.0.300:80", &["10.0.0.300", "IPv4"]);
        refused("knöten:80", &["knöten", "name"]);
        refused(&format!("{}:80", "a".repeat(NAME_BYTES_MAX + 1)), &["name"]);
    }

    #[test]
    fn a_scheme_that_asks_for_more_is_refused() {
        for scheme in ["https", "grpcs", "HTTPS"] {
            refused(&format!("{scheme}://node7:29400"), &["a token decides", "HOST:PORT"]);
        }
        refused("ftp://node7:29400", &["HOST:PORT", "tcp://"]);
        refused("dns:///node7:29400", &["HOST:PORT"]);
        refused("unix:/run/lockstep", &["unix:@NAME"]);
    }

    #[test]
    fn addresses_of_listeners_are_not_dialled() {
        for (text, listens) in [
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::]:80", "[::]:80"),
            (":80", "0.0.0.0:80"),
            ("*:80", "0.0.0.0:80"),
            ("tcp://*:80", "0.0.0.0:80"),
        ] {
            assert_eq!(to_listen_on(text).as_deref(), Ok(listens));
            assert!(to_dial(text).unwrap_err().contains("an address to listen on"));
        }
        assert_eq!(to_listen_on("localhost:0").as_deref(), Ok("localhost:0"));
        assert!(to_dial("localhost:0").unwrap_err().contains("port 0"));
    }

    #[test]
    fn an_authority_has_no_zone() {
        assert_eq!(authority("[fe80::1%eth0]:80"), "[fe80::1]:80");
        assert_eq!(authority("node7:80"), "node7:80");
        assert_eq!(split("[fe80::1%eth0]:80"), Some(("fe80::1%eth0", 80)));
    }
}
