//! Where the coordinator may be: the value of `--connect`, looked up anew before each dial.
//!
//! 1. It is a list of `HOST:PORT`, `srv:NAME`, `@FILE` and `unix:@NAME`, with commas between.
//! 2. `srv:NAME` stands for the servers of a service in DNS.
//! 3. `@FILE` stands for the addresses in a file, which a launcher may write later and rewrite at any time.
//!    They are separated by commas or white space; the rest of a line after `#` is left out.
//! 4. Each dial takes the next address, so one that leads nowhere costs one try.
//! 5. What can't be looked up is passed over as long as another part of the list has an address.

use host::files::{Links, read_regular};
use host::{address, local_socket, service};
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Longest time for reading a file of addresses, and for looking a service up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest file of addresses that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 16;
/// Most parts of a list.
const SOURCES_MAX: usize = 64;

/// One part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// `HOST:PORT`, or `unix:@NAME`.
    Address(String),
    /// Name of a service in DNS.
    Service(String),
    /// File of addresses and services.
    File(PathBuf),
}

/// A list of places where the coordinator may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<Source>);

impl Addresses {
    /// The one address `HOST:PORT`, or `unix:@NAME`.
    #[must_use]
    pub fn one(address: &str) -> Self {
        Self(vec![Source::Address(address.to_owned())])
    }

    /// The address that dial number `dial` goes to, counted from 1.
    ///
    /// # Errors
    /// When no part of the list has an address now; the message is of the first part.
    pub async fn of_dial(&self, dial: u64) -> Result<String, String> {
        let mut addresses = Vec::new();
        let mut first_error = None;
        for source in &self.0 {
            match source.look_up().await {
                Ok(found) => addresses.extend(found),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        let count = addresses.len().max(1) as u64;
        let address = addresses.into_iter().nth((dial.saturating_sub(1) % count) as usize);
        address.ok_or_else(|| first_error.unwrap_or_else(|| format!("{self} has no address")))
    }
}

impl Source {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix('@') {
            let is_path = !path.is_empty();
            return if is_path { Ok(Self::File(path.into())) } else { Err("@ needs a file".to_owned()) };
        }
        Self::parse_in_file(text)
    }

    /// A part of a list in a file, which names no further file.
    fn parse_in_file(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("srv:") {
            // A service's name has the same letters as a host's.
            let with_port = address::to_dial(&format!("{name}:1"));
            return with_port.map(|_| Self::Service(name.to_owned())).map_err(|_| {
                format!("{text} is no service; write srv:NAME, such as srv:_lockstep._tcp.example.org")
            });
        }
        if local_socket::name_of(text).is_some_and(|name| !name.is_empty()) {
            return Ok(Self::Address(text.to_owned()));
        }
        address::to_dial(text).map(Self::Address)
    }

    async fn look_up(&self) -> Result<Vec<String>, String> {
        match self {
            Self::Address(address) => Ok(vec![address.clone()]),
            Self::Service(name) => servers(name).await,
            Self::File(path) => {
                let mut addresses = Vec::new();
                for source in read(path).await? {
                    match source {
                        Self::Address(address) => addresses.push(address),
                        Self::Service(name) => addresses.extend(servers(&name).await?),
                        Self::File(_) => {}
                    }
                }
                Ok(addresses)
            }
        }
    }
}

async fn servers(name: &str) -> Result<Vec<String>, String> {
    service::servers(name, LOOKUP_TIMEOUT).await.map_err(|error| error.to_string())
}

/// The parts of the list in a file. It may lie on a disk of another machine, so it has a thread and a
/// deadline.
async fn read(path: &Path) -> Result<Vec<Source>, String> {
    let name = path.display();
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_regular(&owned, FILE_BYTES_MAX, Links::Followed));
    let Ok(read) = tokio::time::timeout(LOOKUP_TIMEOUT, reading).await else {
        return Err(format!("the file {name} was not read within {LOOKUP_TIMEOUT:?}"));
    };
    let bytes =
        read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
    let bytes = bytes.map_err(|error| format!("no address in the file {name} yet: {error}"))?;
    parse_file(&String::from_utf8_lossy(&bytes)).map_err(|error| format!("the file {name}: {error}"))
}

