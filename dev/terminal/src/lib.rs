//! A pseudo-terminal with a program in it, and the text on its screen. For tests and pictures: what fails, panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate)]

use std::{
    ffi::OsStr,
    io::{Read, Write},
    num::NonZeroU16,
    os::fd::{AsFd, OwnedFd},
    process::Child,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use pty_process::{Size, blocking};
pub use vt100;

/// Unless another height is asked for.
const LINES: u16 = 24;
/// How long a program may take for what is waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program in a terminal. It is killed when this is dropped.
pub struct Terminal {
    child: Child,
    pty: OwnedFd,
    parser: Arc<Mutex<vt100::Parser>>,
    reading: JoinHandle<()>,
    lines: u16,
}

impl Terminal {
    /// Starts a program in a terminal of so many columns, with these variables beside its own environment.
    pub fn start<S: AsRef<OsStr>>(
        program: &str,
        args: &[S],
        env: &[(&str, &OsStr)],
        columns: u16,
    ) -> Self {
        Self::with_lines(LINES, program, args, env, columns)
    }

    /// The same in a terminal of so many lines.
    pub fn with_lines<S: AsRef<OsStr>>(
        lines: u16,
        program: &str,
        args: &[S],
        env: &[(&str, &OsStr)],
        columns: u16,
    ) -> Self {
        let (pty, pts) = blocking::open().unwrap();
        pty.resize(Size::new(lines, columns)).unwrap();
        let mut command = blocking::Command::new(program).args(args);
        command = command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        for (name, value) in env {
            command = command.env(name, value);
        }
        let child = command.spawn(pts).unwrap();
        let parser = vt100::Parser::new(size(lines), size(columns), 0);
        let parser = Arc::new(Mutex::new(parser));
        let pty = OwnedFd::from(pty);
        let mut output = std::fs::File::from(pty.as_fd().try_clone_to_owned().unwrap());
        let screen = parser.clone();
        let reading = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                screen.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self {
            child,
            pty,
            parser,
            reading,
            lines,
        }
    }

    /// The program's process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        self.screen().contents()
    }

    /// The same with its colours.
    pub fn screen(&self) -> vt100::Screen {
        self.parser.lock().unwrap().screen().clone()
    }

    /// The program's exit code, once it has ended.
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = self.child.try_wait().unwrap()?;
        Some(status.code().unwrap_or(-1))
    }

    /// Whether any cell of the screen has a colour.
    pub fn has_colours(&self) -> bool {
        let screen = self.screen();
        let (lines, columns) = screen.size();
        let (lines, columns) = (lines.get(), columns.get());
        let mut cells = (0..lines).flat_map(|line| (0..columns).map(move |column| (line, column)));
        cells.any(|(line, column)| {
            let cell = screen.cell(line, column);
            cell.is_some_and(|cell| cell.fgcolor() != vt100::Color::Default)
        })
    }

    /// Types something.
    pub fn enter(&self, keys: &str) {
        let mut input = std::fs::File::from(self.pty.try_clone().unwrap());
        input.write_all(keys.as_bytes()).unwrap();
    }

    /// Makes the window wider or narrower.
    pub fn resize(&self, columns: u16) {
        self.parser
            .lock()
            .unwrap()
            .screen_mut()
            .set_size(size(self.lines), size(columns));
        rustix::termios::tcsetwinsize(
            &self.pty,
            rustix::termios::Winsize {
                ws_row: self.lines,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )
        .unwrap();
    }

    /// Waits until the screen is as wanted.
    pub fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !wanted(&self.text()) {
            assert!(
                began.elapsed() < PATIENCE,
                "never seen: {what}\n{}",
                self.text()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the program ends. Returns its exit code and what then stands on the screen.
    pub fn wait(&mut self) -> (i32, String) {
        let began = Instant::now();
        let code = loop {
            if let Some(code) = self.exit_code() {
                break code;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "it doesn't end:\n{}",
                self.text()
            );
            thread::sleep(Duration::from_millis(20));
        };
        // What it wrote last may still be on the way.
        while !self.reading.is_finished() && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(10));
        }
        (code, self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// The screen with `@` in place of what a clock shows.
pub fn without_times(screen: &str) -> String {
    let lines = screen.lines().map(|line| {
        let words = line
            .split(' ')
            .map(|word| if is_duration(word) { "@" } else { word });
        let words: Vec<&str> = words.collect();
        words.join(" ")
    });
    // The blanks before a time are as many as it leaves.
    let lines = lines.map(|line: String| match line.split_once('@') {
        Some((before, after)) => format!("{} @{after}", before.trim_end()),
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_duration(word: &str) -> bool {
    word.ends_with('s')
        && word.len() > 1
        && word[..word.len() - 1]
            .chars()
            .all(|c| c.is_ascii_digit() || c == 'm')
}

#[test]
fn times_are_left_out_of_screens_that_are_compared() {
    assert_eq!(
        without_times("a 1/2  2m05s B\na 1/2    45s B"),
        "a 1/2 @ B\na 1/2 @ B"
    );
}
