//! One thing at a time about a box: its start, errands, what follows its stop, its removal, in the order in which
//! they were asked for. Its stop and its kill wait for none of these.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use cluster::AttemptId;
use tokio::sync::OwnedMutexGuard;
use tokio::task::unconstrained;

/// Held while something is done about the box.
pub type Turn = OwnedMutexGuard<()>;

#[derive(Debug, Default)]
pub struct Turns {
    /// Only of boxes that somebody is busy with.
    boxes: Mutex<HashMap<AttemptId, Weak<tokio::sync::Mutex<()>>>>,
}

impl Turns {
    /// A place in the queue of the box, as of this moment, whenever it is waited for.
    pub fn queue(&self, held: AttemptId) -> impl Future<Output = Turn> + Send + 'static {
        let own = {
            let mut boxes = self.boxes.lock().unwrap_or_else(PoisonError::into_inner);
            boxes.retain(|_, known| known.strong_count() > 0);
            let known = boxes.get(&held).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::default();
                boxes.insert(held, Arc::downgrade(&new));
                new
            })
        };
        // Tokio's mutex is fair from the first poll on.
        let mut waiting = Box::pin(unconstrained(own.lock_owned()));
        let now = waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        async move {
            match now {
                Poll::Ready(turn) => turn,
                Poll::Pending => waiting.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster::TaskId;

    use super::*;

    #[tokio::test]
    async fn what_is_done_about_one_box_is_done_in_the_order_of_asking() {
        let turns = Turns::default();
        let held = |task| AttemptId {
            task: TaskId(task),
            number: 0,
        };
        let first = turns.queue(held(1)).await;
        let (second, third) = (turns.queue(held(1)), turns.queue(held(1)));
        // Another box waits for nobody.
        drop(turns.queue(held(2)).await);
        let (heard, mut done) = tokio::sync::mpsc::unbounded_channel();
        let told = heard.clone();
        let last = tokio::spawn(async move {
            let _turn = third.await;
            told.send(3).unwrap();
        });
        // It is waited for first, and does not come first.
        tokio::task::yield_now().await;
        assert!(done.try_recv().is_err());
        drop(first);
        let turn = second.await;
        heard.send(2).unwrap();
        drop(turn);
        last.await.unwrap();
        assert_eq!((done.try_recv(), done.try_recv()), (Ok(2), Ok(3)));
        // One that nobody waits for any more is passed over.
        let turn = turns.queue(held(1)).await;
        drop(turns.queue(held(1)));
        let next = turns.queue(held(1));
        drop(turn);
        drop(next.await);
        drop(turns.queue(held(3)).await);
        assert_eq!(turns.boxes.lock().unwrap().len(), 1);
    }
}
