//! Whether the database file is whole: SQLite looks through it now and then, and a statement that meets damage says so at
//! once.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use super::database::Database;
use super::error::StoreError;
use super::handle::Store;

/// Between two looks at least; a large file is looked at less often, a hundredth of the time at most.
const PAUSE: Duration = Duration::from_mins(1);
const SHARE: u32 = 100;

/// What is known of the damage of the database file; cheap to clone. It stays until the node starts again.
#[derive(Debug, Clone)]
pub(super) struct Soundness {
    damage: watch::Sender<Option<String>>,
}

impl Soundness {
    pub(super) fn unknown() -> Self {
        Self { damage: watch::Sender::new(None) }
    }

    /// Notes an error if it tells of damage.
    pub(super) fn note(&self, error: &StoreError) {
        if matches!(error, StoreError::Damaged { .. }) {
            self.damage.send_if_modified(|known| {
                let is_news = known.is_none();
                if is_news {
                    tracing::error!(%error, "the node is not ready any more");
                    *known = Some(error.to_string());
                }
                is_news
            });
        }
    }

    fn damage(&self) -> Option<String> {
        self.damage.borrow().clone()
    }
}

impl Store {
    /// What is wrong with the database file, if anything is known to be.
    pub fn damage(&self) -> Option<String> {
        self.database.soundness().damage()
    }
}

/// Looks through the file until it is closed, or found damaged.
pub(super) async fn watch_over(database: Database) {
    loop {
        let begun = Instant::now();
        match database.look_through().await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => database.soundness().note(&error),
        }
        if database.soundness().damage().is_some() {
            return;
        }
        sleep(PAUSE.max(begun.elapsed() * SHARE)).await;
    }
}
