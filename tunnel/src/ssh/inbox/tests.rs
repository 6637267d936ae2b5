//! Queues, caps and ends of one connection's inboxes.

use russh::keys::ssh_encoding::Decode;

use super::*;

fn channel(number: u8) -> ChannelId {
    ChannelId::decode(&mut &[0, 0, 0, number][..]).unwrap()
}

#[tokio::test]
async fn one_full_queue_makes_the_connection_crawl_until_it_is_eaten() {
    let crawl = Crawl::default();
    let inboxes = Inboxes::new(crawl.clone());
    let mut full = inboxes.open(channel(1)).unwrap();
    let _other = inboxes.open(channel(2)).unwrap();
    inboxes.on_data(channel(1), &vec![0; CAP]);
    assert_eq!(inboxes.window(), WINDOW);
    inboxes.on_data(channel(1), b"!");
    assert_eq!((inboxes.window(), crawl.is_set()), (CRAWL_WINDOW, true));
    full.next().await;
    // At once, without another packet: keystrokes are not to wait.
    assert!(!crawl.is_set());
    assert_eq!(inboxes.window(), WINDOW);
}

#[tokio::test]
async fn a_client_that_ignores_windows_is_cut_and_costs_nothing_more() {
    let inboxes = Inboxes::new(Crawl::default());
    let mut inbox = inboxes.open(channel(1)).unwrap();
    for _ in 0..HARD_CAP / (1 << 20) {
        inboxes.on_data(channel(1), &vec![0; 1 << 20]);
    }
    assert_eq!(inbox.queued(), HARD_CAP);
    inboxes.on_data(channel(1), b"!");
    inboxes.on_eof(channel(1));
    assert_eq!(inbox.queued(), 0);
    assert_eq!(inboxes.window(), WINDOW);
    inbox.closed().await;
    assert_eq!(inbox.next().await, Received::Closed);
}

#[tokio::test]
async fn all_channels_of_a_connection_together_have_an_end_too() {
    let inboxes = Inboxes::new(Crawl::default());
    let all: Vec<Inbox> = (1..=40)
        .map(|n| inboxes.open(channel(n)).unwrap())
        .collect();
    for number in 1..=40 {
        for _ in 0..HARD_CAP / (1 << 20) {
            inboxes.on_data(channel(number), &vec![0; 1 << 20]);
        }
    }
    let total: usize = all.iter().map(Inbox::queued).sum();
    assert_eq!(total, HARD_TOTAL);
    // Who keeps to the window is not cut for others.
    let honest = inboxes.open(channel(41)).unwrap();
    inboxes.on_data(channel(41), &vec![0; WINDOW as usize]);
    assert_eq!(honest.queued(), WINDOW as usize);
    drop((all, honest));
    assert_eq!(inboxes.0.total.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn who_reads_nothing_still_hears_of_the_close_and_of_nothing_else() {
    let inboxes = Inboxes::new(Crawl::default());
    let inbox = inboxes.open(channel(1)).unwrap();
    let closing = inbox.closing();
    inboxes.on_data(channel(1), &vec![0; CAP + 1]);
    drop(inbox);
    assert_eq!(inboxes.window(), WINDOW);
    inboxes.on_data(channel(1), &vec![0; CAP + 1]);
    inboxes.on_eof(channel(1));
    assert_eq!(inboxes.window(), WINDOW);
    assert!(!lock(&closing.0.queue.state).closed);
    inboxes.on_close(channel(1));
    closing.closed().await;
    drop(inboxes.open(channel(2)).unwrap().closing());
    assert!(lock(&inboxes.0.queues).open.is_empty());
}

#[tokio::test]
async fn what_came_before_the_end_is_given_out_first() {
    let inboxes = Inboxes::new(Crawl::default());
    let mut inbox = inboxes.open(channel(1)).unwrap();
    let guard = inboxes.guard();
    inboxes.on_data(channel(1), b"all");
    inboxes.on_eof(channel(1));
    inboxes.on_data(channel(1), b"after the end");
    drop(guard);
    assert_eq!(inbox.next().await, Received::Data("all".into()));
    assert_eq!(inbox.next().await, Received::Eof);
    assert_eq!(inbox.next().await, Received::Closed);
    assert_eq!(
        inboxes.open(channel(2)).unwrap().next().await,
        Received::Closed
    );
}

#[tokio::test]
async fn what_comes_before_its_opener_heard_of_the_channel_waits_for_it() {
    let inboxes = Inboxes::new(Crawl::default());
    inboxes.on_data(channel(1), b"nobody expects this");
    let expected = inboxes.expect().unwrap();
    inboxes.on_data(channel(1), b"early");
    inboxes.on_eof(channel(1));
    let mut inbox = expected.adopt(channel(1));
    assert_eq!(inbox.next().await, Received::Data("early".into()));
    assert_eq!(inbox.next().await, Received::Eof);
    drop(inbox);
    inboxes.on_data(channel(2), b"and nobody expects that");
    assert!(lock(&inboxes.0.queues).open.is_empty());
}

#[tokio::test]
async fn what_comes_with_its_end_before_its_opener_heard_of_the_channel_waits_too() {
    let inboxes = Inboxes::new(Crawl::default());
    let (expected, other) = (inboxes.expect().unwrap(), inboxes.expect().unwrap());
    inboxes.on_data(channel(1), b"short");
    inboxes.on_eof(channel(1));
    inboxes.on_close(channel(1));
    let mut inbox = expected.adopt(channel(1));
    assert_eq!(inbox.next().await, Received::Data("short".into()));
    assert_eq!(inbox.next().await, Received::Eof);
    assert_eq!(inbox.next().await, Received::Closed);
    // Of a channel that nobody takes nothing stays.
    inboxes.on_data(channel(2), &vec![0; CAP + 1]);
    inboxes.on_close(channel(2));
    assert_eq!(inboxes.window(), CRAWL_WINDOW);
    drop(other);
    assert_eq!(inboxes.window(), WINDOW);
    assert!(lock(&inboxes.0.queues).early.is_empty());
}

#[tokio::test]
async fn all_channels_are_one_count_also_those_that_this_side_opens() {
    let number = |number: usize| {
        let number = u32::try_from(number).unwrap().to_be_bytes();
        ChannelId::decode(&mut &number[..]).unwrap()
    };
    let inboxes = Inboxes::new(Crawl::default());
    let mut open: Vec<Inbox> = (2..CHANNELS)
        .map(|at| inboxes.open(number(at)).unwrap())
        .collect();
    let (adopted, refused) = (inboxes.expect().unwrap(), inboxes.expect().unwrap());
    let full = || inboxes.open(number(CHANNELS)).is_none() && inboxes.expect().is_none();
    assert!(full());
    open.push(adopted.adopt(number(0)));
    assert!(full());
    // The client did not want it.
    drop(refused);
    open.push(inboxes.open(number(1)).unwrap());
    assert!(full());
    // The client closes one; this side closes one.
    inboxes.on_close(number(2));
    open.push(inboxes.open(number(2)).unwrap());
    assert!(full());
    open.pop();
    assert_eq!(inboxes.count(), CHANNELS - 1);
    assert!(inboxes.expect().is_some());
}
