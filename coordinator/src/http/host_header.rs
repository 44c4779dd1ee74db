//! Whom a browser may ask by which name.
//!
//! A page from elsewhere can have its own name resolve to this machine (DNS rebinding), and then read what
//! the user's browser may read here. It can't have the browser send another name than its own: so names are
//! refused, but for `localhost` and those that the operator has given. Addresses can't be rebound.

use std::net::IpAddr;

/// Names by which a server may be asked, besides addresses and `localhost`.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<String>);

impl Names {
    /// The name in the address that the operator listens on, and this machine's name.
    #[must_use]
    pub fn of(listened_on: &str) -> Self {
        let own = host::address::split(listened_on).map(|(host, _)| host.to_ascii_lowercase());
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let machine = machine.trim().to_ascii_lowercase();
        Self(own.into_iter().chain([machine]).filter(|name| !name.is_empty()).collect())
    }

    /// All names by which it may be asked, without `localhost`.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a request with this `Host` header may be answered.
    #[must_use]
    pub fn allow(&self, header: &str) -> bool {
        let name = match header.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => header.rsplit_once(':').map_or(header, |(name, _)| name),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok() || name == "localhost" || self.0.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_own_names_are_allowed_and_no_others() {
        let names = Names::of("Node1.example:8080");
        for own in ["127.0.0.1:8080", "10.0.0.5", "[::1]:80", "localhost:1", "LOCALHOST", "node1.example:9"] {
            assert!(names.allow(own), "{own}");
        }
        for other in
            ["", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "[evil]:80"]
        {
            assert!(!names.allow(other), "{other}");
        }
    }
}
