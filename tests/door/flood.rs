//! Sockets that say hello and no more, from many addresses and from one's own.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::wait::until;
use harness::{Engine, River};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::is_sound;

/// Places in all, of the gateway's `ssh/door`.
const ALL: usize = 256;

/// Keeps so many sockets open from each of these addresses; one that is closed is opened anew.
struct Flood {
    runtime: Option<tokio::runtime::Runtime>,
    /// Those that have the server's first line.
    inside: Arc<AtomicUsize>,
    /// Connections that were made.
    made: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Flood {
    fn of(port: u16, sources: &[Ipv4Addr], each: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let flood = Self {
            runtime: Some(runtime),
            inside: Arc::default(),
            made: Arc::default(),
            stop: Arc::default(),
        };
        for source in sources {
            for _ in 0..each {
                let (inside, made) = (flood.inside.clone(), flood.made.clone());
                let (stop, source) = (flood.stop.clone(), *source);
                flood.runtime.as_ref().unwrap().spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        one(port, source, (&inside, &made)).await;
                    }
                });
            }
        }
        flood
    }

    fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One socket, till the server has enough of it.
async fn one(port: u16, source: Ipv4Addr, (inside, made): (&AtomicUsize, &AtomicUsize)) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    let Ok(mut socket) = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await else {
        tokio::task::yield_now().await;
        return;
    };
    made.fetch_add(1, Ordering::Relaxed);
    let _ = socket.write_all(b"SSH-2.0-flood\r\n").await;
    let mut room = [0; 4096];
    if !matches!(socket.read(&mut room).await, Ok(1..)) {
        return;
    }
    inside.fetch_add(1, Ordering::Relaxed);
    while matches!(socket.read(&mut room).await, Ok(1..)) {}
    inside.fetch_sub(1, Ordering::Relaxed);
}

#[test]
fn a_flood_from_four_addresses_and_from_ones_own_keeps_neither_a_person_nor_a_runner_out() {
    let mut river = River::start(Engine::Process, 1);
    let before = river.memory();
    let others: Vec<Ipv4Addr> = (0..4).map(|_| crate::fresh()).collect();
    let flood = Flood::of(river.port, &others, 128);
    until("four addresses hold every place", || {
        flood.inside() >= ALL - 8
    });
    let own = Flood::of(river.port, &[Ipv4Addr::LOCALHOST], 128);
    until("and one's own address is full too", || own.inside() >= 32);

    for _ in 0..5 {
        river.admin.ssh("version").good();
    }
    let bob = river.person("bob", "user");
    assert!(bob.ssh("auth status").good().contains("bob"));
    river.kill_runner();
    until("the gateway saw it go", || {
        river.admin.ssh("node list").text().contains("unreachable")
    });
    river.start_runner();
    assert!(flood.inside() + own.inside() > ALL / 2, "the flood went on");
    assert!(
        flood.inside() + own.inside() <= ALL + 64,
        "and held no more"
    );
    let grown = river.memory().saturating_sub(before);
    eprintln!(
        "{} connections made, {} KiB more memory",
        flood.made() + own.made(),
        grown >> 10
    );
    assert!(grown < 64 << 20, "{grown} bytes more");
    drop((flood, own));
    is_sound(&river);
    let told = river.log().matches("at the door").count();
    assert!((1..20).contains(&told), "{told} lines of the flood");
}

#[test]
fn two_thousand_sockets_that_say_hello_leave_the_memory_as_it_was() {
    let river = River::gateway_alone("");
    let before = river.memory();
    let sources: Vec<Ipv4Addr> = (0..20).map(|_| crate::fresh()).collect();
    let flood = Flood::of(river.port, &sources, 100);
    until("thousands came", || flood.made() > 4000);
    for _ in 0..5 {
        river.admin.ssh("version").good();
    }
    let grown = river.memory().saturating_sub(before);
    eprintln!("2000 sockets: {} KiB more memory", grown >> 10);
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert!(flood.inside() <= ALL + 64);
    drop(flood);
    is_sound(&river);
}

/// What is told of a log that takes nothing once ended the gateway.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let mut river = River::gateway_alone("");
    river.kill_gateway();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let mut gateway = std::process::Command::new(harness::river::program("river-gateway"))
        .args(["--config", "g.toml"])
        .current_dir(river.dir.path())
        .stderr(full.unwrap())
        .spawn()
        .unwrap();
    until("it listens, or has ended", || {
        river.listens() || gateway.try_wait().unwrap().is_some()
    });
    for _ in 0..3 {
        assert!(river.admin.ssh("version").good().contains("river"));
    }
    let lives = gateway.try_wait().unwrap().is_none();
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert!(lives);
}
