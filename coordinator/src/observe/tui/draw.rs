//! The picture of a run in a terminal: progress, two curves, the workers, and what happened last.

use crate::observe::view::curve::Columns;
use crate::observe::view::workers::Row as Worker;
use crate::observe::view::{Message, State, View};
use crate::record::units::duration;
use host::printable;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Cell, Chart, Dataset, Gauge, GraphType, Paragraph, Row, Table, Wrap};

/// Weight of what was before in the smoothed curves.
const SMOOTHING: f64 = 0.9;

/// Draws everything; the `invitation` to workers while some are waited for.
pub(super) fn picture(frame: &mut Frame<'_>, view: &View, invitation: &str, now: f64) {
    let workers = view.workers.rows();
    let rows = workers.len().min(12) as u16 + 3;
    let [head, charts, table, messages] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Min(8),
        Constraint::Length(rows),
        Constraint::Min(4),
    ])
    .areas(frame.area());
    progress(frame, head, view);
    let [left, right] = Layout::horizontal([Constraint::Percentage(50); 2]).areas(charts);
    let columns = view.curve.columns();
    curve(frame, left, "loss", &columns, &columns.loss, |value| format!("{value:.3}"));
    curve(frame, right, "accuracy", &columns, &columns.accuracy, |value| format!("{:.1} %", 100.0 * value));
    frame.render_widget(worker_table(workers, now), table);
    let invitation = matches!(view.state, State::Preparing | State::Waiting).then_some(invitation);
    frame.render_widget(happened(view.messages(), invitation, messages), messages);
}

fn progress(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let total = view.run.as_ref().map_or(0, |run| run.steps_total);
    let share = if total == 0 { 0.0 } else { (view.steps_done as f64 / total as f64).min(1.0) };
    let (state, color) = match &view.state {
        State::Preparing => ("preparing".to_owned(), Color::Blue),
        State::Waiting => ("waiting for workers".to_owned(), Color::Yellow),
        State::Training => ("training".to_owned(), Color::Blue),
        State::Stopping => ("stopping".to_owned(), Color::Yellow),
        State::Complete => ("complete".to_owned(), Color::Green),
        State::Stopped => ("stopped".to_owned(), Color::Yellow),
        State::Failed(problem) => (format!("failed: {}", printable(problem)), Color::Red),
    };
    let run = view.run.as_ref().map_or_else(String::new, |run| format!("run {}, ", run.run_id));
    let validation = view
        .newest_evaluations()
        .last()
        .map_or_else(String::new, |own| format!(", {} {:.2} %", own.kind, 100.0 * own.accuracy));
    let speed = view.last.as_ref().map_or(0.0, |point| point.samples_per_s);
    let left = view.eta_s().map_or_else(String::new, |eta| format!(", {} left", duration(eta)));
    let label = format!("{} of {total} steps, {speed:.0} samples/s{left}{validation}", view.steps_done);
    let gauge = Gauge::default()
        .block(Block::bordered().title(format!(" {run}{state} ").bold()))
        .gauge_style(Style::new().fg(color))
        .ratio(share)
        .label(label);
    frame.render_widget(gauge, area);
}

fn curve(
    frame: &mut Frame<'_>,
    area: Rect,
    name: &str,
    columns: &Columns,
    values: &[f32],
    form: impl Fn(f64) -> String,
) {
    let points = columns.step.iter().zip(values).map(|(step, value)| (*step as f64, f64::from(*value)));
    let points: Vec<(f64, f64)> = points.filter(|(_, value)| value.is_finite()).collect();
    let smooth = smoothed(&points);
    let low = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
    let last = points.last().map_or(1.0, |point| point.0.max(1.0));
    let title = smooth
        .last()
        .map_or_else(|| format!(" {name} "), |(_, value)| format!(" {name}: {} (smoothed) ", form(*value)));
    let line = |data, color| {
        Dataset::default()
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(color))
            .data(data)
    };
    let chart = Chart::new(vec![line(&points, Color::DarkGray), line(&smooth, Color::Cyan)])
        .block(Block::bordered().title(title))
        .x_axis(Axis::default().bounds([0.0, last]).labels(["0".to_owned(), format!("{last:.0}")]))
        .y_axis(Axis::default().bounds([low, high]).labels([form(low), form(high)]));
    frame.render_widget(chart, area);
}

