//! One stop signal for all services: SIGTERM or SIGINT starts the drain, a second one ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
/// The stop signal. Every service takes a clone. Once it is cancelled, a service accepts nothing new, finishes or
/// returns what it holds, and ends.
pub use tokio_util::sync::CancellationToken as Shutdown;

/// The exit code of a process that was told to stop twice.
const INTERRUPTED: i32 = 130;

/// Cancels `shutdown` on the first SIGTERM or SIGINT. On the second, exits without waiting for the drain; nothing that
/// was acknowledged is lost.
pub fn on_signals(shutdown: &Shutdown) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("draining: nothing new is accepted; a second signal ends the process at once");
                shutdown.cancel();
            } else {
                tracing::warn!("ended without waiting for the drain");
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(())
}
