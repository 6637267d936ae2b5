//! People who are let in, ask for much, and read nothing; or send what nobody takes.

use std::net::Ipv4Addr;

use harness::wait::until;
use harness::{Engine, River};

use crate::raw::Raw;
use crate::say::{self, Key, text, uint};
use crate::{alice, answer, fresh, is_sound};

/// The largest window there is: nothing but the socket holds the gateway back.
pub(crate) const BOUNDLESS: u32 = 0x7fff_ffff;
/// Clients at once.
pub(crate) const MANY: usize = 100;
/// What one of them may cost, in bytes.
pub(crate) const EACH: u64 = 4 << 20;

/// The gateway's memory, once it has stood still for a while.
fn settled(river: &River) -> u64 {
    let (mut last, mut still) = (0, 0);
    until("the gateway's memory stands still", || {
        let now = river.memory();
        still = if now.abs_diff(last) < 64 << 10 {
            still + 1
        } else {
            0
        };
        last = now;
        still > 25
    });
    last
}

/// A client with small buffers that has begun this command and reads nothing more.
fn deaf(river: &River, from: Ipv4Addr, (login, key): (&str, &Key), line: &str) -> Raw {
    let mut raw = Raw::inside(river.port, from, login, key);
    rustix::net::sockopt::set_socket_recv_buffer_size(&raw.socket, 4096).unwrap();
    let channel = raw.session(BOUNDLESS).unwrap();
    raw.exec(channel, line).unwrap();
    raw
}

/// A task that has written so many bytes, and its number.
fn wordy(river: &River, bytes: u32) -> String {
    let line = format!("task submit -q -- sh -c 'yes river | head -c {bytes}'");
    let task = river.admin.ssh(&line).good().trim().to_owned();
    river.admin.ssh(&format!("task wait {task}")).good();
    task
}

#[test]
fn a_hundred_who_read_nothing_cost_little_and_nobody_else_waits() {
    let river = River::start(Engine::Process, 2);
    let key = alice(&river);
    let task = wordy(&river, 50_000_000);
    let before = settled(&river);
    let from = fresh();
    let line = format!("task logs -f {task}");
    let deaf: Vec<Raw> = (0..MANY)
        .map(|_| deaf(&river, from, ("alice", &key), &line))
        .collect();
    let grown = settled(&river).saturating_sub(before);
    eprintln!(
        "{MANY} deaf readers: {} KiB each",
        grown / MANY as u64 / 1024
    );
    assert!(grown < MANY as u64 * EACH, "{grown} bytes more");
    assert_eq!(river.admin.ssh("task run -- echo alive").good(), "alive\n");
    let heard = river.admin.ssh(&format!("task logs -f {task}")).good();
    assert_eq!(heard.len(), 50_000_000);
    drop(deaf);
    is_sound(&river);
}

#[test]
fn live_output_that_nobody_reads_does_not_pile_up_and_does_not_stop_the_task() {
    let river = River::start(Engine::Process, 2);
    let key = alice(&river);
    let before = settled(&river);
    let line = "task run -- sh -c 'yes river | head -c 30000000; touch done; sleep 600'";
    let deaf: Vec<Raw> = (0..2)
        .map(|_| deaf(&river, fresh(), ("alice", &key), line))
        .collect();
    let written = || {
        let list = river.admin.ssh("task list -q").text();
        let ids: Vec<&str> = list.split_whitespace().collect();
        ids.len() == 2
            && ids
                .iter()
                .all(|id| river.admin.ssh(&format!("task logs {id}")).stdout.len() == 30_000_000)
    };
    until("both tasks wrote all they had", written);
    let grown = settled(&river).saturating_sub(before);
    // `task logs` itself passed by.
    assert!(grown < 64 << 20, "{grown} bytes more");
    drop(deaf);
    is_sound(&river);
}

