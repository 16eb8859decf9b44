//! The folder of model packages as the running node sees it. The node reads it every few seconds, and on SIGHUP at
//! once. The worker, the shadow model and the HTTP interface are told of changes.
//!
//! The node follows `active.toml` and nothing else: a package that somebody copies into the folder is not used before
//! its promotion or the next start of the node.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::shutdown::Shutdown;
use crate::config::ModelsConfig;
use crate::engine::models::activation::Activation;
use crate::engine::models::lineup::Lineup;
use crate::engine::models::package::{MANIFEST, Package};
use crate::engine::models::registry::{Entry, Registry, RegistryError};
use crate::engine::models::{ModelIdentity, PackageId, Selection};

/// Pause before the folder is read again.
const PAUSE: Duration = Duration::from_secs(2);

/// A model package, as the API lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelEntry {
    /// Name of the package.
    pub name: String,
    /// Version of the package.
    pub version: String,
    /// `lung-segmentation` or `embolism-classifier`; absent if the manifest cannot be read.
    pub kind: Option<String>,
    /// `demonstration`, `research` or `clinical`.
    pub intended_use: Option<String>,
    /// SHA-256 over manifest and files, once they were verified.
    pub sha256: Option<String>,
    /// Why it cannot be used, if it cannot.
    pub error: Option<String>,
}

impl ModelEntry {
    /// True if it has the name and version of this package.
    pub fn is(&self, id: &PackageId) -> bool {
        self.name == id.name.as_str() && self.version == id.version.to_string()
    }
}

/// Which packages are to analyse exams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The packages, and the shadow model.
    pub lineup: Lineup,
    /// Why the folder does not say any more which packages are active, if it does not; `lineup` is the last it named.
    pub problem: Option<String>,
}

/// The folder, watched.
#[derive(Debug)]
pub struct ModelFolder {
    config: ModelsConfig,
    seen: Contents,
    wanted: watch::Sender<Wanted>,
    entries: watch::Sender<Vec<ModelEntry>>,
}

/// What tells one state of the folder from another, without reading networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Contents {
    activation: Activation,
    /// Manifests with the time of their last change.
    manifests: BTreeMap<String, Option<SystemTime>>,
}

impl Contents {
    fn of(registry: &Registry) -> Self {
        let changed = |entry: &Entry| {
            let folder = entry.to_string();
            let manifest = registry.directory().join(&folder).join(MANIFEST);
            (folder, std::fs::metadata(manifest).and_then(|metadata| metadata.modified()).ok())
        };
        Self { activation: registry.activation().clone(), manifests: registry.entries().iter().map(changed).collect() }
    }
}

impl ModelFolder {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// There is no folder, or it does not say which packages are active. The analysis process finds out if they load.
    pub fn open(config: &ModelsConfig) -> Result<Self, RegistryError> {
        let registry = Registry::open(config)?;
        let lineup = registry.lineup(config)?;
        // A setting may name no version: the version that it selects now is kept for as long as the node runs.
        let pinned = |setting: &Selection, model: &ModelIdentity| match setting {
            Selection::Active => Selection::Active,
            Selection::Newest(_) | Selection::Exactly(_) => Selection::Exactly(model.package.clone()),
        };
        let config = ModelsConfig {
            lungs: pinned(&config.lungs, &lineup.packages.lungs),
            embolism: pinned(&config.embolism, &lineup.packages.embolism),
            ..config.clone()
        };
        let wanted = Wanted { lineup, problem: None };
        Ok(Self {
            config,
            seen: Contents::of(&registry),
            wanted: watch::Sender::new(wanted),
            entries: watch::Sender::new(registry.entries().iter().map(listed).collect()),
        })
    }

