//! burn draws weights from one generator of the whole process. Tests share it, except one that compares two trainings: a
//! draw of another test in between would give its networks other weights.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static GENERATOR: RwLock<()> = RwLock::new(());

/// For a test that draws.
pub(crate) fn shared() -> RwLockReadGuard<'static, ()> {
    GENERATOR.read().unwrap_or_else(PoisonError::into_inner)
}

/// For a test that counts on what it draws.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    GENERATOR.write().unwrap_or_else(PoisonError::into_inner)
}
