//! Which package is active, from `active.toml` in the folder of packages.
//!
//! The file is a log, and what is active follows from it: a promotion puts a package on top of those of its kind, a
//! rollback removes the top one. Nothing is ever removed from the log, so it also tells which package made the results
//! of any day. This module knows the rules; [`crate::packages`] writes the file.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::identity::ModelIdentity;
use super::manifest::Kind;
use super::package_id::{PackageId, deserialize_recorded};
use super::syntax::SyntaxError;

/// Name of the file in the folder of packages.
pub const STATE: &str = "active.toml";
/// Version of the file's format.
const SCHEMA: u32 = 1;

/// What was promoted and rolled back in a folder of packages, oldest first, and the shadow model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    schema: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowModel>,
    #[serde(default)]
    history: Vec<Event>,
}

/// One change of the active package of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Time of the change.
    pub at: Timestamp,
    /// What happened.
    pub action: Action,
    /// Kind of the package.
    pub kind: Kind,
    /// The package that was active from then on.
    #[serde(deserialize_with = "deserialize_recorded")]
    pub package: PackageId,
    /// Its digest, as [`ModelIdentity`] has it.
    pub sha256: String,
}

/// How a package became active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Action {
    /// It was in use, as the newest version of the only package of its kind, when the first change came.
    Found,
    /// By promotion.
    Promoted,
    /// By a rollback of the one after it.
    RolledBack,
}

/// The shadow model: a package that analyses the same exams as the active one of its kind. Its results are recorded and
/// not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowModel {
    /// The package.
    #[serde(deserialize_with = "deserialize_recorded")]
    pub package: PackageId,
    /// Its kind.
    pub kind: Kind,
    /// Its digest.
    pub sha256: String,
    /// When it was set; it does not analyse earlier exams.
    pub since: Timestamp,
}

impl ShadowModel {
    /// Its model identity.
    pub fn model(&self) -> ModelIdentity {
        ModelIdentity { package: self.package.clone(), sha256: self.sha256.clone() }
    }
}

/// Why the active package cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The file cannot be read.
    #[error("reading {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file's text is not valid.
    #[error(
        "{path}: {problem}; without the file the newest version of the only package of each kind is active; restore \
         or remove the file",
        path = path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: FormatError,
    },
}

/// What is wrong with the text of `active.toml`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not TOML, or with unknown keys or values.
    #[error("{0}")]
    Syntax(SyntaxError),
    /// Another version of the format.
    #[error("schema {0}: this program knows {SCHEMA}")]
    Schema(u32),
}

impl Default for Activation {
    fn default() -> Self {
        Self { schema: SCHEMA, shadow: None, history: Vec::new() }
    }
}

