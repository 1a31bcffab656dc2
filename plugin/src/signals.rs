//! What ends the program before its objects do: signals, and the end of the time to wait.

use std::{process, thread, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep, sleep_until},
};

use crate::{cluster::REQUEST_TIMEOUT_MIN, exit::Exit, failure::Failure};

/// So long somebody may take to read the end.
const UNREAD_FOR: Duration = Duration::from_secs(2);

/// Ends the program where it should have ended, but waits for somebody to read what it prints.
pub fn watchdog(deadline: Option<Instant>) {
    let deadline = deadline.map(|deadline| deadline.max(Instant::now() + REQUEST_TIMEOUT_MIN));
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async {
            let mut interrupt = on(SignalKind::interrupt()).ok()?;
            let mut terminate = on(SignalKind::terminate()).ok()?;
            let exit = tokio::select! {
                _ = interrupt.recv() => Exit::Interrupted,
                _ = terminate.recv() => Exit::Terminated,
                () = until(deadline) => Exit::WaitTimedOut,
            };
            sleep(UNREAD_FOR).await;
            process::exit(exit.into());
            #[expect(unreachable_code, reason = "gives the type")]
            Some(())
        })
    });
}

/// Hears of a signal.
pub fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::stuck(format!("Signals can't be handled: {error}")))
}

/// Waits until then; for ever where there is no such moment.
pub async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
