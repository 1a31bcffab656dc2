//! `cargo xtask pictures`: what the kubectl plugin shows, drawn from a run of the demo in a terminal.

mod svg;

use std::ffi::OsStr;
use std::fs;
use std::process::ExitCode;

use terminal::{Terminal, vt100::Screen};

use super::{Demo, Error, FAILED, Plugin, WATCH, build, run, screen, start};
use crate::cluster::repository;

const COLUMNS: u16 = 80;
/// Enough for the longest answer.
const LINES: u16 = 60;

/// What the picture of the live view is to show at once.
const SEEN: [&str; 3] = ["TaskRunning", "TaskFailed", "nodes 1/2"];

/// Draws all pictures.
pub(crate) fn main() -> ExitCode {
    run(|| {
        let mut demo = start(None, build)?;
        screen::step("Watch the tasks, and draw what is seen");
        let watched = demo.watch_in_terminal()?;
        save("watch", &demo.plugin().typed(&WATCH), &watched)?;
        let why = ["why", FAILED];
        let mut explained = demo.plugin().terminal(&why);
        explained.wait();
        save("why", &demo.plugin().typed(&why), &explained.screen())
    })
}

impl Plugin<'_> {
    fn terminal(&self, arguments: &[&str]) -> Terminal {
        let command = self.command(arguments);
        let arguments: Vec<&OsStr> = command.get_args().collect();
        let kubeconfig = ("KUBECONFIG", self.access.kubeconfig.as_os_str());
        let program = command.get_program().to_string_lossy();
        Terminal::with_lines(LINES, &program, &arguments, &[kubeconfig], COLUMNS)
    }
}

impl Demo {
    /// The last screen that had all to show.
    fn watch_in_terminal(&mut self) -> Result<Screen, Error> {
        let mut view = self.plugin().terminal(&WATCH);
        let mut seen = None;
        self.until_ended(|| {
            let screen = view.screen();
            let text = screen.contents();
            if SEEN.iter().all(|word| text.contains(word)) {
                seen = Some(screen);
            }
        })?;
        view.wait();
        seen.ok_or(Error::Unseen(SEEN.join(", ")))
    }
}

fn save(name: &str, command: &str, screen: &Screen) -> Result<(), Error> {
    let directory = repository().join("docs/pictures");
    let path = directory.join(name).with_extension("svg");
    let written = fs::create_dir_all(&directory)
        .and_then(|()| fs::write(&path, svg::drawing(command, screen)));
    written.map_err(Error::io(format!("write {}", path.display())))?;
    screen::done(format!("docs/pictures/{name}.svg"));
    Ok(())
}
