//! Progress bars: one line that moves on a terminal, and none where there is no terminal (the log reports instead).

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `length` things.
pub(crate) fn bar(length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_prefix(what);
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{elapsed_precise}] {bar:32} {pos}/{len} eta {eta} {msg}")
    {
        bar.set_style(style);
    }
    bar
}
