//! Fairness at the door, by numbers.

use super::*;

const ROOM: Room = Room {
    all: 256,
    one: 64,
    waiting: 1024,
    waiting_one: 512,
};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A newcomer who says nothing.
fn silent(lobby: &mut Lobby, source: &str, now: Duration) -> (Id, Vec<Step>) {
    let pulse = Pulse::default();
    pulse.waits(now);
    lobby.arrive(address(source), pulse, now)
}

fn fill(lobby: &mut Lobby, source: &str, count: usize, now: Duration) -> Vec<Id> {
    let ids = (0..count).map(|_| {
        let (id, steps) = silent(lobby, source, now);
        assert_eq!(steps, [Step::Admit(id)]);
        id
    });
    ids.collect()
}

fn sound(lobby: &Lobby) {
    assert!(lobby.held.len() <= lobby.room.all);
    for counts in [&lobby.places.sources, &lobby.places.sites] {
        assert_eq!(lobby.held.len(), counts.values().sum::<usize>());
        assert!(counts.values().all(|count| *count > 0));
        assert!(counts.values().all(|count| *count <= lobby.room.one));
    }
    assert!(lobby.waiting.len() <= lobby.room.waiting);
    let mut waiting = lobby.waiting.sources();
    assert!(waiting.all(|source| lobby.waiting.of_site(source) <= lobby.room.waiting_one));
}

#[test]
fn four_sources_that_hold_all_places_yield_to_a_fifth() {
    let mut lobby = Lobby::new(ROOM);
    let mut first = Vec::new();
    for host in 1..=4 {
        first.extend(fill(&mut lobby, &format!("10.0.0.{host}"), 64, at(host)));
    }
    let (id, steps) = silent(&mut lobby, "10.0.0.9", at(2000));
    assert_eq!(steps, [Step::Cut(first[0]), Step::Admit(id)]);
    // Now the other three have more.
    let (id, steps) = silent(&mut lobby, "10.0.0.9", at(2000));
    assert_eq!(steps, [Step::Cut(first[64]), Step::Admit(id)]);
    sound(&lobby);
}

#[test]
fn a_source_that_has_all_it_may_displaces_itself_and_only_who_lets_us_wait() {
    let mut lobby = Lobby::new(ROOM);
    let first = fill(&mut lobby, "2001:db8::1", 63, at(0));
    let busy = Pulse::default();
    let (quick, _) = lobby.arrive(address("2001:db8::2"), busy, at(0));
    let (late, steps) = silent(&mut lobby, "2001:db8::3", at(500));
    assert_eq!(steps, [], "it waits: nobody is that slow yet");
    assert!(lobby.is_waiting());
    assert_eq!(lobby.look(at(900)), []);
    assert_eq!(
        lobby.look(at(1000)),
        [Step::Cut(first[0]), Step::Admit(late)]
    );
    assert!(!lobby.is_waiting());
    // A free place needs nobody's.
    let (other, steps) = silent(&mut lobby, "2001:db8:1::1", at(1000));
    assert_eq!(steps, [Step::Admit(other)]);
    assert!(lobby.held.contains_key(&quick));
    sound(&lobby);
}

#[test]
fn who_progresses_is_not_displaced_by_any_flood_of_its_own_source() {
    let mut lobby = Lobby::new(ROOM);
    let pulse = Pulse::default();
    let (honest, _) = lobby.arrive(address("10.0.0.1"), pulse.clone(), at(0));
    for now in 0..4000 {
        // A round trip of 20 ms each 40 ms.
        match now % 40 {
            0 => pulse.waits(at(now)),
            20 => pulse.heard(),
            _ => {}
        }
        let (_, steps) = silent(&mut lobby, "10.0.0.1", at(now));
        assert!(!steps.contains(&Step::Cut(honest)), "at {now}");
    }
    sound(&lobby);
}

#[test]
fn a_place_that_is_given_back_goes_to_the_source_with_fewest() {
    let small = Room {
        all: 3,
        one: 2,
        ..ROOM
    };
    let mut lobby = Lobby::new(small);
    let first = fill(&mut lobby, "10.0.0.1", 2, at(0));
    let second = fill(&mut lobby, "10.0.0.2", 1, at(0));
    let (third, steps) = silent(&mut lobby, "10.0.0.2", at(1));
    assert_eq!(steps, []);
    let (fourth, steps) = silent(&mut lobby, "10.0.0.3", at(2));
    assert_eq!(steps, [], "nobody has let us wait for 100 ms");
    let left = (second[0], address("10.0.0.2"));
    assert_eq!(
        lobby.leave(left, Parting::Proved, at(3)),
        [Step::Admit(third)],
        "both had none; this one came first"
    );
    let left = (first[0], address("10.0.0.1"));
    assert_eq!(
        lobby.leave(left, Parting::Proved, at(4)),
        [Step::Admit(fourth)]
    );
    sound(&lobby);
}

