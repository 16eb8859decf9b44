//! `pe-node demo`: how a study is processed, on this machine. A phantom is made, a node started on free loopback ports,
//! the phantom pushed to it by C-STORE, and the results fetched back by WADO-RS and shown.

mod finding;
mod pictures;
mod results;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::results::{Fetched, Node};
use super::{CliError, Settings};
use crate::cohort::{Layout, TruthRow};
use crate::config::Config;
use crate::dicom::AeTitle;
use crate::dicom::bounded::Limits;
use crate::engine::pipeline::ResultKind;
use crate::learn::phantom::{Exam, Level, Preset, Recipe};
use crate::node::dimse::scu::{self, Outgoing, Peer};
use crate::node::serve::{self, Listeners};
use crate::node::shutdown::{self, Shutdown};
use crate::node::telemetry;

/// Result objects without which the demo has failed.
const EXPECTED: [ResultKind; 3] = [ResultKind::Sr, ResultKind::Sc, ResultKind::Seg];
/// How long the node may take with the exam.
const PATIENCE: Duration = Duration::from_mins(10);

/// Phantoms to draw at most until one has enough contrast; nearly every one has.
const CANDIDATES: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder for the result objects and pictures
    #[arg(long, value_name = "DIR", default_value = "pe-node-demo")]
    out: PathBuf,
    /// Keep the phantom's images and the node's archive in that folder too
    #[arg(long)]
    keep: bool,
    /// Size of the phantom's images
    #[arg(long, value_enum, default_value_t = Preset::Light)]
    preset: Preset,
    /// The same seed gives the same phantom
    #[arg(long, default_value_t = 2025)]
    seed: u64,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let config = arguments.settings.load()?;
    telemetry::start_logging(&config.log).map_err(|error| CliError::Usage(error.to_string()))?;
    folder(&arguments.out)?;
    let scratch = tempfile::tempdir().map_err(|error| CliError::failed(&error))?;
    let work = if arguments.keep { arguments.out.as_path() } else { scratch.path() };
    let started = Instant::now();
    let phantom = make_phantom(arguments, work)?;
    let config = local(config, work)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| CliError::failed(&error))?;
    let fetched = runtime.block_on(through_the_node(config, &phantom, &arguments.out))?;
    show(&fetched, &phantom, &arguments.out)?;
    println!("\nAll results came back. {:.1} s in all.", started.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

fn folder(path: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(path).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

/// A phantom with its truth and its files.
struct Phantom {
    record: TruthRow,
    files: Vec<PathBuf>,
}

fn make_phantom(arguments: &Arguments, work: &Path) -> Result<Phantom, CliError> {
    let start = Instant::now();
    // Enough contrast for a reader, and emboli large enough to be seen in a small picture.
    let exam = (0..CANDIDATES)
        .map(|index| Recipe {
            pe: Some(true),
            level: Some(Level::Lobar),
            ..Recipe::new(arguments.preset, arguments.seed, index)
        })
        .map(|recipe| Exam::draw(&recipe))
        .find(|exam| !exam.truth().indeterminate)
        .ok_or_else(|| CliError::Failed("no phantom could be drawn".to_owned()))?;
    let layout = Layout::below(work.join("phantom"));
    let record = exam.write(&layout).map_err(|error| CliError::failed(&error))?;
    let series = layout.series(&record.study_instance_uid, &record.series_instance_uid);
    let entries = std::fs::read_dir(&series).map_err(|error| CliError::failed(&error))?;
    let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    println!(
        "Phantom   {} slices, made in {:.1} s. Truth: {} emboli, {}, {} level, {:.1} ml.",
        files.len(),
        start.elapsed().as_secs_f64(),
        record.clots,
        record.side,
        record.most_proximal_level,
        record.clot_ml
    );
    Ok(Phantom { record, files })
}

/// The settings with free loopback ports, a folder of their own and a short quiet period.
fn local(mut config: Config, work: &Path) -> Result<Config, CliError> {
    let free = |text: &str| text.parse().map_err(|_| CliError::Failed(format!("{text} is not an address")));
    config.dicom.listen = free("127.0.0.1:0")?;
    config.http.listen = free("127.0.0.1:0")?;
    config.storage.path = work.join("archive");
    config.study.quiet_seconds = config.study.quiet_seconds.min(1.0);
    config.destinations.clear();
    Ok(config)
}

/// Starts the node, sends, waits, fetches, stops the node.
async fn through_the_node(config: Config, phantom: &Phantom, out: &Path) -> Result<Vec<Fetched>, CliError> {
    let shutdown = Shutdown::new();
    shutdown::on_signals(&shutdown).map_err(|error| CliError::failed(&error))?;
    let (ae_title, limits) = (config.dicom.ae_title.clone(), config.limits);
    let listeners = Listeners::open(&config.dicom, &config.http).await.map_err(|error| CliError::failed(&error))?;
    let (dicom, http) = listeners.addresses().map_err(|error| CliError::failed(&error))?;
    let node = Box::pin(serve::Node::start(config, listeners)).await.map_err(|error| CliError::failed(&error))?;
    println!("Node      {ae_title}@{dicom} and http://{http}");
    let running = tokio::spawn(node.run(shutdown.clone()));
    let work = async {
        let peer = Peer {
            address: dicom.to_string(),
            called: ae_title,
            calling: AeTitle::parse("PE-DEMO").map_err(|error| CliError::failed(&error))?,
            timeout: Duration::from_mins(1),
            originator: None,
        };
        send(&peer, &phantom.files, &limits).await?;
        Node::at(http).results(&phantom.record.study_instance_uid, PATIENCE, out).await
    };
    let fetched = tokio::select! {
        fetched = work => fetched,
        () = shutdown.cancelled() => Err(CliError::Failed("stopped before the results were there".to_owned())),
    };
    shutdown.cancel();
    running.await.map_err(|error| CliError::failed(&error))?.map_err(|error| CliError::failed(&error))?;
    let fetched = fetched?;
    match EXPECTED.iter().find(|kind| !fetched.iter().any(|one| one.kind == **kind)) {
        None => Ok(fetched),
        Some(missing) => Err(CliError::Failed(format!("the node made no {missing}"))),
    }
}

async fn send(peer: &Peer, files: &[PathBuf], limits: &Limits) -> Result<(), CliError> {
    let start = Instant::now();
    let identify = |path: &PathBuf| Outgoing::identify(path, limits).map_err(|error| CliError::failed(&error));
    let objects: Vec<Outgoing> = files.iter().map(identify).collect::<Result<_, _>>()?;
    let style =
        ProgressStyle::with_template("Sending   {bar:30} {pos}/{len}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let progress = ProgressBar::new(objects.len() as u64).with_style(style);
    let outcomes = scu::store(peer, &objects, limits, |_, _| progress.inc(1)).await;
    progress.finish_and_clear();
    if let Some(outcome) = outcomes.iter().find(|outcome| !outcome.is_stored()) {
        return Err(CliError::Failed(format!("the node did not store an image: {outcome}")));
    }
    println!("Sent      {} images by C-STORE in {:.1} s", objects.len(), start.elapsed().as_secs_f64());
    Ok(())
}

fn show(fetched: &[Fetched], phantom: &Phantom, out: &Path) -> Result<(), CliError> {
    for one in fetched {
        match one.kind {
            ResultKind::Sr => println!("\n{}", finding::text(&one.object)),
            ResultKind::Sc => tell(&pictures::frames(&one.object, out)?),
            ResultKind::Seg => tell(&pictures::lungs(&one.object, &phantom.files, out)?),
            ResultKind::Kos
            | ResultKind::Pr
            | ResultKind::Pm
            | ResultKind::Pdf
            | ResultKind::Notice
            | ResultKind::RejectionNote => {}
        }
    }
    Ok(())
}

fn tell(written: &[PathBuf]) {
    for path in written {
        println!("Wrote     {}", path.display());
    }
}
