use super::super::queue::EVENTS_MAX;
use super::*;
use common::ids::Step;
use std::sync::mpsc;

/// Timeout for a thread's work.
const PATIENCE: Duration = Duration::from_secs(60);

/// An observer that passes events on, each after permission.
struct Slow {
    leave: mpsc::Receiver<()>,
    heard: mpsc::Sender<Event>,
}

impl Observer for Slow {
    fn observe(&mut self, event: &Event) {
        // Once its owner has gone, it is not slow any more.
        let _ = self.leave.recv();
        let _ = self.heard.send(event.clone());
    }

    fn precedes_checkpoints(&self) -> bool {
        true
    }
}

struct Panics;

impl Observer for Panics {
    fn observe(&mut self, _: &Event) {
        panic!("as it is meant to");
    }

    fn precedes_checkpoints(&self) -> bool {
        true
    }
}

fn slow() -> (Slow, mpsc::Sender<()>, mpsc::Receiver<Event>) {
    let (go, leave) = mpsc::channel();
    let (heard, events) = mpsc::channel();
    (Slow { leave, heard }, go, events)
}

fn event(step: u64) -> Event {
    Event::Stopping { step: Step(step) }
}

#[test]
fn a_full_queue_tells_how_much_it_left_out_where_it_was() {
    let (slow, go, heard) = slow();
    let (quick, _, others) = self::slow();
    let mut observers = Observers::default();
    observers.add("slow", slow);
    observers.add("quick", quick);
    let events = Events::start(observers).unwrap();
    // The first may have been taken off the queue already.
    let all = EVENTS_MAX as u64 + 100;
    for step in 0..all {
        events.tell(event(step));
        assert_eq!(others.recv_timeout(PATIENCE).unwrap(), event(step));
    }
    drop(go);
    let mut told: Vec<Event> = (0..EVENTS_MAX).map(|_| heard.recv_timeout(PATIENCE).unwrap()).collect();
    events.tell(event(all));
    let lost = others.recv_timeout(PATIENCE).unwrap();
    events.finish();
    told.extend(heard.iter());
    let expected: Vec<Event> = (0..told.len() as u64 - 2).map(event).collect();
    let [known @ .., loss, last] = &told[..] else { panic!("{}", told.len()) };
    assert_eq!(known, expected);
    assert_eq!(last, &event(all));
    let events = all - known.len() as u64;
    assert_eq!(loss, &Event::EventsLost { observer: "slow".into(), events });
    assert!([&event(all), loss].contains(&&lost), "{lost:?}");
    assert!(others.iter().chain([lost]).any(|other| &other == loss), "the others hear of it");
}

#[test]
fn one_that_panics_is_told_nothing_more_and_the_others_all() {
    let (quick, _, heard) = slow();
    let mut observers = Observers::default();
    observers.add("panics", Panics);
    observers.add("quick", quick);
    let events = Events::start(observers).unwrap();
    (0..10).for_each(|step| events.tell(event(step)));
    let began = Instant::now();
    events.keep().wait();
    assert!(began.elapsed() < KEEP_GRACE, "who is gone is not waited for");
    events.finish();
    assert_eq!(heard.iter().collect::<Vec<_>>(), (0..10).map(event).collect::<Vec<_>>());
}

#[test]
fn a_checkpoint_waits_for_earlier_events_and_once_for_a_stuck_observer() {
    let (slow, go, heard) = slow();
    let mut observers = Observers::default();
    observers.add("slow", slow);
    let events = Events::start(observers).unwrap();
    events.tell(event(0));
    go.send(()).unwrap();
    events.keep().wait();
    assert_eq!(heard.try_recv(), Ok(event(0)));
    events.tell(event(1));
    let began = Instant::now();
    events.keep().wait();
    assert!(began.elapsed() >= KEEP_GRACE);
    let began = Instant::now();
    events.keep().wait();
    assert!(began.elapsed() < KEEP_GRACE);
    go.send(()).unwrap();
    events.keep().wait();
    drop(go);
    events.finish();
    assert_eq!(heard.try_recv(), Ok(event(1)));
}