impl Activation {
    /// Reads the state of a folder; without a file nothing was ever promoted.
    pub fn read(directory: &Path) -> Result<Self, ActivationError> {
        let path = directory.join(STATE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|problem| ActivationError::Format { path, problem }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ActivationError::Read { path, source }),
        }
    }

    fn parse(text: &str) -> Result<Self, FormatError> {
        let state: Self = toml::from_str(text).map_err(|error| FormatError::Syntax(error.into()))?;
        if state.schema == SCHEMA { Ok(state) } else { Err(FormatError::Schema(state.schema)) }
    }

    /// The text of the file.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let text = toml::to_string_pretty(self)?;
        Ok(format!("# Written by `pe-node models`; what is active follows from the history.\n{text}"))
    }

    /// All changes, oldest first.
    pub fn history(&self) -> &[Event] {
        &self.history
    }

    /// The change that made the active package of a kind active, if anything was promoted.
    pub fn active(&self, kind: Kind) -> Option<&Event> {
        self.stack(kind).pop()
    }

    /// The package that a rollback leads back to.
    pub fn before(&self, kind: Kind) -> Option<&Event> {
        let mut stack = self.stack(kind);
        stack.pop()?;
        stack.pop()
    }

    /// The shadow model.
    pub fn shadow(&self) -> Option<&ShadowModel> {
        self.shadow.as_ref()
    }

    /// Packages of a kind, the active one on top.
    fn stack(&self, kind: Kind) -> Vec<&Event> {
        let mut stack: Vec<&Event> = Vec::new();
        for event in self.history.iter().filter(|event| event.kind == kind) {
            match event.action {
                Action::Found | Action::Promoted => {
                    // Replaced under the same version: its earlier files are gone.
                    stack.pop_if(|top| top.package == event.package);
                    stack.push(event);
                }
                Action::RolledBack => {
                    stack.pop();
                }
            }
        }
        stack
    }

    /// Puts a package on top of its kind. False if it is there already, with the same digest. A promoted shadow model
    /// is no longer the shadow model.
    pub fn put_on_top(&mut self, event: Event) -> bool {
        let identity = (&event.package, &event.sha256);
        if self.active(event.kind).is_some_and(|top| (&top.package, &top.sha256) == identity) {
            return false;
        }
        self.shadow.take_if(|shadow| shadow.package == event.package);
        self.history.push(event);
        true
    }

    /// Removes the top package of a kind. Returns the change to the package below, active from then on, if there is
    /// one.
    pub fn roll_back(&mut self, kind: Kind, at: Timestamp) -> Option<Event> {
        let Event { package, sha256, .. } = self.before(kind)?.clone();
        let event = Event { at, action: Action::RolledBack, kind, package, sha256 };
        self.history.push(event.clone());
        Some(event)
    }

    /// Sets or removes the shadow model. False if that changes nothing.
    pub fn set_shadow(&mut self, shadow: Option<ShadowModel>) -> bool {
        // The name alone does not identify a model: a package may have been replaced under its version.
        let changes = self.shadow.as_ref().map(ShadowModel::model) != shadow.as_ref().map(ShadowModel::model);
        if changes {
            self.shadow = shadow;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: i64, action: Action, kind: Kind, package: &str) -> Event {
        let at = Timestamp::from_second(second).expect("time");
        Event { at, action, kind, package: package.parse().expect("a package"), sha256: "ab".repeat(32) }
    }

    fn promoted(packages: &[&str]) -> Activation {
        let mut state = Activation::default();
        for (second, package) in packages.iter().enumerate() {
            assert!(state.put_on_top(event(second as i64, Action::Promoted, Kind::EmbolismClassifier, package)));
        }
        state
    }

    fn active(state: &Activation) -> Option<String> {
        state.active(Kind::EmbolismClassifier).map(|event| event.package.to_string())
    }

    fn before(state: &Activation) -> Option<String> {
        state.before(Kind::EmbolismClassifier).map(|event| event.package.to_string())
    }

    #[test]
    fn a_rollback_leads_back_one_promotion_at_a_time_and_no_further_than_the_first() {
        let mut state = promoted(&["a/1.0.0", "a/2.0.0", "b/1.0.0"]);
        let now = Timestamp::from_second(9).expect("time");
        for expected in ["a/2.0.0", "a/1.0.0"] {
            let event = state.roll_back(Kind::EmbolismClassifier, now).expect("one before");
            assert_eq!((event.package.to_string().as_str(), active(&state).as_deref()), (expected, Some(expected)));
        }
        assert_eq!(state.roll_back(Kind::EmbolismClassifier, now), None);
        assert_eq!(
            (active(&state).as_deref(), state.history().len()),
            (Some("a/1.0.0"), 5),
            "the log keeps everything"
        );
        // A package promoted after a rollback lies on top of the one rolled back to.
        state.put_on_top(event(10, Action::Promoted, Kind::EmbolismClassifier, "c/1.0.0"));
        assert_eq!(before(&state).as_deref(), Some("a/1.0.0"));
    }

    #[test]
    fn kinds_do_not_mix_and_a_repeated_promotion_changes_nothing() {
        let mut state = promoted(&["a/1.0.0"]);
        assert!(!state.put_on_top(event(5, Action::Promoted, Kind::EmbolismClassifier, "a/1.0.0")));
        assert!(state.active(Kind::LungSegmentation).is_none());
        state.put_on_top(event(6, Action::Found, Kind::LungSegmentation, "lungs/1.0.0"));
        assert_eq!(active(&state).as_deref(), Some("a/1.0.0"));
        assert!(state.before(Kind::LungSegmentation).is_none());
    }

    #[test]
    fn a_promoted_shadow_model_is_no_longer_the_shadow_model() {
        let mut state = promoted(&["a/1.0.0"]);
        let shadow = ShadowModel {
            package: "a/2.0.0".parse().expect("a package"),
            kind: Kind::EmbolismClassifier,
            sha256: "cd".repeat(32),
            since: Timestamp::UNIX_EPOCH,
        };
        assert!(state.set_shadow(Some(shadow.clone())));
        assert!(!state.set_shadow(Some(shadow)), "a repetition");
        assert_eq!(Activation::parse(&state.to_toml().expect("text")), Ok(state.clone()));
        state.put_on_top(event(7, Action::Promoted, Kind::EmbolismClassifier, "a/2.0.0"));
        assert_eq!(state.shadow(), None);
    }

    #[test]
    fn a_package_that_was_replaced_under_its_version_is_another_one() {
        let mut state = promoted(&["a/1.0.0", "a/2.0.0"]);
        let replaced =
            Event { sha256: "cd".repeat(32), ..event(5, Action::Promoted, Kind::EmbolismClassifier, "a/2.0.0") };
        assert!(state.put_on_top(replaced.clone()));
        assert_eq!(state.active(Kind::EmbolismClassifier), Some(&replaced));
        assert!(!state.put_on_top(replaced), "a repetition");
        assert_eq!(before(&state).as_deref(), Some("a/1.0.0"));
        let shadow = |digest: &str| ShadowModel {
            package: "a/3.0.0".parse().expect("a package"),
            kind: Kind::EmbolismClassifier,
            sha256: digest.repeat(32),
            since: Timestamp::UNIX_EPOCH,
        };
        assert!(state.set_shadow(Some(shadow("ab"))));
        assert!(state.set_shadow(Some(shadow("cd"))), "set again");
        assert_eq!(state.shadow(), Some(&shadow("cd")));
        assert!(!state.set_shadow(Some(shadow("cd"))), "a repetition");
    }

    #[test]
    fn a_history_of_versions_that_were_free_text_is_read() {
        let text = "schema = 1\n[[history]]\nat = \"2026-01-02T03:04:05Z\"\naction = \"promoted\"\n\
                    kind = \"embolism-classifier\"\npackage = \"own/3\"\nsha256 = \"ab\"\n";
        assert_eq!(active(&Activation::parse(text).expect("a history")).as_deref(), Some("own/3.0.0"));
    }

    #[test]
    fn a_file_of_another_format_or_with_unknown_keys_is_refused() {
        assert!(Activation::parse("schema = 2").expect_err("schema").to_string().contains("this program knows 1"));
        assert!(Activation::parse("schema = 1\nactive = \"a/1\"").expect_err("key").to_string().contains("active"));
        assert_eq!(Activation::parse("schema = 1"), Ok(Activation::default()));
    }
}
