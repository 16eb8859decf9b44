//! Where other application entities listen: what the settings say, and nothing that a peer says.

use crate::config::{DestinationConfig, PeerConfig, Transport};
use crate::dicom::AeTitle;

/// Application entities whose addresses are in the settings.
#[derive(Debug, Clone, Default)]
pub(super) struct ApplicationEntities(Vec<(AeTitle, String)>);

impl ApplicationEntities {
    /// Peers with an address, and after them the destinations of results.
    pub(super) fn of(peers: &[PeerConfig], destinations: &[DestinationConfig]) -> Self {
        let peers = peers.iter().filter_map(|peer| {
            let title = AeTitle::parse(&peer.ae_title).ok()?;
            Some((title, peer.address.clone()?))
        });
        let destinations = destinations.iter().filter_map(|destination| match &destination.transport {
            Transport::Dicom(dicom) => Some((dicom.ae_title.clone(), dicom.address.clone())),
            Transport::Stow { .. } => None,
        });
        Self(peers.chain(destinations).collect())
    }

    /// Title and address of an application entity by its title.
    pub(super) fn find(&self, title: &str) -> Option<(AeTitle, String)> {
        self.0.iter().find(|(known, _)| known.as_str() == title).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn peers_with_an_address_and_destinations_are_found_by_title() {
        let config = Config::from_defaults(&[
            "dicom.peers=[{ ae_title = \"VIEWER\", network = \"10.0.0.7\", address = \"10.0.0.7:104\" }, \
             { ae_title = \"CT\", network = \"10.0.0.8\" }]",
            "destinations=[{ name = \"pacs\", kind = \"dicom\", address = \"pacs:104\", ae_title = \"PACS\" }, \
             { name = \"web\", kind = \"stow\", url = \"http://h/dicomweb\" }]",
        ])
        .expect("settings");
        let known = ApplicationEntities::of(&config.dicom.peers, &config.destinations);
        let address = |title| known.find(title).map(|(_, address)| address);
        assert_eq!(address("VIEWER").as_deref(), Some("10.0.0.7:104"));
        assert_eq!(address("PACS").as_deref(), Some("pacs:104"));
        assert_eq!((address("CT"), address("STRANGER")), (None, None));
    }
}