/// Exponential mean from the left, without a pull to its beginning.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (mut mean, mut mass) = (0.0, 0.0);
    let smooth = points.iter().map(|&(step, value)| {
        mean = SMOOTHING * mean + (1.0 - SMOOTHING) * value;
        mass = SMOOTHING * mass + (1.0 - SMOOTHING);
        (step, mean / mass)
    });
    smooth.collect()
}

fn worker_table(workers: &[Worker], now: f64) -> Table<'_> {
    let mut shown: Vec<&Worker> = workers.iter().collect();
    shown.sort_by_key(|row| (row.state == "gone", row.id));
    let here = workers.iter().filter(|row| row.state != "gone").count();
    let rows = shown.into_iter().map(|worker| {
        let stay = worker.stays.back();
        let state = match (stay.and_then(|stay| stay.why.as_deref()), stay) {
            (Some(why), _) => printable(why).into_owned(),
            (None, Some(stay)) => format!("{} for {}", worker.state, duration(now - stay.from)),
            (None, None) => worker.state.to_owned(),
        };
        let style = if worker.state == "gone" { Style::new().dim() } else { Style::new() };
        let leaf = worker.leaf_ms.map_or_else(String::new, |ms| format!("{ms:.1} ms"));
        let cores = worker.cores.map_or_else(String::new, |cores| format!("{cores:.2}"));
        let memory = format!("{:.0} MB", worker.resident_bytes as f64 / 1e6);
        let cells =
            [printable(&worker.name).into_owned(), state, leaf, cores, memory, worker.late.to_string()];
        Row::new(cells.map(Cell::from)).style(style)
    });
    let widths = [
        Constraint::Length(16),
        Constraint::Min(24),
        Constraint::Length(11),
        Constraint::Length(6),
        Constraint::Length(9),
        Constraint::Length(4),
    ];
    let head = ["worker", "state", "micro-batch", "cores", "memory", "late"];
    Table::new(rows, widths)
        .header(Row::new(head).bold())
        .block(Block::bordered().title(format!(" {here} workers ")))
}

fn happened<'a>(
    messages: impl DoubleEndedIterator<Item = &'a Message>,
    invitation: Option<&'a str>,
    area: Rect,
) -> Paragraph<'a> {
    let invitation = invitation.map(|text| Line::from(Span::raw(printable(text)).bold()));
    let lines = messages.rev().map(|message| {
        let text = Span::raw(printable(&message.text));
        Line::from(if message.is_warning { text.yellow() } else { text })
    });
    let lines: Vec<_> = invitation.into_iter().chain(lines).take(usize::from(area.height)).collect();
    let block = Block::bordered().title(" what happened, newest first ");
    Paragraph::new(lines).wrap(Wrap { trim: false }).block(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::step_record;
    use common::event::{Event, RunRecord};
    use common::ids::{Incarnation, Rank, Step};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| picture(frame, view, "worker --connect HOST", 100.0)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_picture_has_the_run_and_fits_into_any_terminal() {
        let mut view = View::default();
        view.apply(1.0, &Event::RunStarted(RunRecord { steps_total: 40, ..RunRecord::default() }));
        let joined = Event::WorkerJoined {
            worker: "evil\u{1b}[2J".into(),
            rank: Rank(0),
            incarnation: Incarnation(1),
            step: Step(0),
            workers: 1,
        };
        view.apply(40.0, &joined);
        (0..10).for_each(|step| view.apply(90.0 + step as f64, &Event::Step(step_record(step, 0))));
        let shown = screen(&view, 100, 40);
        let parts = ["10 of 40 steps", "samples/s", "loss: 0.250", "accuracy: 87.5 %", "member for 1m 00s"];
        for part in parts {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
        assert!(!shown.contains('\u{1b}'));
        assert!(shown.contains("worker --connect HOST"));
        view.state = State::Training;
        assert!(
            !screen(&view, 100, 40).contains("worker --connect HOST"),
            "with enough workers nobody is invited"
        );
        assert!(screen(&View::default(), 100, 40).contains("worker --connect HOST"));
        for (width, height) in [(1, 1), (20, 5), (300, 3), (80, 24)] {
            let _ = screen(&view, width, height);
        }
    }
}