    /// Which packages are to analyse exams. It is sent again on a change, and when SIGHUP asks for another attempt.
    pub fn wanted(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// All packages in the folder.
    pub fn entries(&self) -> watch::Receiver<Vec<ModelEntry>> {
        self.entries.subscribe()
    }

    /// Watches until `shutdown`.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => Some(hangup),
            Err(error) => {
                tracing::warn!(%error, "SIGHUP is not handled; promotions are noticed all the same");
                None
            }
        };
        loop {
            let asked = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            let asked = tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(PAUSE) => false,
                () = asked => true,
            };
            let look = spawn_blocking(move || {
                self.look(asked);
                self
            });
            match look.await {
                Ok(folder) => self = folder,
                // The runtime ends, or a fault of this program: the node goes on with the packages that it has.
                Err(error) => {
                    tracing::error!(%error, "the folder of model packages is no longer watched");
                    return shutdown.cancelled().await;
                }
            }
        }
    }

    /// Reads the folder once. `asked`: the result is sent even if nothing changed.
    fn look(&mut self, asked: bool) {
        let registry = match Registry::open(&self.config) {
            Ok(registry) => registry,
            Err(error) => return self.publish(Err(error), asked),
        };
        let seen = Contents::of(&registry);
        if asked || seen.activation != self.seen.activation || self.wanted.borrow().problem.is_some() {
            self.publish(registry.lineup(&self.config), asked);
        }
        if asked || seen != self.seen {
            self.entries.send_replace(registry.entries().iter().map(listed).collect());
        }
        self.seen = seen;
    }

    fn publish(&self, lineup: Result<Lineup, RegistryError>, asked: bool) {
        let former = self.wanted.borrow().clone();
        let wanted = match lineup {
            Ok(lineup) => Wanted { lineup, problem: None },
            Err(error) => Wanted { problem: Some(error.to_string()), ..former.clone() },
        };
        if wanted != former || asked {
            self.wanted.send_replace(wanted);
        }
    }
}

