//! Progress: a bar that moves on a terminal; elsewhere a line now and then, so that a log of a long step shows life.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal.
const BETWEEN: Duration = Duration::from_secs(60);

/// Progress over a number of things. It may be advanced from several threads.
pub(crate) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    /// When the last line was written; `None` on a terminal.
    reported: Option<Mutex<Instant>>,
}

/// Progress over `length` things.
pub(crate) fn bar(length: u64, what: &'static str) -> Progress {
    let bar = ProgressBar::new(length).with_prefix(what);
    if let Ok(style) = ProgressStyle::with_template("{prefix} [{elapsed_precise}] {bar:32} {pos}/{len} eta {eta} {msg}")
    {
        bar.set_style(style);
    }
    let reported = (!std::io::stderr().is_terminal()).then(|| Mutex::new(Instant::now()));
    Progress { bar, what, reported }
}

impl Progress {
    pub(crate) fn inc(&self, count: u64) {
        self.bar.inc(count);
        if self.is_due() {
            self.report();
        }
    }

    /// Begins a part: `done` of `length` things in all.
    pub(crate) fn resume(&self, done: u64, length: u64) {
        self.bar.set_length(length);
        self.bar.set_position(done);
    }

    pub(crate) fn set_message(&self, message: String) {
        self.bar.set_message(message);
    }

    pub(crate) fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Whether a line is due, which then counts as written.
    fn is_due(&self) -> bool {
        let Some(reported) = &self.reported else { return false };
        let mut reported = reported.lock().unwrap_or_else(PoisonError::into_inner);
        let due = reported.elapsed() >= BETWEEN;
        if due {
            *reported = Instant::now();
        }
        due
    }

    fn report(&self) {
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
        tracing::info!(
            "{}: {done} of {all}, {} left; {}",
            self.what,
            HumanDuration(self.bar.eta()),
            self.bar.message()
        );
    }
}
