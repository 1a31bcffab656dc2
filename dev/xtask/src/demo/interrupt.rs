//! Handles Ctrl-C: the demo stops in an orderly way and soon.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::error::Error;

/// The exit code of an interrupted program.
pub(crate) const EXIT_CODE: u8 = 130;

/// How long an orderly stop may take. Nearly all take a second; a cluster far away may take longer.
const GRACE: Duration = Duration::from_secs(30);

static ORDERLY: AtomicBool = AtomicBool::new(false);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on, Ctrl-C and `SIGTERM` end the demo with this exit code: a second time at once. Children, and what
/// belongs to a control plane of its own, are removed in any case.
pub(crate) fn install() -> Result<(), Error> {
    let on_signal = || {
        let is_first = !INTERRUPTED.swap(true, Ordering::Relaxed);
        eprintln!("\nStopping …");
        if !is_first || !ORDERLY.load(Ordering::Relaxed) {
            std::process::exit(EXIT_CODE.into());
        }
        thread::spawn(|| {
            thread::sleep(GRACE);
            eprintln!("Not everything could be removed in time.");
            std::process::exit(EXIT_CODE.into());
        });
    };
    ctrlc::set_handler(on_signal).map_err(|error| match error {
        ctrlc::Error::System(source) => Error::io("handle Ctrl-C")(source),
        other => Error::io("handle Ctrl-C")(std::io::Error::other(other)),
    })
}

/// From now on, Ctrl-C does not end the process at once. Instead, [`check`] and [`sleep`] fail, so that
/// the controller is stopped first.
pub(crate) fn stop_in_order() {
    ORDERLY.store(true, Ordering::Relaxed);
}

/// Fails once Ctrl-C was pressed.
pub(crate) fn check() -> Result<(), Error> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        return Err(Error::Interrupted);
    }
    Ok(())
}

/// Sleeps, or fails as soon as Ctrl-C is pressed.
pub(crate) fn sleep(length: Duration) -> Result<(), Error> {
    let end = Instant::now() + length;
    while Instant::now() < end {
        check()?;
        thread::sleep(Duration::from_millis(50));
    }
    check()
}
