//! The run at a glance in a terminal: `--tui`.
//!
//! It draws on the terminal's other screen, on the observer's thread, a few times a second. Log lines are
//! held back meanwhile by the console, and shown when the screen is left, so
//! that they stay above the summary. What there is to see is the [`View`]'s.

mod draw;

use super::Observer;
use super::console::{Console, Held};
use super::history::History;
use super::reporter::invitation;
use super::view::View;
use common::event::Event;
use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use host::clock::wall_seconds;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{self, Stderr, stderr};
use std::time::{Duration, Instant};

/// Shortest time between two pictures for events that come with every step.
const EVERY: Duration = Duration::from_millis(250);

/// The observer that draws.
pub(crate) struct Tui {
    view: View,
    /// How workers join.
    invitation: String,
    terminal: Terminal<CrosstermBackend<Stderr>>,
    drawn: Option<Instant>,
    /// Released after the screen was left.
    _held: Held,
}

impl Tui {
    /// Takes over the terminal on standard error.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn start(console: &Console, history: &History) -> io::Result<Self> {
        let mut view = View::default();
        history.read_into(&mut view);
        let terminal = Terminal::new(CrosstermBackend::new(stderr()))?;
        let held = console.hold();
        execute!(stderr(), EnterAlternateScreen, Hide)?;
        Ok(Self { view, invitation: String::new(), terminal, drawn: None, _held: held })
    }
}

impl Observer for Tui {
    fn observe(&mut self, event: &Event) {
        let now = wall_seconds();
        self.view.apply(now, event);
        if let Event::Listening { address, connect, token_file } = event {
            self.invitation = invitation(address.as_deref(), connect, token_file.as_deref());
        }
        let is_frequent = matches!(event, Event::Step(_) | Event::Round(_) | Event::WorkersUsage { .. });
        if !is_frequent || self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY) {
            let Self { view, invitation, .. } = self;
            // A terminal that is gone is no reason to end the run.
            let _ = self.terminal.draw(|frame| draw::picture(frame, view, invitation, now));
            self.drawn = Some(Instant::now());
        }
    }
}

impl Drop for Tui {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back.
pub fn leave() {
    let _ = execute!(stderr(), LeaveAlternateScreen, Show);
}
