//! The packages that analyse exams.

use serde::{Deserialize, Serialize};

use super::activation::ShadowModel;
use super::identity::ModelIdentity;
use super::manifest::Kind;

/// Two packages that analyse exams together: these bytes and no others, whatever lies in the folder later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packages {
    /// Finds the lungs.
    pub lungs: ModelIdentity,
    /// Finds embolism.
    pub embolism: ModelIdentity,
}

impl Packages {
    /// The package of a kind.
    pub fn of(&self, kind: Kind) -> &ModelIdentity {
        match kind {
            Kind::LungSegmentation => &self.lungs,
            Kind::EmbolismClassifier => &self.embolism,
        }
    }

    /// Each kind with its package.
    pub fn by_kind(&self) -> [(Kind, &ModelIdentity); 2] {
        Kind::ALL.map(|kind| (kind, self.of(kind)))
    }

    /// Both, in the order in which they take part in an analysis.
    pub fn each(&self) -> [&ModelIdentity; 2] {
        Kind::ALL.map(|kind| self.of(kind))
    }

    /// `name/version` of each.
    pub fn ids(&self) -> Vec<String> {
        self.each().map(|model| model.package.to_string()).to_vec()
    }

    /// The same packages with the one of a kind replaced.
    fn with(&self, kind: Kind, model: ModelIdentity) -> Self {
        let mut packages = self.clone();
        match kind {
            Kind::LungSegmentation => packages.lungs = model,
            Kind::EmbolismClassifier => packages.embolism = model,
        }
        packages
    }
}

/// The packages that analyse exams, and the shadow model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineup {
    /// Their findings are the result.
    pub packages: Packages,
    /// The shadow model; none if it is the active package of its kind.
    pub shadow: Option<ShadowModel>,
}

impl Lineup {
    /// The shadow model, and the packages with it in the place of the active one of its kind.
    pub fn with_shadow(&self) -> Option<(&ShadowModel, Packages)> {
        let shadow = self.shadow.as_ref()?;
        Some((shadow, self.packages.with(shadow.kind, shadow.model())))
    }
}
