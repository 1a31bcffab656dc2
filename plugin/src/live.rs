//! Shows what the watch tells, until all objects have ended.

use std::{
    io::{self, Write},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    board::{Board, Change, Now, Update},
    cli::Waiting,
    exit::Exit,
    failure::Failure,
    frame::{Frame, can_draw, has_colours, size},
    lines::{Format, line},
    row::Row,
    table::{View, table},
    watch::Updates,
};

/// Frames are at least this far apart.
const BETWEEN_FRAMES: Duration = Duration::from_millis(100);

/// How the waiting ended, and what the objects were then.
pub struct End {
    pub exit: Exit,
    pub rows: Vec<Row>,
}

/// Follows the objects. `seen` is one that is known already, so that it is shown at once.
pub async fn follow(
    mut updates: Updates,
    board: Board,
    seen: Option<Row>,
    waiting: Waiting,
    with_namespace: bool,
) -> Result<End, Failure> {
    let mut show = Show::new(board, waiting.output, with_namespace);
    if let Some(row) = seen {
        let uids = [row.uid.clone()].into();
        show.take(Update::Seen(Box::new(row)));
        show.take(Update::Listed(uids));
    }
    let end = show.until_end(&mut updates, waiting.wait_timeout).await;
    show.finish(end)
}

/// What is shown, and how.
struct Show {
    board: Board,
    screen: Screen,
    with_namespace: bool,
    start: Instant,
    /// Whether nobody reads the output any more.
    is_unread: bool,
}

enum Screen {
    Lines(Format),
    Table {
        frame: Frame,
        drawn: Instant,
        is_stale: bool,
    },
}

impl Show {
    fn new(board: Board, output: Option<Format>, with_namespace: bool) -> Self {
        let screen = match output {
            Some(format) => Screen::Lines(format),
            None if can_draw() => Screen::Table {
                frame: Frame::default(),
                drawn: Instant::now(),
                is_stale: false,
            },
            None => Screen::Lines(Format::Plain),
        };
        Self {
            board,
            screen,
            with_namespace,
            start: Instant::now(),
            is_unread: false,
        }
    }

    async fn until_end(
        &mut self,
        updates: &mut Updates,
        limit: Option<Duration>,
    ) -> Result<Exit, Failure> {
        let start = self.start;
        let deadline = limit.and_then(|limit| start.checked_add(limit));
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut interrupt = on(SignalKind::interrupt())?;
        let mut terminate = on(SignalKind::terminate())?;
        let mut resize = on(SignalKind::window_change())?;
        loop {
            if let Some(missing) = self.board.missing() {
                return Err(missing);
            }
            if let Some(exit) = self.board.verdict() {
                return Ok(exit);
            }
            if self.is_unread {
                return Ok(Exit::Interrupted);
            }
            tokio::select! {
                update = updates.recv() => match update {
                    Some(update) => self.take(update?),
                    // It ends by a failure only.
                    None => return Ok(Exit::Interrupted),
                },
                _ = ticks.tick() => self.tick(),
                () = until(self.next_frame()) => self.draw(),
                _ = resize.recv() => self.draw(),
                () = until(deadline) => {
                    self.note("The time to wait is over");
                    return Ok(self.board.verdict_at_timeout());
                }
                _ = interrupt.recv() => return Ok(Exit::Interrupted),
                _ = terminate.recv() => return Ok(Exit::Interrupted),
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            time: Timestamp::now(),
            since_start: self.start.elapsed(),
        }
    }

    fn take(&mut self, update: Update) {
        for change in self.board.take(update, self.now()) {
            self.change(change);
        }
    }

    fn tick(&mut self) {
        if let Some(change) = self.board.tick(self.now()) {
            self.change(change);
        }
        self.make_stale();
    }

    fn change(&mut self, change: Change) {
        match (change, &self.screen) {
            (Change::Note(text), _) => self.note(&text),
            (Change::Row(row), Screen::Lines(format)) => {
                let line = line(&row, *format, self.with_namespace, Timestamp::now());
                let written = writeln!(io::stdout().lock(), "{line}");
                self.is_unread |= written.is_err();
            }
            (Change::Row(_), Screen::Table { .. }) => self.make_stale(),
        }
    }

    fn make_stale(&mut self) {
        if let Screen::Table { is_stale, .. } = &mut self.screen {
            *is_stale = true;
        }
    }

    /// When the table is drawn next.
    fn next_frame(&self) -> Option<Instant> {
        match &self.screen {
            Screen::Table {
                drawn,
                is_stale: true,
                frame,
            } if frame.is_drawn() => Some(*drawn + BETWEEN_FRAMES),
            Screen::Table { is_stale: true, .. } => Some(self.start),
            _ => None,
        }
    }

    fn draw(&mut self) {
        let Screen::Table {
            frame,
            drawn,
            is_stale,
        } = &mut self.screen
        else {
            return;
        };
        let rows = self.board.rows();
        if rows.is_empty() {
            return;
        }
        let (columns, lines) = size();
        let view = View {
            columns,
            lines,
            has_colours: has_colours(),
            with_namespace: self.with_namespace,
        };
        let written = frame.draw(&table(&rows, &view, Timestamp::now()), columns);
        self.is_unread |= written.is_err();
        *drawn = Instant::now();
        *is_stale = false;
    }

    /// Says something beside the objects. On a terminal it stands above the table.
    fn note(&mut self, text: &str) {
        if let Screen::Table { frame, .. } = &mut self.screen {
            let cleared = frame.clear(size().0);
            self.is_unread |= cleared.is_err();
        }
        // Where nobody reads it, there is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{text}");
        self.draw();
    }

    fn finish(mut self, end: Result<Exit, Failure>) -> Result<End, Failure> {
        self.draw();
        let is_drawn = matches!(self.screen, Screen::Table { .. });
        // Gives the cursor back.
        drop(self.screen);
        let exit = end?;
        let rows: Vec<Row> = self.board.rows().into_iter().cloned().collect();
        if exit != Exit::Interrupted {
            let said = rows.iter().flat_map(|row| row.epilogue(is_drawn));
            let text: String = said.map(|line| line + "\n").collect();
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
        Ok(End { exit, rows })
    }
}

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::stuck(format!("Signals can't be handled: {error}")))
}

/// Waits until then; for ever where there is no such moment.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
