//! The door: places for connections that have proved nothing yet. `lobby` decides, here it is done.

mod lobby;
mod pulse;
mod sources;
mod tally;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tracing::info;

use self::lobby::{Id, Lobby, Parting, Room, Step};
pub(super) use self::pulse::Pulse;
use self::tally::{Event, SPAN, Tally};
use super::leash::{Cut, Leash};
use crate::vitals::DoorCounts;

/// Unproved connections in all.
const ALL: usize = 256;
/// Of one address, or /64 of IPv6, and of one /48: a quarter.
const ONE: usize = 64;
/// Sockets that wait for a place.
const WAITING: usize = 4096;
/// Of one of those: half of them.
const WAITING_ONE: usize = 2048;
/// How often those who wait are looked after.
const LOOK: Duration = Duration::from_millis(50);

/// Cheap to share.
#[derive(Clone)]
pub(super) struct Door(Arc<Shared>);

struct Shared {
    opened: Instant,
    counts: Arc<DoorCounts>,
    state: Mutex<State>,
    /// Somebody waits, or something is untold.
    busy: Notify,
}

struct State {
    lobby: Lobby,
    tally: Tally,
    ways: HashMap<Id, Way>,
    /// Whoever comes meanwhile does not put it off.
    next_look: Option<Instant>,
}

/// How somebody at the door is reached.
struct Way {
    source: IpAddr,
    admit: Option<oneshot::Sender<()>>,
    leash: Leash,
}

/// Somebody who has come, and may have to wait.
pub(super) struct Arrival {
    place: Place,
    admitted: oneshot::Receiver<()>,
}

/// A place at the door; given back when dropped.
pub(super) struct Place {
    door: Door,
    id: Id,
    source: IpAddr,
    pub(super) pulse: Pulse,
    /// The socket's end of the leash.
    pub(super) cut: Cut,
    proved: bool,
}

impl Door {
    /// `files`: how many the process may have open; a quarter of them may wait.
    pub(super) fn new(files: usize, counts: Arc<DoorCounts>) -> Self {
        let waiting = WAITING.min(files / 4).max(1);
        let room = Room {
            all: ALL,
            one: ONE,
            waiting,
            waiting_one: WAITING_ONE.min(waiting / 2).max(1),
        };
        Self(Arc::new(Shared {
            opened: Instant::now(),
            counts,
            state: Mutex::new(State {
                lobby: Lobby::new(room),
                tally: Tally::default(),
                ways: HashMap::new(),
                next_look: None,
            }),
            busy: Notify::new(),
        }))
    }

    /// A socket was accepted.
    pub(super) fn arrive(&self, source: IpAddr) -> Arrival {
        let (leash, cut) = Leash::new();
        let (admit, admitted) = oneshot::channel();
        let pulse = Pulse::default();
        let way = Way {
            source,
            admit: Some(admit),
            leash,
        };
        let mut state = self.state();
        let (id, steps) = state.lobby.arrive(source, pulse.clone(), self.now());
        state.ways.insert(id, way);
        self.take(&mut state, steps);
        let place = Place {
            door: self.clone(),
            id,
            source,
            pulse,
            cut,
            proved: false,
        };
        drop(state);
        Arrival { place, admitted }
    }

    /// Looks after those who wait, once that may change something. May be dropped and called again.
    pub(super) async fn attend(&self) {
        let (next_look, owes) = {
            let mut state = self.state();
            if state.lobby.is_waiting() {
                let soon = Instant::now() + LOOK;
                state.next_look.get_or_insert(soon);
            } else {
                state.next_look = None;
            }
            (state.next_look, state.tally.is_owing())
        };
        match (next_look, owes) {
            (Some(due), _) => tokio::time::sleep_until(due).await,
            (None, true) => {
                tokio::select! {
                    () = tokio::time::sleep(SPAN) => {}
                    () = self.0.busy.notified() => {}
                }
            }
            (None, false) => self.0.busy.notified().await,
        }
        let mut state = self.state();
        state.next_look = None;
        let steps = state.lobby.look(self.now());
        self.take(&mut state, steps);
    }

    /// Time since it was opened.
    pub(super) fn now(&self) -> Duration {
        self.0.opened.elapsed()
    }

