//! Where others can dial a listener on all addresses of this machine: its name, and its own addresses.
//!
//! 1. The name comes first: it holds where addresses change, and says which machine it is. Whether others can
//!    resolve it is not known here, so addresses stand beside it.
//! 2. Of the addresses, that of the default route comes first, and IPv4 before IPv6. A listener on `0.0.0.0`
//!    has no IPv6 addresses; one on `[::]` usually has both kinds.
//! 3. Addresses that others can't dial are left out: those of loopback, link-local ones, and those of
//!    interfaces that are down. If no other is left, the name would lead nowhere either.

use crate::address::{is_name, join};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Most addresses beside the name.
const ADDRESSES_MAX: usize = 3;
/// An address beyond every network of this machine: it is for documentation (RFC 5737) and nobody's.
const ELSEWHERE: &str = "198.51.100.1:9";

/// Where others can dial a listener on all addresses, as `HOST:PORT`, the best way first. Empty if this
/// machine can't be reached by others.
#[must_use]
pub fn from_elsewhere(listening: SocketAddr) -> Vec<String> {
    let addresses = of_default_route().into_iter().chain(of_interfaces());
    choose(listening, name(), addresses)
}

/// Where others can dial a listener, as `HOST:PORT`, the best way first. Nobody can dial "all addresses":
/// then they are those of this machine, loopback where it has no others.
#[must_use]
pub fn to_connect_to(listening: SocketAddr) -> Vec<String> {
    if !listening.ip().is_unspecified() {
        return vec![listening.to_string()];
    }
    let elsewhere = from_elsewhere(listening);
    if elsewhere.is_empty() { vec![format!("127.0.0.1:{}", listening.port())] } else { elsewhere }
}

fn choose(
    listening: SocketAddr,
    name: Option<String>,
    addresses: impl Iterator<Item = IpAddr>,
) -> Vec<String> {
    let mut dialable: Vec<IpAddr> = Vec::new();
    for ip in addresses.filter(|ip| is_dialable(*ip) && (ip.is_ipv4() || listening.is_ipv6())) {
        if !dialable.contains(&ip) {
            dialable.push(ip);
        }
    }
    // Stable: the default route's address stays the first of its family.
    dialable.sort_by_key(IpAddr::is_ipv6);
    let name = name.filter(|_| !dialable.is_empty());
    let addresses = dialable.iter().take(ADDRESSES_MAX).map(IpAddr::to_string);
    name.into_iter().chain(addresses).map(|host| join(&host, listening.port())).collect()
}

fn is_dialable(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(is_link_local || ip.is_loopback() || ip.is_unspecified())
}

/// This machine's name, unless it is the one that every machine has.
fn name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    (is_name(&name) && name.split('.').next() != Some("localhost")).then_some(name)
}

/// The address that the default route sends from. Nothing is sent: connecting a UDP socket asks the routes.
fn of_default_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(ELSEWHERE).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Addresses of the interfaces that are up, in the system's order.
fn of_interfaces() -> impl Iterator<Item = IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    interfaces.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP)).filter_map(|interface| {
        let address = interface.address?;
        let ipv4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        ipv4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(listening: &str, addresses: &[&str]) -> Vec<String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        choose(listening.parse().unwrap(), Some("node7".to_owned()), addresses)
    }

    #[test]
    fn the_name_comes_before_few_addresses_of_the_listeners_families() {
        let own = ["10.0.0.7", "127.0.0.1", "fe80::1", "2001:db8::7", "10.0.0.7", "172.17.0.1", "fd00::2"];
        assert_eq!(chosen("0.0.0.0:80", &own), ["node7:80", "10.0.0.7:80", "172.17.0.1:80"]);
        let both = ["node7:80", "10.0.0.7:80", "172.17.0.1:80", "[2001:db8::7]:80"];
        assert_eq!(chosen("[::]:80", &own), both);
    }

    #[test]
    fn a_machine_that_nobody_reaches_has_no_address_to_offer() {
        assert!(chosen("[::]:80", &["127.0.0.1", "::1", "169.254.3.4", "fe80::1", "0.0.0.0"]).is_empty());
        assert!(chosen("0.0.0.0:80", &["2001:db8::7"]).is_empty());
    }

    #[test]
    fn what_the_system_tells_can_be_dialled() {
        for address in from_elsewhere("[::]:80".parse().unwrap()) {
            assert_eq!(crate::address::to_dial(&address).as_deref(), Ok(address.as_str()));
        }
    }
}
