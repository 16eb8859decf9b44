//! Hostile text as settings.

use super::layers::Layered;
use super::loading::DEFAULTS;
use super::sections::Config;

/// The text of a configuration file.
///
/// # Panics
/// The defaults are not settings.
pub(crate) fn settings(bytes: &[u8]) {
    let mut layered = Layered::defaults(DEFAULTS).expect("the defaults");
    if layered.merge_text("fuzzer", &String::from_utf8_lossy(bytes)).is_ok()
        && let Ok(config) = layered.typed::<Config>()
    {
        let _ = config.to_toml();
    }
}