#[test]
fn a_box_that_floods_those_who_read_nothing_costs_little_and_can_be_entered() {
    let river = River::start(Engine::Process, 2);
    let key = alice(&river);
    river.admin.ssh("vps create --name lab").good();
    assert_eq!(river.admin.ssh_as("lab", "echo in").good(), "in\n");
    let before = settled(&river);
    let from = fresh();
    let deaf: Vec<Raw> = (0..50)
        .map(|_| deaf(&river, from, ("lab", &key), "exec yes river"))
        .collect();
    let grown = settled(&river).saturating_sub(before);
    eprintln!("50 floods of a box: {} KiB each", grown / 50 / 1024);
    assert!(grown < 50 * EACH, "{grown} bytes more");
    assert_eq!(river.admin.ssh_as("lab", "echo alive").good(), "alive\n");
    drop(deaf);
    is_sound(&river);
}

#[test]
fn a_channel_that_takes_nothing_holds_back_no_other_of_its_connection() {
    let river = River::start(Engine::Process, 2);
    let task = wordy(&river, 5_000_000);
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    for _ in 0..50 {
        let stuck = raw.session(10).unwrap();
        raw.exec(stuck, &format!("task logs -f {task}")).unwrap();
    }
    // The others' ten bytes come between; their channel at the client is the same.
    let live = raw.session(1 << 20).unwrap();
    raw.exec(live, "version").unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("river 0") {
        let packet = raw.read_until(say::CHANNEL_DATA).unwrap();
        said.extend(say::Text(&packet[5..]).next());
    }
    is_sound(&river);
}

#[test]
fn who_ignores_windows_is_cut_and_costs_no_more_than_all_channels_may() {
    let river = River::start(Engine::Process, 1);
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    // The first runs and reads nothing, the others wait for its core.
    let channels: Vec<u32> = (0..16)
        .map(|_| {
            let channel = raw.session(1 << 20).unwrap();
            raw.exec(channel, "task run -- sleep 600").unwrap();
            channel
        })
        .collect();
    until("all are there", || {
        river
            .admin
            .ssh("task list -q")
            .text()
            .split_whitespace()
            .count()
            == 16
    });
    let before = settled(&river);
    let piece = vec![b'x'; 32 << 10];
    for _ in 0..1024 {
        for channel in &channels {
            let mut packet = vec![say::CHANNEL_DATA];
            uint(&mut packet, *channel);
            text(&mut packet, &piece);
            raw.send(&packet).unwrap();
        }
    }
    let channel = raw.session(1 << 20).unwrap();
    let grown = river.peak().saturating_sub(before);
    eprintln!("512 MiB that nobody takes: {} MiB more memory", grown >> 20);
    assert!(grown < 384 << 20, "{grown} bytes more");
    raw.exec(channel, "version").unwrap();
    let mut heard = answer(&mut raw);
    while heard.1 != Some(0) {
        heard = answer(&mut raw);
    }
    is_sound(&river);
}

#[test]
fn bytes_one_by_one_cost_what_they_are() {
    let river = River::start(Engine::Process, 1);
    let mut raw = Raw::inside(river.port, fresh(), "alice", &alice(&river));
    // The second waits for the core of the first, and takes no input till then.
    let mut channel = 0;
    for _ in 0..2 {
        channel = raw.session(1 << 20).unwrap();
        raw.exec(channel, "task run -- sleep 600").unwrap();
    }
    until("both are there", || {
        river
            .admin
            .ssh("task list -q")
            .text()
            .split_whitespace()
            .count()
            == 2
    });
    let before = settled(&river);
    let mut packet = vec![say::CHANNEL_DATA];
    uint(&mut packet, channel);
    text(&mut packet, b"x");
    for _ in 0..500_000 {
        raw.send(&packet).unwrap();
    }
    // Answered, so all is taken.
    let channel = raw.session(1 << 20).unwrap();
    raw.exec(channel, "version").unwrap();
    while answer(&mut raw).1 != Some(0) {}
    let grown = river.memory().saturating_sub(before);
    eprintln!("500,000 bytes one by one: {} KiB more memory", grown >> 10);
    assert!(grown < 8 << 20, "{grown} bytes more");
}