fn listed(entry: &Entry) -> ModelEntry {
    let (sha256, error) = match &entry.package {
        Ok(package) => match package.contents() {
            Ok(contents) => (Some(contents.identity.sha256), None),
            Err(error) => (None, Some(error.to_string())),
        },
        Err(error) => (None, Some(error.to_string())),
    };
    let manifest = entry.package.as_ref().ok().map(Package::manifest);
    ModelEntry {
        name: entry.name.to_string(),
        version: entry.version.clone(),
        kind: manifest.map(|manifest| manifest.kind.to_string()),
        intended_use: manifest.map(|manifest| manifest.intended_use.to_string()),
        sha256,
        error,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use jiff::Timestamp;

    use super::*;
    use crate::config::Config;
    use crate::engine::models::activation::STATE;
    use crate::packages::folder::Folder;

    /// The fixture packages, the classifier in two versions.
    fn packages() -> (tempfile::TempDir, ModelsConfig) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/models");
        for (name, version) in
            [("fixture-lungs", "1.0.0"), ("fixture-embolism", "1.0.0"), ("fixture-embolism", "0.9.0")]
        {
            copy(&fixtures.join(name).join("1.0.0"), &folder.path().join(name).join(version), version);
        }
        let config = Config::load(None, std::iter::empty(), &[]).expect("defaults").models;
        let directory = folder.path().to_owned();
        (folder, ModelsConfig { directory, ..config })
    }

    fn copy(from: &Path, to: &Path, version: &str) {
        fs::create_dir_all(to).expect("folder");
        for entry in fs::read_dir(from).expect("fixture").flatten() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
        }
        let manifest = to.join(MANIFEST);
        let text = fs::read_to_string(&manifest).expect("manifest");
        fs::write(manifest, text.replacen("version = \"1.0.0\"", &format!("version = \"{version}\""), 1))
            .expect("write");
    }

    /// Changes the manifest, and so the digest of its package.
    fn append_to(manifest: &Path) {
        let text = fs::read_to_string(manifest).expect("manifest");
        fs::write(manifest, format!("{text}\n# changed\n")).expect("write");
    }

    fn promote(config: &ModelsConfig, id: &str) {
        let folder = Folder::open(config).expect("folder");
        let package = folder.registry().package(&id.parse().expect(id)).expect("package");
        let identity = package.contents().expect("contents").identity;
        folder.promote(package, &identity, Timestamp::now()).expect("promoted");
    }

    #[test]
    fn a_promotion_is_seen_and_reported_once() {
        let (_folder, config) = packages();
        let mut watched = ModelFolder::open(&config).expect("folder");
        let mut wanted = watched.wanted();
        assert_eq!(wanted.borrow().lineup.packages.embolism.package.to_string(), "fixture-embolism/1.0.0");
        promote(&config, "fixture-embolism/0.9.0");
        watched.look(false);
        assert!(wanted.has_changed().expect("open"));
        assert_eq!(wanted.borrow_and_update().lineup.packages.embolism.package.to_string(), "fixture-embolism/0.9.0");
        watched.look(false);
        assert!(!wanted.has_changed().expect("open"), "reported twice");
        watched.look(true);
        assert!(wanted.has_changed().expect("open"), "asked for");
    }

    #[test]
    fn other_bytes_that_are_promoted_under_the_same_version_are_other_models() {
        let (folder, config) = packages();
        promote(&config, "fixture-embolism/0.9.0");
        let mut watched = ModelFolder::open(&config).expect("folder");
        let mut wanted = watched.wanted();
        let before = wanted.borrow_and_update().lineup.packages.embolism.clone();
        append_to(&folder.path().join("fixture-embolism/0.9.0").join(MANIFEST));
        promote(&config, "fixture-embolism/0.9.0");
        watched.look(false);
        assert!(wanted.has_changed().expect("open"));
        let after = wanted.borrow_and_update().lineup.packages.embolism.clone();
        assert!(after.package == before.package && after.sha256 != before.sha256);
    }

    #[test]
    fn a_setting_without_a_version_means_one_package_for_as_long_as_the_node_runs() {
        let (folder, config) = packages();
        let config = ModelsConfig { embolism: "fixture-embolism".parse().expect("a selection"), ..config };
        let mut watched = ModelFolder::open(&config).expect("folder");
        let from = folder.path().join("fixture-embolism/1.0.0");
        copy(&from, &folder.path().join("fixture-embolism/1.1.0"), "1.1.0");
        for asked in [false, true] {
            watched.look(asked);
            assert_eq!(
                watched.wanted().borrow().lineup.packages.embolism.package.to_string(),
                "fixture-embolism/1.0.0"
            );
        }
        let restarted = ModelFolder::open(&config).expect("folder");
        let wanted = restarted.wanted().borrow().clone();
        assert_eq!(wanted.lineup.packages.embolism.package.to_string(), "fixture-embolism/1.1.0");
    }

    #[test]
    fn a_promoted_package_that_was_replaced_is_not_the_promoted_one() {
        let (folder, config) = packages();
        promote(&config, "fixture-embolism/0.9.0");
        assert!(ModelFolder::open(&config).is_ok());
        append_to(&folder.path().join("fixture-embolism/0.9.0").join(MANIFEST));
        let error = ModelFolder::open(&config).map(drop).expect_err("refused").to_string();
        assert!(error.contains("was promoted") && error.contains("promote another package, or roll back"), "{error}");
    }

    #[test]
    fn a_package_that_somebody_copies_into_the_folder_is_listed_and_not_followed() {
        let (folder, config) = packages();
        let mut watched = ModelFolder::open(&config).expect("folder");
        let wanted = watched.wanted();
        let from = folder.path().join("fixture-embolism/0.9.0");
        copy(&from, &folder.path().join("fixture-embolism/2.0.0"), "0.9.0");
        watched.look(false);
        assert!(!wanted.has_changed().expect("open"));
        let entries = watched.entries().borrow().clone();
        let broken = entries.iter().find(|entry| entry.version == "2.0.0").expect("listed");
        assert!(broken.error.as_ref().is_some_and(|error| error.contains("must be called <name>/<version>")));
    }

    #[test]
    fn a_state_that_cannot_be_read_leaves_the_packages_as_they_were_and_says_why() {
        let (folder, config) = packages();
        let mut watched = ModelFolder::open(&config).expect("folder");
        let before = watched.wanted().borrow().clone();
        fs::write(folder.path().join(STATE), "schema = 9").expect("write");
        watched.look(false);
        let wanted = watched.wanted().borrow().clone();
        assert_eq!(wanted.lineup, before.lineup);
        assert!(wanted.problem.is_some_and(|problem| problem.contains("active.toml")));
        fs::remove_file(folder.path().join(STATE)).expect("remove");
        watched.look(false);
        assert_eq!(*watched.wanted().borrow(), before);
    }
}
