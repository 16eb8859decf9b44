//! Levels of the arterial tree.

/// Where in the arterial tree a vessel or an embolus lies, from the heart outwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Across the bifurcation of the pulmonary trunk.
    Saddle,
    /// Left or right main pulmonary artery.
    Main,
    /// Lobar and interlobar arteries.
    Lobar,
    /// Segmental arteries.
    Segmental,
    /// Subsegmental arteries.
    Subsegmental,
}

impl Level {
    /// All levels from the heart outwards.
    pub const ALL: [Self; 5] = [Self::Saddle, Self::Main, Self::Lobar, Self::Segmental, Self::Subsegmental];

    /// The name used in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Saddle => "saddle",
            Self::Main => "main",
            Self::Lobar => "lobar",
            Self::Segmental => "segmental",
            Self::Subsegmental => "subsegmental",
        }
    }
}
