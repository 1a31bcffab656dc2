//! Shows what the watch tells, until all objects have ended.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use tokio::{
    signal::unix::SignalKind,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    board::{Board, Change, Now, Update},
    cluster::REQUEST_TIMEOUT_MIN,
    exit::Exit,
    failure::Failure,
    frame::{Frame, can_draw, has_colours, size},
    lines::{Format, line},
    output,
    row::{NAMED_MAX, Outcome, Row},
    signals::{on, until, watchdog},
    table::{View, table},
    target::Target,
    watch::Updates,
};

/// Frames are at least this far apart.
const BETWEEN_FRAMES: Duration = Duration::from_millis(100);
/// So long the first frame waits for the whole list.
const FIRST_FRAME: Duration = Duration::from_secs(1);

/// How objects are followed.
pub struct Way {
    pub output: Option<Format>,
    /// Until when; for ever without one.
    pub deadline: Option<Instant>,
}

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
    way: Way,
) -> Result<End, Failure> {
    watchdog(way.deadline);
    let mut show = Show::new(board, way);
    if let Some(row) = seen {
        let uids = [row.uid.clone()].into();
        show.take(Update::Seen(Box::new(row)));
        show.take(Update::Listed(uids));
    }
    let end = show.until_end(&mut updates).await;
    show.finish(end)
}

/// What is shown, and how.
struct Show {
    board: Board,
    screen: Screen,
    way: Way,
    start: Instant,
    /// Whether nobody reads the output any more.
    is_unread: bool,
}

enum Screen {
    Lines {
        format: Format,
        /// The last line of each object, without its time.
        last: BTreeMap<String, String>,
    },
    Table {
        frame: Frame,
        drawn: Instant,
        is_stale: bool,
    },
}

impl Show {
    fn new(board: Board, way: Way) -> Self {
        let lines = |format| Screen::Lines {
            format,
            last: BTreeMap::new(),
        };
        let screen = match way.output {
            Some(format) => lines(format),
            None if can_draw() => Screen::Table {
                frame: Frame::default(),
                drawn: Instant::now(),
                is_stale: false,
            },
            None => lines(Format::Plain),
        };
        Self {
            board,
            screen,
            way,
            start: Instant::now(),
            is_unread: false,
        }
    }

    async fn until_end(&mut self, updates: &mut Updates) -> Result<Exit, Failure> {
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
                () = until(self.deadline()) => return self.board.verdict_at_timeout(),
                _ = interrupt.recv() => return Ok(Exit::Interrupted),
                _ = terminate.recv() => return Ok(Exit::Terminated),
            }
        }
    }

    /// However short the time to wait is, it is enough for one look.
    fn deadline(&self) -> Option<Instant> {
        let deadline = self.way.deadline?;
        Some(if self.board.is_listed() {
            deadline
        } else {
            deadline.max(self.start + REQUEST_TIMEOUT_MIN)
        })
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
        match (change, &mut self.screen) {
            (Change::Note(text), _) => self.note(&text),
            (Change::Row(row), Screen::Lines { format, last }) => {
                let with_namespace = self.board.target().all_namespaces;
                let line = |time| line(&row, *format, with_namespace, time);
                let timeless = line(Timestamp::UNIX_EPOCH);
                // It changed in something that isn't shown.
                if last.get(&row.uid) == Some(&timeless) {
                    return;
                }
                last.insert(row.uid.clone(), timeless);
                let written = writeln!(io::stdout().lock(), "{}", line(Timestamp::now()));
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
            // Before all is listed, the columns would change with each page.
            Screen::Table { is_stale: true, .. } if self.board.is_listed() => Some(self.start),
            Screen::Table { is_stale: true, .. } => Some(self.start + FIRST_FRAME),
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
        *is_stale = false;
        let rows = self.board.rows();
        if rows.is_empty() {
            return;
        }
        let (columns, lines) = size();
        let view = View {
            columns,
            lines,
            has_colours: has_colours(),
            with_namespace: self.board.target().all_namespaces,
        };
        let written = frame.draw(&table(&rows, &view, Timestamp::now()), columns);
        self.is_unread |= written.is_err();
        *drawn = Instant::now();
    }

    /// Says something beside the objects. On a terminal it stands above the table.
    fn note(&mut self, text: &str) {
        if let Screen::Table { frame, .. } = &mut self.screen {
            let cleared = frame.clear(size().0);
            self.is_unread |= cleared.is_err();
        }
        output::note(text);
        self.draw();
    }

    fn finish(mut self, end: Result<Exit, Failure>) -> Result<End, Failure> {
        self.draw();
        let is_table = matches!(self.screen, Screen::Table { .. });
        // What Ctrl-C left on the line goes.
        drop(self.screen);
        let exit = end?;
        let rows: Vec<Row> = self.board.rows().into_iter().cloned().collect();
        if !self.is_unread {
            let target = self.board.target();
            let is_told = |row: &&Row| match exit {
                Exit::Interrupted | Exit::Terminated => false,
                Exit::WaitTimedOut => true,
                _ => row.outcome != Outcome::Ongoing,
            };
            let told = rows.iter().filter(is_told);
            let mut said: Vec<String> = told
                .flat_map(|row| row.epilogue(is_table, target))
                .collect();
            said.extend(going_on(&rows, exit, target));
            for line in said {
                output::note(&line);
            }
        }
        Ok(End { exit, rows })
    }
}

/// What goes on where nobody waits for it any longer, and how to see it.
fn going_on(rows: &[Row], exit: Exit, target: &Target) -> Option<String> {
    let goes_on = |row: &&Row| row.outcome == Outcome::Ongoing;
    let ongoing: Vec<&Row> = rows.iter().filter(goes_on).collect();
    let namespace = &ongoing.first()?.namespace;
    let in_one = ongoing.iter().all(|row| row.namespace == *namespace);
    let mut names: Vec<&str> = ongoing.iter().map(|row| row.name.as_str()).collect();
    if !in_one || names.len() > NAMED_MAX {
        names.clear();
    }
    let typed = target.typed("watch", &names, namespace);
    let stays = match ongoing.as_slice() {
        [one] => format!(
            "{} stays: {typed} shows it again",
            one.name(target.all_namespaces)
        ),
        all => format!("{} objects stay: {typed} shows them again", all.len()),
    };
    let why = match exit {
        Exit::Interrupted | Exit::Terminated => "Interrupted",
        _ => "The time to wait is over",
    };
    Some(format!("{why}; {stays}"))
}
