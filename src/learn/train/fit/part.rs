//! The parts of a fit.

/// A part of a fit, in the order in which they run. Its name is that of its folder of checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum FitPart {
    /// The encoder on patches.
    Patches,
    /// All weights.
    Network,
    /// The head alone on whole stacks.
    Head,
}

impl FitPart {
    /// Name of its folder.
    pub(crate) fn folder(self) -> &'static str {
        self.into()
    }

    /// What is fitted to what, for a reader.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Patches => "encoder on patches",
            Self::Network => "network",
            Self::Head => "head on whole stacks",
        }
    }
}
