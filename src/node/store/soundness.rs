//! Whether the database file is whole, as far as is known.

use tokio::sync::watch;

use super::error::StoreError;

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

    /// What is wrong, if anything is known to be.
    pub(super) fn damage(&self) -> Option<String> {
        self.damage.borrow().clone()
    }
}
