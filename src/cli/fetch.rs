//! `pe-node fetch`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use indicatif::{ProgressBar, ProgressStyle};

use super::peer::runtime;
use super::{CliError, Settings};
use crate::config::{Config, Transport};
use crate::dicom::bounded::Limits;
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{AeTitle, Uid};
use crate::node::dimse::scu::{self, Peer, Retrieved, ScuError};
use crate::node::store::StoreReader;

/// Instances in one request: identifiers of 64 characters then take 64 kB.
const BATCH: usize = 1000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Who has the study: the AE title of a peer with an address (dicom.peers), or the name of a destination
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Study Instance UID
    #[arg(long, value_name = "UID", value_parser = Uid::parse)]
    study: Uid,
    /// Series Instance UID; the whole study without it
    #[arg(long, value_name = "UID", value_parser = Uid::parse)]
    series: Option<Uid>,
    /// Only what the node lacks
    #[arg(long)]
    missing: bool,
    /// Seconds to wait for the connection and for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let config = arguments.settings.load()?;
    let timeout = Duration::from_secs(arguments.timeout.max(1));
    let fetch = Fetch {
        peer: source(&config, &arguments.source, timeout)?,
        destination: config.dicom.ae_title.clone(),
        limits: config.limits,
        study: arguments.study.clone(),
        series: arguments.series.clone(),
    };
    let fetched = runtime()?
        .block_on(async { if arguments.missing { fetch.missing(&config).await } else { fetch.all().await } })?;
    println!(
        "{} objects sent by {} ({}), {} not sent.",
        fetched.completed, fetch.peer.called, fetch.peer.address, fetched.failed
    );
    Ok(ExitCode::from(u8::from(fetched.failed > 0)))
}

/// Where an application entity of the settings listens.
fn source(config: &Config, name: &str, timeout: Duration) -> Result<Peer, CliError> {
    let peers = config.dicom.peers.iter().filter_map(|peer| {
        let title = AeTitle::parse(&peer.ae_title).ok()?;
        (peer.ae_title == name).then_some((title, peer.address.clone()?))
    });
    let destinations = config.destinations.iter().filter_map(|destination| match &destination.transport {
        Transport::Dicom(dicom) if destination.name == name || dicom.ae_title.as_str() == name => {
            Some((dicom.ae_title.clone(), dicom.address.clone()))
        }
        _ => None,
    });
    let unknown = || {
        CliError::Usage(format!(
            "the settings do not say where {name} listens; add it to dicom.peers with its address, or name a destination \
             of the kind `dicom`"
        ))
    };
    let (called, address) = peers.chain(destinations).next().ok_or_else(unknown)?;
    Ok(Peer { address, called, calling: config.dicom.ae_title.clone(), timeout, originator: None })
}

/// What is fetched from whom.
struct Fetch {
    peer: Peer,
    /// The node that gets it.
    destination: AeTitle,
    limits: Limits,
    study: Uid,
    series: Option<Uid>,
}

impl Fetch {
    /// Everything that the source has.
    async fn all(&self) -> Result<Retrieved, CliError> {
        let identifier = match &self.series {
            None => self.identifier("STUDY", &[]),
            Some(series) => self.identifier("SERIES", &[(tags::SERIES_INSTANCE_UID, series.to_string())]),
        };
        self.retrieve(&identifier).await
    }

    /// What the source has and the node has not.
    async fn missing(&self, config: &Config) -> Result<Retrieved, CliError> {
        let reader = StoreReader::open(&config.storage).await.map_err(|error| CliError::failed(&error))?;
        let mut fetched = Retrieved::default();
        for series in self.series_there().await? {
            let there = self.instances_there(&series).await?;
            let here = reader.instances_of(&self.study, &series).await.map_err(|error| CliError::failed(&error))?;
            let lacking: Vec<&str> = there.difference(&here).map(Uid::as_str).collect();
            println!("Series {series}: {} objects there, {} of them not here.", there.len(), lacking.len());
            for batch in lacking.chunks(BATCH) {
                let keys =
                    [(tags::SERIES_INSTANCE_UID, series.to_string()), (tags::SOP_INSTANCE_UID, batch.join("\\"))];
                let part = self.retrieve(&self.identifier("IMAGE", &keys)).await?;
                fetched.completed = fetched.completed.saturating_add(part.completed);
                fetched.failed = fetched.failed.saturating_add(part.failed);
            }
        }
        Ok(fetched)
    }

    async fn series_there(&self) -> Result<Vec<Uid>, CliError> {
        if let Some(series) = &self.series {
            return Ok(vec![series.clone()]);
        }
        let found = self.find("SERIES", &[(tags::SERIES_INSTANCE_UID, String::new())]).await?;
        Ok(found.iter().filter_map(|series| elements::uid(series, tags::SERIES_INSTANCE_UID)).collect())
    }

    async fn instances_there(&self, series: &Uid) -> Result<BTreeSet<Uid>, CliError> {
        let keys = [(tags::SERIES_INSTANCE_UID, series.to_string()), (tags::SOP_INSTANCE_UID, String::new())];
        let found = self.find("IMAGE", &keys).await?;
        Ok(found.iter().filter_map(|object| elements::uid(object, tags::SOP_INSTANCE_UID)).collect())
    }

    async fn find(&self, level: &str, keys: &[(dicom_core::Tag, String)]) -> Result<Vec<DataSet>, CliError> {
        scu::find(&self.peer, &self.identifier(level, keys), &self.limits).await.map_err(|error| failed(&error))
    }

    async fn retrieve(&self, identifier: &DataSet) -> Result<Retrieved, CliError> {
        let progress = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{bar:30} {pos}/{len} objects, {per_sec}, {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let each = |so_far: Retrieved| {
            let done = u64::from(so_far.completed) + u64::from(so_far.failed);
            progress.set_length(done + u64::from(so_far.remaining));
            progress.set_position(done);
        };
        let retrieved = scu::retrieve(&self.peer, &self.destination, identifier, each).await;
        progress.finish_and_clear();
        retrieved.map_err(|error| failed(&error))
    }

    fn identifier(&self, level: &str, keys: &[(dicom_core::Tag, String)]) -> DataSet {
        let uid = |(tag, value): &(dicom_core::Tag, String)| DataElement::new(*tag, VR::UI, value.as_str());
        let all = [
            DataElement::new(tags::QUERY_RETRIEVE_LEVEL, VR::CS, level),
            DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, self.study.as_str()),
        ];
        DataSet::from_element_iter(all.into_iter().chain(keys.iter().map(uid)))
    }
}

fn failed(error: &ScuError) -> CliError {
    let hint = match error {
        ScuError::Refused { status, .. } if status.0 == 0xA801 => {
            "; it has to know this node's AE title, address and port as a move destination"
        }
        _ => "",
    };
    CliError::Failed(format!("{error}{hint}"))
}
