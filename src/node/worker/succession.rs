//! The change from one set of models to the next. When others are wanted, a second analysis process loads them while
//! the first continues; the worker changes to it between two jobs. If it cannot load them, the first one stays.

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::process::{Launch, Process};
use super::protocol::Setup;
use crate::engine::models::lineup::Lineup;
use crate::node::models::Wanted;

/// How a request for other models ended.
#[derive(Debug)]
pub(super) enum Succession {
    /// They are loaded.
    Loaded(Box<Successor>),
    /// They cannot be loaded, for this reason; the former ones stay active.
    Refused(String),
    /// The active ones are wanted again.
    AsBefore,
}

/// A process with its models loaded.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) process: Process,
    pub(super) setup: Setup,
}

/// Loads the packages that are wanted whenever they differ from those of `setup` or the last loaded, until dropped.
pub(super) fn follow(
    wanted: watch::Receiver<Wanted>,
    launch: Launch,
    setup: Setup,
) -> (mpsc::Receiver<Succession>, AbortOnDropHandle<()>) {
    let (sender, receiver) = mpsc::channel(1);
    (receiver, AbortOnDropHandle::new(tokio::spawn(run(wanted, launch, setup, sender))))
}

async fn run(mut wanted: watch::Receiver<Wanted>, launch: Launch, mut setup: Setup, sender: mpsc::Sender<Succession>) {
    while wanted.changed().await.is_ok() {
        let Wanted { lineup: Lineup { packages, .. }, problem } = wanted.borrow_and_update().clone();
        let succession = match problem {
            Some(problem) => Succession::Refused(problem),
            None if packages == setup.packages => Succession::AsBefore,
            None => {
                tracing::info!(packages = ?packages.ids(), "loading other models");
                let next = Setup { packages, ..setup.clone() };
                match Process::start(&launch, &next).await {
                    Ok(process) => {
                        setup = next.clone();
                        Succession::Loaded(Box::new(Successor { process, setup: next }))
                    }
                    Err(error) => Succession::Refused(error.to_string()),
                }
            }
        };
        if sender.send(succession).await.is_err() {
            return;
        }
    }
}