    fn take(&self, state: &mut State, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Admit(id) => {
                    let way = state.ways.get_mut(&id);
                    if let Some(admit) = way.and_then(|way| way.admit.take()) {
                        // Whoever waited may have given up: its place comes back by itself.
                        let _ = admit.send(());
                    }
                }
                Step::Cut(id) => {
                    if let Some(way) = state.ways.get(&id) {
                        way.leash.cut();
                        let source = way.source;
                        self.note(state, Event::Yielded, source, None);
                    }
                }
                Step::Refuse(id) => {
                    if let Some(way) = state.ways.remove(&id) {
                        self.note(state, Event::Refused, way.source, None);
                    }
                }
            }
        }
        if let Some(line) = state.tally.line(self.now()) {
            info!("at the door: {line}");
        }
        let (inside, waiting) = state.lobby.crowd();
        self.0.counts.inside.store(inside, Ordering::Relaxed);
        self.0.counts.waiting.store(waiting, Ordering::Relaxed);
        if state.lobby.is_waiting() || state.tally.is_owing() {
            self.0.busy.notify_one();
        }
    }

    fn note(&self, state: &mut State, event: Event, source: IpAddr, why: Option<&str>) {
        let counts = &self.0.counts;
        let count = match event {
            Event::Failed => &counts.failed,
            Event::Late => &counts.late,
            Event::Yielded => &counts.yielded,
            Event::Refused => &counts.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
        state.tally.note(event, source, why);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    /// Waits for the place; `None`: there is none, or not in time.
    pub(super) async fn place(self, until: Instant) -> Option<Place> {
        let Self { place, admitted } = self;
        match tokio::time::timeout_at(until, admitted).await {
            Ok(Ok(())) => Some(place),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

impl Place {
    /// How long each refused try takes somebody of this address.
    pub(super) fn slowness(&self) -> Duration {
        let now = self.door.now();
        self.door.state().lobby.slowness(self.source, now)
    }

    /// Time since the door was opened.
    pub(super) fn opened(&self) -> Instant {
        self.door.0.opened
    }

    /// It needs no place any more: somebody is known now.
    pub(super) fn proved(mut self) {
        self.proved = true;
    }

    /// It had its time, and is ended.
    pub(super) fn late(self) {
        let mut state = self.door.state();
        if let Some(way) = state.ways.get(&self.id) {
            way.leash.cut();
        }
        self.door.note(&mut state, Event::Late, self.source, None);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (door, now) = (self.door.clone(), self.door.now());
        let mut state = door.state();
        let well = self.proved || self.pulse.joined();
        let parting = match (well, self.pulse.refused()) {
            (true, _) => Parting::Proved,
            (false, 0) => Parting::Idle,
            (false, refused) => {
                let why = self.pulse.why();
                door.note(&mut state, Event::Failed, self.source, why);
                Parting::Failed(refused)
            }
        };
        state.ways.remove(&self.id);
        let steps = state.lobby.leave((self.id, self.source), parting, now);
        door.take(&mut state, steps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_that_holds_all_places_lets_a_newcomer_in_at_once() {
        let door = Door::new(20_000, Arc::default());
        let until = Instant::now() + Duration::from_secs(30);
        let mut flood = Vec::new();
        for number in 0..4 {
            for _ in 0..ONE {
                let place = door.arrive(address(number)).place(until).await.unwrap();
                place.pulse.waits(door.now());
                flood.push(place);
            }
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let newcomer = door.arrive(address(9)).place(until).await;
        assert!(newcomer.is_some());
        assert_eq!(flood.iter().filter(|place| place.cut.is_cut()).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_comes_in_when_somebody_is_known_or_lets_us_wait_too_long() {
        let door = Door::new(20_000, Arc::default());
        let until = Instant::now() + Duration::from_secs(30);
        let mut inside = Vec::new();
        for _ in 0..ONE {
            inside.push(door.arrive(address(1)).place(until).await.unwrap());
        }
        let (second, third) = (door.arrive(address(1)), door.arrive(address(1)));
        inside.pop().unwrap().proved();
        let second = second.place(until).await.unwrap();
        second.pulse.waits(door.now());
        let looking = async {
            loop {
                door.attend().await;
            }
        };
        let third = tokio::select! {
            third = third.place(until) => third,
            () = looking => None,
        };
        assert!(third.is_some() && second.cut.is_cut());
        assert!(inside.iter().all(|place| !place.cut.is_cut()));
    }

    /// A trickle of newcomers once put off the look that lets anybody in.
    #[tokio::test(start_paused = true)]
    async fn who_comes_all_the_time_does_not_put_off_the_look_at_those_who_wait() {
        let door = Door::new(20_000, Arc::default());
        let until = Instant::now() + Duration::from_secs(30);
        let mut inside = Vec::new();
        for number in 0..ALL {
            let source = address(u8::try_from(number % 128).unwrap());
            inside.push(door.arrive(source).place(until).await.unwrap());
        }
        let waiting: Vec<Arrival> = (0..128)
            .map(|number| door.arrive(address(number)))
            .collect();
        inside.clear();
        let mut trickle = Vec::new();
        let serve = async {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(20)) => trickle.push(door.arrive(address(200))),
                    () = door.attend() => {}
                }
            }
        };
        let all = async {
            let mut let_in = 0;
            for arrival in waiting {
                let_in += usize::from(arrival.place(until).await.is_some());
            }
            let_in
        };
        tokio::select! {
            let_in = all => assert_eq!(let_in, 128),
            () = serve => {}
        }
    }

    /// Many machines behind one address become nodes one after the other.
    #[tokio::test(start_paused = true)]
    async fn who_comes_with_good_tokens_is_not_made_slower() {
        let door = Door::new(20_000, Arc::default());
        let pace = || door.state().lobby.pace(address(1), door.now());
        for good in [true, false] {
            for _ in 0..100 {
                assert!(!good || pace().is_zero());
                if !pace().is_zero() {
                    return;
                }
                let until = Instant::now() + Duration::from_secs(30);
                let place = door.arrive(address(1)).place(until).await.unwrap();
                if good {
                    place.pulse.joins();
                }
            }
        }
        panic!("who comes for nothing is made slower");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_and_nothing_is_left_of_those_who_went() {
        let door = Door::new(20_000, Arc::default());
        let until = Instant::now() + Duration::from_secs(30);
        let mut inside = Vec::new();
        for _ in 0..ONE {
            inside.push(door.arrive(address(1)).place(until).await.unwrap());
        }
        assert!(door.arrive(address(1)).place(until).await.is_none());
        inside.clear();
        assert!(door.state().ways.is_empty());
        assert!(!door.state().lobby.is_waiting());
    }
}