fn parse_file(text: &str) -> Result<Vec<Source>, String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let words = lines.flat_map(|line| line.split([',', ' ', '\t'])).filter(|word| !word.is_empty());
    let sources = words.take(SOURCES_MAX).map(Source::parse_in_file).collect::<Result<Vec<_>, _>>()?;
    if sources.is_empty() { Err("it has no address yet".to_owned()) } else { Ok(sources) }
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sources =
            text.split(',').map(|part| Source::parse(part.trim())).collect::<Result<Vec<_>, _>>()?;
        if sources.len() > SOURCES_MAX {
            return Err(format!("it has {} parts; {SOURCES_MAX} are the most", sources.len()));
        }
        Ok(Self(sources))
    }
}

impl Display for Addresses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, source) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match source {
                Source::Address(address) => write!(f, "{comma}{address}")?,
                Source::Service(name) => write!(f, "{comma}srv:{name}")?,
                Source::File(path) => write!(f, "{comma}@{}", path.display())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_addresses_services_files_and_sockets() {
        for good in [
            "127.0.0.1:29400",
            "unix:@lockstep-1",
            "node1:29400,node2:29400,[::1]:80",
            "srv:_lockstep._tcp.jobs.svc.cluster.local,@/shared/address",
        ] {
            assert_eq!(good.parse::<Addresses>().unwrap().to_string(), good);
        }
        assert_eq!("a:1, http://b:2/".parse::<Addresses>().unwrap().to_string(), "a:1,b:2");
        for (bad, why) in [
            ("", "the address is missing"),
            ("node1:29400,", "the address is missing"),
            ("localhost", "add a port"),
            ("unix:@", "unix:@NAME"),
            ("unix:lockstep-1", "unix:@NAME"),
            ("0.0.0.0:29400", "an address to listen on"),
            ("@", "needs a file"),
            ("srv:", "such as srv:_lockstep._tcp.example.org"),
            ("srv:a b", "such as srv:_lockstep._tcp.example.org"),
        ] {
            let said = bad.parse::<Addresses>().unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
        let many = vec!["a:1"; SOURCES_MAX + 1].join(",");
        assert!(many.parse::<Addresses>().unwrap_err().contains("64 are the most"));
    }

    #[tokio::test]
    async fn each_dial_takes_the_next_address_of_what_the_file_has_then() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("address");
        let alone: Addresses = format!("@{}", file.display()).parse().unwrap();
        let both: Addresses = format!("@{},b:2", file.display()).parse().unwrap();
        let missing = alone.of_dial(1).await.unwrap_err();
        assert!(missing.contains("no address in the file") && missing.contains("address"), "{missing}");
        assert_eq!(both.of_dial(1).await.as_deref(), Ok("b:2"));

        std::fs::write(&file, "a:1 # the first one\n").unwrap();
        let mut went = Vec::new();
        for dial in 1..=4 {
            went.push(both.of_dial(dial).await.unwrap());
        }
        assert_eq!(went, ["a:1", "b:2", "a:1", "b:2"]);

        std::fs::write(&file, "c:3,d:4\ne:5").unwrap();
        assert_eq!(alone.of_dial(3).await.as_deref(), Ok("e:5"));
    }

    #[tokio::test]
    async fn a_file_that_is_none_of_addresses_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("address");
        let alone: Addresses = format!("@{}", file.display()).parse().unwrap();
        for (text, why) in [
            ("", "it has no address yet"),
            ("# nothing\n", "it has no address yet"),
            ("localhost", "add a port"),
            ("@/etc/passwd", "no user name"),
        ] {
            std::fs::write(&file, text).unwrap();
            let said = alone.of_dial(1).await.unwrap_err();
            assert!(said.contains("address: ") && said.contains(why), "{text:?}: {said}");
        }
        std::fs::write(&file, vec![b'a'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(alone.of_dial(1).await.is_err());
    }
}
