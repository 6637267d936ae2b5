//! People who stay signed in, and who come back, as a script of theirs would, when the gateway has gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::client::{Login, address};

/// The longest pause before one tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// Ends with it.
pub(crate) struct Crowd {
    inside: Arc<AtomicUsize>,
    people: JoinSet<()>,
}

impl Crowd {
    /// So many, each from an address of its own.
    pub(crate) fn start(login: &Login, count: usize) -> Self {
        let inside = Arc::new(AtomicUsize::new(0));
        let mut people = JoinSet::new();
        for number in 0..count {
            people.spawn(stay(login.clone(), number, Arc::clone(&inside)));
        }
        Self { inside, people }
    }

    /// Who is signed in, and got an answer.
    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> usize {
        self.people.len()
    }
}

async fn stay(login: Login, number: usize, inside: Arc<AtomicUsize>) {
    loop {
        if let Ok(client) = login.enter(address(3, number)).await
            && client.run("task list").await.is_ok()
        {
            inside.fetch_add(1, Ordering::Relaxed);
            let _ = client.handle.await;
            inside.fetch_sub(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PAUSE.mul_f64(rand::random())).await;
    }
}
