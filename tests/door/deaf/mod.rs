//! A box that floods people who read nothing: by forwards, shells, terminals that stay, and transfers. What that
//! costs, that their neighbours on the same connection and on others work on, and that all is there for who reads again.

mod looks;

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::wait::until;
use harness::{Engine, River};

use crate::raw::Raw;
use crate::readers::{BOUNDLESS, EACH};
use crate::say::{self, Key, direct, text, uint};
use crate::{alice, fresh, is_sound};

/// Clients at once who read nothing.
const MANY: u32 = 50;
/// Channels of one more client, who reads what comes and gives no window.
const STUCK: u32 = 20;
/// The window of each of those.
const LITTLE: u32 = 4096;
/// What that client calls the channel that works on.
const LIVE: u32 = 1000;

/// A gateway, and a box called lab. Its shells read no profile of this machine's.
fn lab() -> (River, Key) {
    let river = River::start(Engine::Process, 2);
    let key = alice(&river);
    let home = river.dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let create = format!("vps create --name lab -e HOME={}", home.display());
    river.admin.ssh(&create).good();
    assert_eq!(river.admin.ssh_as("lab", "echo in").good(), "in\n");
    (river, key)
}

/// Memory of gateway and runner, once both have stood still for a while.
fn settled(river: &River) -> [u64; 2] {
    let (mut last, mut still) = ([0, 0], 0);
    until("the memory stands still", || {
        let now = [river.memory(), river.runner_memory()];
        let near = |at: usize| now[at].abs_diff(last[at]) < 64 << 10;
        still = if near(0) && near(1) { still + 1 } else { 0 };
        last = now;
        still > 25
    });
    last
}

/// Those who read nothing, and one who gives no window.
struct Flooded {
    deaf: Vec<Raw>,
    stuck: Raw,
    /// The server's numbers of its channels.
    channels: Vec<u32>,
}

impl Flooded {
    /// They begin this, and `flows` says that as much has come as they hold back: what they cost is little, and nobody
    /// else waits. They are there until they are dropped.
    fn of(
        river: &River,
        (login, key): (&str, &Key),
        begin: impl Fn(&mut Raw, u32, u32) -> u32,
        flows: impl Fn() -> bool,
        (line, answer): (&str, &str),
    ) -> Self {
        let before = settled(river);
        let from = fresh();
        let inside = || Raw::inside(river.port, from, login, key);
        let deaf = std::iter::repeat_with(|| {
            let mut raw = inside();
            begin(&mut raw, 7, BOUNDLESS);
            raw
        });
        let deaf = deaf.take(MANY as usize).collect();
        let mut stuck = inside();
        let channels = (0..STUCK).map(|own| begin(&mut stuck, own, LITTLE));
        let channels = channels.collect();
        until("all of them are flooded", flows);
        let now = settled(river);
        for (at, name) in ["gateway", "runner"].into_iter().enumerate() {
            let grown = now[at].saturating_sub(before[at]);
            let count = u64::from(MANY + STUCK);
            let each = grown / count / 1024;
            eprintln!("{count} floods of {login}, {name}: {each} KiB each");
            assert!(grown < count * EACH, "{name}: {grown} bytes more");
        }
        let live = stuck.open("session", (LIVE, 1 << 20), &[]);
        stuck.exec(live.unwrap().unwrap(), line).unwrap();
        stuck.hears(LIVE, answer);
        assert_eq!(river.admin.ssh_as("lab", "echo alive").good(), "alive\n");
        assert_eq!(river.admin.ssh("task run -- echo alive").good(), "alive\n");
        Self {
            deaf,
            stuck,
            channels,
        }
    }

    /// The first who reads nothing begins to, and so does the other: gives the window of one of its channels.
    fn wake(&mut self) -> [(&mut Raw, u32); 2] {
        let own = STUCK / 2;
        grant(&mut self.stuck, self.channels[own as usize]);
        [(&mut self.deaf[0], 7), (&mut self.stuck, own)]
    }
}

/// Gives a channel as much window as there may be.
fn grant(raw: &mut Raw, channel: u32) {
    let mut adjust = vec![say::CHANNEL_WINDOW_ADJUST];
    uint(&mut adjust, channel);
    uint(&mut adjust, BOUNDLESS);
    raw.send(&adjust).unwrap();
}

/// The byte at each position of what a spring says.
fn byte(at: usize) -> u8 {
    u32::try_from(at / 4).unwrap().to_be_bytes()[at % 4]
}

/// Listens on loopback, which a box of processes shares, and floods whoever comes: its port, and how many it floods.
fn spring() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let flooded = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&flooded);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, count) = (socket.unwrap(), Arc::clone(&count));
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || {
                for number in 0_usize.. {
                    let from = number << 16;
                    let piece: Vec<u8> = (from..from + (1 << 16)).map(byte).collect();
                    if socket.write_all(&piece).is_err() {
                        break;
                    }
                }
                count.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    (port, flooded)
}