#[test]
fn who_waits_and_gives_up_has_no_place_later() {
    let small = Room {
        all: 1,
        one: 1,
        ..ROOM
    };
    let mut lobby = Lobby::new(small);
    let first = fill(&mut lobby, "10.0.0.1", 1, at(0));
    let (second, _) = silent(&mut lobby, "10.0.0.1", at(1));
    let (third, _) = silent(&mut lobby, "10.0.0.1", at(2));
    let source = address("10.0.0.1");
    assert_eq!(lobby.leave((second, source), Parting::Idle, at(3)), []);
    assert_eq!(
        lobby.leave((first[0], source), Parting::Proved, at(4)),
        [Step::Admit(third)]
    );
    sound(&lobby);
}

#[test]
fn no_more_wait_than_may_and_the_longest_queue_yields_first() {
    let small = Room {
        all: 1,
        one: 1,
        waiting: 4,
        waiting_one: 3,
    };
    let mut lobby = Lobby::new(small);
    fill(&mut lobby, "10.0.0.1", 1, at(0));
    let wait = |lobby: &mut Lobby, source| {
        let (id, steps) = silent(lobby, source, at(1));
        (id, steps)
    };
    for _ in 0..2 {
        assert_eq!(wait(&mut lobby, "10.0.0.1").1, []);
    }
    let (last, _) = wait(&mut lobby, "10.0.0.1");
    let (over, steps) = wait(&mut lobby, "10.0.0.1");
    assert_eq!(steps, [Step::Refuse(over)]);
    assert_eq!(wait(&mut lobby, "10.0.0.2").1, []);
    assert_eq!(
        wait(&mut lobby, "10.0.0.3").1,
        [Step::Refuse(last)],
        "of the source with most who wait"
    );
    sound(&lobby);
}

#[test]
fn a_source_that_fails_again_and_again_has_a_quarter_and_yields_first() {
    let mut lobby = Lobby::new(ROOM);
    let source = address("10.0.0.1");
    for _ in 0..20 {
        let pulse = Pulse::default();
        let (id, _) = lobby.arrive(source, pulse, at(0));
        lobby.leave((id, source), Parting::Failed(6), at(0));
    }
    assert!(lobby.slowness(source, at(0)) > Duration::ZERO);
    let failing = Pulse::default();
    let (guess, _) = lobby.arrive(source, failing.clone(), at(0));
    failing.fails(at(10));
    fill(&mut lobby, "10.0.0.1", 15, at(100));
    let (good, steps) = silent(&mut lobby, "10.0.0.1", at(1010));
    assert_eq!(steps, [Step::Cut(guess), Step::Admit(good)]);
    fill(&mut lobby, "10.0.0.2", 64, at(1010));
    sound(&lobby);
}

#[test]
fn calls_that_come_to_nothing_make_the_next_wait_a_moment() {
    let mut lobby = Lobby::new(ROOM);
    let source = address("10.0.0.1");
    for _ in 0..20 {
        let (id, _) = lobby.arrive(source, Pulse::default(), at(0));
        lobby.leave((id, source), Parting::Idle, at(0));
    }
    let (id, steps) = silent(&mut lobby, "10.0.0.1", at(0));
    assert_eq!(steps, []);
    assert_eq!(lobby.look(at(299)), []);
    assert_eq!(lobby.look(at(1000)), [Step::Admit(id)]);
}

proptest::proptest! {
    #[test]
    fn any_order_of_comings_and_goings_keeps_the_numbers(
        moves in proptest::collection::vec((0_u8..4, 0_u8..9, 0_u64..400), 1..400)
    ) {
        let room = Room { all: 6, one: 3, waiting: 8, waiting_one: 4 };
        let mut lobby = Lobby::new(room);
        let (mut now, mut alive) = (at(0), Vec::<(Id, IpAddr)>::new());
        let mut admitted = std::collections::HashSet::new();
        for (what, which, later) in moves {
            now += at(later);
            let source = match which {
                0..3 => address(&format!("10.0.0.{which}")),
                3..6 => address(&format!("2001:db8:0:{which}::1")),
                _ => address(&format!("2001:db8:{which}::1")),
            };
            let steps = match (what, alive.is_empty()) {
                (0 | 1, _) | (_, true) => {
                    let (id, steps) = silent(&mut lobby, &source.to_string(), now);
                    alive.push((id, source));
                    steps
                }
                (2, false) => {
                    let who = alive.swap_remove(usize::from(which) % alive.len());
                    admitted.remove(&who.0);
                    lobby.leave(who, Parting::Failed(1), now)
                }
                _ => lobby.look(now),
            };
            for step in steps {
                match step {
                    Step::Admit(id) => assert!(admitted.insert(id)),
                    Step::Cut(id) => assert!(admitted.remove(&id)),
                    Step::Refuse(id) => assert!(!admitted.contains(&id)),
                }
            }
            sound(&lobby);
            assert!(lobby.held.keys().all(|id| admitted.contains(id)));
        }
    }
}

