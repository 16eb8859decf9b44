//! Networks that peers may call from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// An IP network: address and prefix length, `192.168.10.0/24`; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// A text that names no network.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a network such as 192.168.10.0/24, nor an address")]
pub struct NetworkError(String);

impl Network {
    /// True if `address` lies inside. IPv4 addresses mapped to IPv6 count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| NetworkError(text.to_owned()))
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_other() {
        let network = |text: &str| text.parse::<Network>();
        let address = |text: &str| text.parse::<IpAddr>().expect("address");
        assert!(network("192.168.10.0/24").expect("network").contains(address("192.168.10.7")));
        assert!(network("192.168.10.5/24").expect("network").contains(address("192.168.10.7")));
        assert!(!network("192.168.10.0/24").expect("network").contains(address("192.168.11.7")));
        assert!(network("0.0.0.0/0").expect("network").contains(address("8.8.8.8")));
        assert!(network("10.0.0.5").expect("network").contains(address("::ffff:10.0.0.5")));
        assert!(!network("::1/128").expect("network").contains(address("127.0.0.1")));
        assert!(network("10.0.0.0/33").is_err());
        assert!(network("pacs.example").is_err());
    }
}
