//! Reading ahead of a device.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use crate::learn::train::TrainError;

/// A thread that takes results in their order, up to `count` before they are asked for. It ends with the first failure,
/// or when the receiver is gone.
pub(super) fn ahead<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    count: usize,
    results: impl Iterator<Item = Result<T, TrainError>> + Send + 'scope,
) -> Receiver<Result<T, TrainError>> {
    let (sender, receiver) = sync_channel(count);
    scope.spawn(move || {
        for result in results {
            let failed = result.is_err();
            if sender.send(result).is_err() || failed {
                return;
            }
        }
    });
    receiver
}
