//! A wire that can be told to fail: cut after so many bytes, one bit turned, or still for a while.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::wait::rest;

/// What befalls the bytes of the next connection that goes far enough, once; or of all that there are, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The byte at this offset, towards the gateway, has a bit turned.
    FlipUp(usize),
    /// The same, from the gateway.
    FlipDown(usize),
    /// Nothing more after so many bytes towards the gateway.
    Cut(usize),
    /// Nothing goes either way for so long, on any connection; then all of it.
    Stall(Duration),
}

/// Until when nothing goes.
type Still = Arc<Mutex<Option<Instant>>>;

/// Ends with the program.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    next: Arc<Mutex<Option<Mishap>>>,
    still: Still,
    struck: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) fn start(to: u16) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (next, struck) = (
            Arc::<Mutex<Option<Mishap>>>::default(),
            Arc::<AtomicU64>::default(),
        );
        let still = Still::default();
        let proxy = Self {
            port,
            next: Arc::clone(&next),
            still: Arc::clone(&still),
            struck: Arc::clone(&struck),
        };
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else {
                    continue;
                };
                let wire = Wire {
                    mishap: next.lock().unwrap().take(),
                    struck: Arc::clone(&struck),
                    still: Arc::clone(&still),
                };
                wire.carry(near, far);
            }
        });
        proxy
    }

    pub(crate) fn arm(&self, mishap: Mishap) {
        match mishap {
            Mishap::FlipUp(_) | Mishap::FlipDown(_) | Mishap::Cut(_) => {
                *self.next.lock().unwrap() = Some(mishap);
            }
            Mishap::Stall(time) => {
                *self.still.lock().unwrap() = Some(Instant::now() + time);
                self.struck.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Wire {
    mishap: Option<Mishap>,
    still: Still,
    struck: Arc<AtomicU64>,
}

impl Wire {
    fn carry(self, near: TcpStream, far: TcpStream) {
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let (up, down) = (self.clone(), self);
        std::thread::spawn(move || up.one_way(near, far, true));
        std::thread::spawn(move || down.one_way(far_too, near_too, false));
    }

    fn one_way(&self, mut from: TcpStream, mut to: TcpStream, up: bool) {
        let (mut buffer, mut at) = (vec![0; 64 << 10], 0);
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let bytes = &mut buffer[..count];
            let here = |offset: usize| offset.checked_sub(at).filter(|index| *index < count);
            match self.mishap {
                Some(Mishap::FlipUp(offset)) if up => self.flip(bytes, here(offset)),
                Some(Mishap::FlipDown(offset)) if !up => self.flip(bytes, here(offset)),
                Some(Mishap::Cut(offset)) if up => {
                    if let Some(index) = here(offset) {
                        let _ = to.write_all(&bytes[..index]);
                        self.struck.fetch_add(1, Ordering::Relaxed);
                        let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
                        return;
                    }
                }
                Some(_) | None => {}
            }
            at += count;
            self.until_free();
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
    }

    fn until_free(&self) {
        let still = *self.still.lock().unwrap();
        if let Some(left) = still.and_then(|at| at.checked_duration_since(Instant::now())) {
            rest(left);
        }
    }

    fn flip(&self, bytes: &mut [u8], at: Option<usize>) {
        if let Some(at) = at {
            bytes[at] ^= 0x10;
            self.struck.fetch_add(1, Ordering::Relaxed);
        }
    }
}