/// Reads 16 MiB of that channel, which are the spring's from this position on.
fn drinks(raw: &mut Raw, own: u32, from: usize) {
    let mut at = from;
    while at < from + (16 << 20) {
        let said = raw.data(own).unwrap();
        let right: Vec<u8> = (at..at + said.len()).map(byte).collect();
        assert!(said == right, "at {at}");
        at += said.len();
    }
}

#[test]
fn forwards_that_flood_who_reads_nothing_cost_little_and_all_comes_once_they_read() {
    let (river, key) = lab();
    let (port, flooded) = spring();
    let begin = |raw: &mut Raw, own, window| {
        let opened = raw.open("direct-tcpip", (own, window), &direct("localhost", port));
        opened.unwrap().unwrap()
    };
    let flows = || flooded.load(Ordering::Relaxed) == (MANY + STUCK) as usize;
    let live = ("echo alive", "alive");
    let mut all = Flooded::of(&river, ("lab", &key), begin, flows, live);
    for (raw, own) in all.wake() {
        drinks(raw, own, 0);
    }
    drop(all);
    until("no connection is left in the box", || {
        flooded.load(Ordering::Relaxed) == 0
    });
    is_sound(&river);
}

/// It takes its time: each is asked for a sign of life after 30 s, and given up after 90.
#[test]
fn who_answers_stays_whatever_it_takes_of_a_channel_and_who_does_not_read_is_given_up() {
    let (river, key) = lab();
    let (port, flooded) = spring();
    let begin = |window| {
        let mut raw = Raw::inside(river.port, fresh(), "lab", &key);
        let opened = raw.open("direct-tcpip", (7, window), &direct("localhost", port));
        let channel = opened.unwrap().unwrap();
        (raw, channel)
    };
    let ((mut deaf, _), (mut stuck, channel)) = (begin(BOUNDLESS), begin(LITTLE));
    let (mut at, mut asked) = (0, 0);
    while asked < 4 {
        let packet = stuck.read().unwrap();
        match packet[0] {
            say::CHANNEL_DATA => at += packet.len() - 9,
            say::GLOBAL_REQUEST => {
                asked += 1;
                stuck.send(&[say::REQUEST_FAILURE]).unwrap();
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(at, LITTLE as usize);
    until("the box is rid of who did not read", || {
        flooded.load(Ordering::Relaxed) == 1
    });
    deaf.gone();
    grant(&mut stuck, channel);
    drinks(&mut stuck, 7, at);
    is_sound(&river);
}

/// A packet of the file transfer protocol (draft-ietf-secsh-filexfer-02, 3).
fn sftp(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    text(&mut packet, &[&[kind], body].concat());
    packet
}

#[test]
fn reads_of_a_large_file_that_are_asked_for_and_never_taken_cost_little() {
    const READS: u32 = 1024;
    const PIECE: u32 = 32 << 10;
    let (river, key) = lab();
    let path = river.dir.path().join("home/large");
    let whole: Vec<u8> = (0..(READS * PIECE) as usize).map(byte).collect();
    std::fs::write(&path, &whole).unwrap();
    let mut open = Vec::new();
    uint(&mut open, 1);
    text(&mut open, path.as_os_str().as_encoded_bytes());
    for number in [1, 0] {
        uint(&mut open, number);
    }
    let (init, open) = (sftp(1, &3_u32.to_be_bytes()), sftp(3, &open));
    let begin = |raw: &mut Raw, own, window| {
        let channel = raw.open("session", (own, window), &[]).unwrap().unwrap();
        let mut name = Vec::new();
        text(&mut name, b"sftp");
        raw.ask(channel, "subsystem", &name).unwrap();
        raw.put(channel, &init).unwrap();
        assert_eq!(raw.data(own).unwrap()[4], 2, "its version");
        raw.put(channel, &open).unwrap();
        let answer = raw.data(own).unwrap();
        assert_eq!(answer[4], 102, "a handle");
        let handle = &answer[13..];
        let mut reads = Vec::new();
        for number in 0..READS {
            let mut read = Vec::new();
            uint(&mut read, number);
            text(&mut read, handle);
            uint(&mut read, 0);
            uint(&mut read, number * PIECE);
            uint(&mut read, PIECE);
            reads.extend(sftp(5, &read));
        }
        raw.put(channel, &reads).unwrap();
        channel
    };
    let live = ("echo alive", "alive");
    let mut all = Flooded::of(&river, ("lab", &key), begin, || true, live);
    // All answers are there, in order.
    for (raw, own) in all.wake() {
        let (mut said, mut file) = (Vec::new(), Vec::new());
        for number in 0..READS {
            let whole = 4 + 1 + 4 + 4 + PIECE as usize;
            while said.len() < whole {
                said.extend(raw.data(own).unwrap());
            }
            let mut head = vec![103];
            uint(&mut head, number);
            uint(&mut head, PIECE);
            assert_eq!(said[4..13], head, "its data");
            file.extend(said.drain(..whole).skip(13));
        }
        assert!(file == whole, "every byte");
    }
    drop(all);
    is_sound(&river);
}