/// Of sources that wait equally long any one yields, and not always the newcomer or the one with the highest address.
#[test]
fn a_full_waiting_room_refuses_no_address_for_what_it_is() {
    let room = Room {
        all: 1,
        one: 1,
        waiting: 16,
        waiting_one: 8,
    };
    let mut lobby = Lobby::new(room);
    silent(&mut lobby, "10.0.0.1", at(0));
    for host in 0..16 {
        silent(&mut lobby, &format!("10.1.0.{host}"), at(0));
    }
    let mut stayed = 0;
    for host in 0..40 {
        let (id, steps) = silent(&mut lobby, &format!("fe00:0:{host:x}::1"), at(0));
        let [Step::Refuse(refused)] = steps[..] else {
            panic!("{steps:?}")
        };
        stayed += u32::from(refused != id);
    }
    sound(&lobby);
    assert!(stayed > 20, "{stayed} of 40 could wait");
}

/// Each of a site of its own: what each newcomer costs does not grow with who waits.
#[test]
fn while_many_sources_wait_the_next_look_is_for_all_of_them() {
    let room = Room {
        waiting: 4096,
        ..ROOM
    };
    let mut lobby = Lobby::new(room);
    let source = |number: u64| format!("2001:db8:{number:x}::1");
    for number in 0..256 {
        silent(&mut lobby, &source(number), at(0));
    }
    for number in 256..4352 {
        let (_, steps) = lobby.arrive(address(&source(number)), Pulse::default(), at(50));
        assert_eq!(steps, [], "nobody yields yet");
    }
    let (_, steps) = lobby.arrive(address("192.0.2.1"), Pulse::default(), at(1001));
    let [Step::Refuse(refused)] = steps[..] else {
        panic!("{steps:?}")
    };
    let steps = lobby.look(at(1051));
    assert_eq!(steps.len(), 512, "all who say nothing yield at once");
    let admitted = steps.iter().filter_map(|step| match step {
        Step::Admit(id) => Some(*id),
        Step::Cut(_) | Step::Refuse(_) => None,
    });
    let first = (256..).filter(|id| *id != refused).take(256);
    assert_eq!(admitted.collect::<Vec<_>>(), first.collect::<Vec<_>>());
    sound(&lobby);
}

/// Sockets that say nothing, each from a network of its own in this site. The first 64 of a site are let in, and
/// waited for.
fn crowd(lobby: &mut Lobby, site: u16, numbers: std::ops::Range<u64>, now: Duration) {
    for number in numbers {
        let source = address(&format!("2001:db8:{site:x}:{number:x}::1"));
        let pulse = Pulse::default();
        if number < 64 {
            pulse.waits(now);
        }
        lobby.arrive(source, pulse, now);
    }
}

/// A /48 of IPv6 is 65,536 networks of /64: it once had all places and kept everybody else waiting for 16 s.
#[test]
fn a_site_of_many_networks_has_no_more_than_one_address_and_others_come_in_at_once() {
    let room = Room {
        waiting: 4096,
        waiting_one: 2048,
        ..ROOM
    };
    let mut lobby = Lobby::new(room);
    crowd(&mut lobby, 1, 0..5000, at(0));
    lobby.look(at(50));
    assert_eq!(lobby.crowd(), (64, 2048));
    for (now, other) in [(60, "192.0.2.1"), (90, "2001:db8:2::1")] {
        let (id, _) = silent(&mut lobby, other, at(now));
        let steps = lobby.look(at(now));
        assert!(steps.contains(&Step::Admit(id)), "{other}: {steps:?}");
    }
    sound(&lobby);
    // In a crowd nobody of it may let us wait for more than a moment: its honest neighbours come in, too.
    let steps = lobby.look(at(200));
    let cut = steps.iter().filter(|step| matches!(step, Step::Cut(_)));
    assert_eq!(cut.count(), 64);
}

#[test]
fn sites_that_hold_all_places_and_the_queue_yield_to_another_at_the_next_look() {
    let room = Room {
        waiting: 4096,
        waiting_one: 2048,
        ..ROOM
    };
    let mut lobby = Lobby::new(room);
    for site in 1..=4 {
        crowd(&mut lobby, site, 0..64, at(0));
        lobby.look(at(0));
    }
    for site in 1..=4 {
        crowd(&mut lobby, site, 64..1564, at(1));
    }
    assert_eq!(lobby.crowd(), (256, 4096));
    let (id, steps) = silent(&mut lobby, "192.0.2.1", at(101));
    let [Step::Refuse(refused)] = steps[..] else {
        panic!("{steps:?}")
    };
    assert_ne!(refused, id, "one of those with more goes");
    let steps = lobby.look(at(102));
    let [Step::Cut(victim), Step::Admit(first), ..] = steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!((victim, first), (0, id));
    sound(&lobby);
}

/// Within a site, too, the network with most yields first.
#[test]
fn a_network_that_holds_its_sites_places_yields_to_the_next_of_that_site() {
    let mut lobby = Lobby::new(ROOM);
    let first = fill(&mut lobby, "2001:db8::1", 64, at(0));
    fill(&mut lobby, "10.0.0.1", 64, at(0));
    let (id, steps) = silent(&mut lobby, "2001:db8:0:1::1", at(100));
    assert_eq!(steps, [Step::Cut(first[0]), Step::Admit(id)]);
    sound(&lobby);
}
