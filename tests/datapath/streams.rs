//! Streams of a link: full duplex, stalls, breaches and ends.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use russh::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tunnel::ssh::{Frames, LinkConnection, Stream, StreamReader, StreamWriter};
use tunnel::wire::ChannelName;

use crate::door::{Door, SMALL};
use crate::link::Node;
use crate::{in_time, pattern};

/// What a stream accepts before its reader takes anything, in bytes.
const FIRST_CREDIT: usize = 256 << 10;

fn name() -> ChannelName {
    "stdin/17.1".parse().unwrap()
}

/// Both ends of a new stream: the gateway's, then the node's.
async fn stream(link: &LinkConnection, node: &mut Node) -> (Stream, Stream) {
    let near = link.open(name()).await.unwrap();
    (near, node.incoming.recv().await.unwrap())
}

async fn put(mut writer: StreamWriter, bytes: Bytes) -> StreamWriter {
    writer.send(bytes).await.unwrap();
    writer.finish().await.unwrap();
    writer
}

async fn get(mut reader: StreamReader) -> Vec<u8> {
    let mut got = Vec::new();
    while let Some(bytes) = reader.next().await.unwrap() {
        got.extend_from_slice(&bytes);
    }
    got
}

/// Sends until nothing more is accepted; how many bytes were.
async fn fill(writer: &mut StreamWriter) -> usize {
    let mut bytes = Bytes::from(vec![7; 4 << 20]);
    let whole = bytes.len();
    let mut quiet = 0;
    let mut before = whole;
    while quiet < 20 {
        let sent = {
            let mut sending = pin!(writer.send_from(&mut bytes));
            poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await
        };
        assert!(sent.is_pending(), "4 MiB were accepted: {sent:?}");
        quiet = if bytes.len() == before { quiet + 1 } else { 0 };
        before = bytes.len();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    whole - bytes.len()
}

/// Eight streams at once, half of them each way.
async fn run_eight(link: &LinkConnection, node: &mut Node) {
    let sent = pattern(8 << 20);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (near, far) = stream(link, node).await;
        let (from, to) = if n < 4 { (near, far) } else { (far, near) };
        let (bytes, expected) = (sent.clone(), sent.clone());
        tasks.spawn(async move {
            let ((idle_in, up), (down, idle_out)) = (from.split(), to.split());
            let (writer, got) = tokio::join!(put(up, bytes), get(down));
            assert!(got == expected, "stream {n} arrived damaged");
            drop((idle_in, idle_out, writer));
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    crate::until(|| node.streams.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_streams_run_full_both_ways_through_small_buffers() {
    let mut door = Door::open();
    in_time(async {
        let (mut node, link) = Node::log_in(&mut door).await;
        run_eight(&link, &mut node).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_exchanged_again_under_full_load() {
    let often = || Limits::new(1 << 20, 1 << 20, Duration::from_secs(3600));
    // Large ones have more on the way than russh takes while it waits for the peer's half.
    for buffers in [SMALL, 16 << 20] {
        let mut door = Door::open_with(buffers);
        in_time(async {
            let (mut node, link) = Node::log_in_with(&mut door, buffers, often()).await;
            run_eight(&link, &mut node).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_stalled_stream_stops_nobody_and_goes_on_later() {
    let mut door = Door::open();
    in_time(async {
        let (mut node, link) = Node::log_in(&mut door).await;
        let (stalled, stalled_far) = stream(&link, &mut node).await;
        let (_idle, mut stalled) = stalled.split();
        assert_eq!(fill(&mut stalled).await, FIRST_CREDIT);

        let (busy, busy_far) = stream(&link, &mut node).await;
        let sent = pattern(8 << 20);
        let ((_a, up), (down, _b)) = (busy.split(), busy_far.split());
        let (_writer, got) = tokio::join!(put(up, sent.clone()), get(down));
        assert!(got == sent);

        // Half a chunk went before the stall; it cannot be told from the rest, so only count.
        let (down, _c) = stalled_far.split();
        let (_writer, got) = tokio::join!(put(stalled, sent.clone()), get(down));
        assert_eq!(got.len(), FIRST_CREDIT + sent.len());
    })
    .await;
}

#[tokio::test]
async fn a_hundred_stalled_streams_hold_their_first_credit_each() {
    let mut door = Door::open();
    in_time(async {
        let (mut node, link) = Node::log_in(&mut door).await;
        let mut tasks = tokio::task::JoinSet::new();
        let mut held = Vec::new();
        for _ in 0..100 {
            let (near, far) = stream(&link, &mut node).await;
            let (reader, mut writer) = near.split();
            held.push((reader, far));
            tasks.spawn(async move { (fill(&mut writer).await, writer) });
        }
        let mut writers = Vec::new();
        while let Some(result) = tasks.join_next().await {
            let (sent, writer) = result.unwrap();
            assert_eq!(sent, FIRST_CREDIT);
            writers.push(writer);
        }
        let (near, far) = stream(&link, &mut node).await;
        let ((_a, up), (down, _b)) = (near.split(), far.split());
        let (_writer, got) = tokio::join!(put(up, pattern(1 << 20)), get(down));
        assert!(got == pattern(1 << 20));
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_drains_fast_is_granted_more_but_not_without_end() {
    let mut door = Door::open();
    in_time(async {
        let (mut node, link) = Node::log_in(&mut door).await;
        let (near, mut far) = stream(&link, &mut node).await;
        let (_a, mut up) = near.split();
        for _ in 0..200 {
            up.send(pattern(64 << 10)).await.unwrap();
            let mut got = 0;
            while got < 64 << 10 {
                got += far.next().await.unwrap().unwrap().len();
            }
        }
        let accepted = fill(&mut up).await;
        assert!(accepted > FIRST_CREDIT, "it never grew: {accepted}");
        assert!(accepted <= 4 << 20, "it grew too far: {accepted}");
    })
    .await;
}

#[tokio::test]
async fn more_than_was_granted_closes_the_channel() {
    let mut door = Door::open();
    in_time(async {
        let (node, _link) = Node::log_in(&mut door).await;
        let channel = node.handle.channel_open_direct_streamlocal("spool/17");
        let (mut read_half, half) = channel.await.unwrap().split();
        let (_, mut stream) = door.opened().await;
        half.data_bytes(vec![0; FIRST_CREDIT + 1]).await.unwrap();
        // Nobody reads the stream: it is closed all the same.
        while let Some(message) = read_half.wait().await {
            if matches!(message, russh::ChannelMsg::Close) {
                break;
            }
        }
        let error = loop {
            if let Err(error) = stream.next().await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    })
    .await;
}

#[tokio::test]
async fn an_end_of_file_is_told_from_a_close_and_a_lost_connection() {
    let mut door = Door::open();
    in_time(async {
        let (mut node, link) = Node::log_in(&mut door).await;
        let (mut near, mut far) = stream(&link, &mut node).await;
        near.send("all".into()).await.unwrap();
        near.finish().await.unwrap();
        assert_eq!(far.next().await.unwrap().unwrap(), "all");
        assert_eq!(far.next().await.unwrap(), None);
        // The other way is still open.
        far.send("answer".into()).await.unwrap();
        assert_eq!(near.next().await.unwrap().unwrap(), "answer");
        assert_eq!(
            near.send("more".into()).await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        drop(far);
        assert_eq!(
            near.next().await.unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );

        let (mut near, mut far) = stream(&link, &mut node).await;
        near.send("some".into()).await.unwrap();
        drop(near);
        assert_eq!(far.next().await.unwrap().unwrap(), "some");
        assert_eq!(
            far.next().await.unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        assert_eq!(
            far.send("x".into()).await.unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );

        let (near, far) = stream(&link, &mut node).await;
        let (mut near, _a) = near.split();
        let (_b, mut stuck) = far.split();
        assert_eq!(fill(&mut stuck).await, FIRST_CREDIT);
        link.disconnect("a test").await;
        assert_eq!(stuck.closed().await.kind(), ErrorKind::ConnectionReset);
        let mut got = 0;
        let error = loop {
            match near.next().await {
                Ok(bytes) => got += bytes.unwrap().len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(got <= FIRST_CREDIT);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_its_opener_knows_of_it_is_not_lost() {
    let mut door = Door::open();
    in_time(async {
        let (mut node, link) = Node::log_in(&mut door).await;
        let mut incoming = std::mem::replace(&mut node.incoming, tokio::sync::mpsc::channel(1).1);
        let answering = tokio::spawn(async move {
            while let Some(mut stream) = incoming.recv().await {
                stream.send("short".into()).await.unwrap();
                stream.finish().await.unwrap();
            }
        });
        for _ in 0..200 {
            let mut stream = link.open(name()).await.unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap(), "short");
            assert_eq!(stream.next().await.unwrap(), None);
        }
        drop(node);
        link.closed().await;
        answering.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn closed_streams_leave_nothing_behind() {
    let mut door = Door::open();
    in_time(async {
        let (node, link) = Node::log_in(&mut door).await;
        for n in 0..300 {
            let near = node.open(&name()).await;
            let (_, far) = door.opened().await;
            let (first, second) = if n % 2 == 0 { (near, far) } else { (far, near) };
            drop(first);
            drop(second);
        }
        crate::until(|| node.streams.is_empty()).await;
        crate::until(|| link.open_streams() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_reads_and_writes_as_any_other() {
    let mut door = Door::open();
    in_time(async {
        let (mut node, link) = Node::log_in(&mut door).await;
        let sent = pattern(3 << 20);
        let (mut near, mut far) = stream(&link, &mut node).await;
        let writing = async {
            tokio::io::copy(&mut &sent[..], &mut near).await.unwrap();
            near.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let (read, ()) = tokio::join!(far.read_to_end(&mut got), writing);
        assert_eq!(read.unwrap(), sent.len());
        assert!(got == sent);
        drop(far);
        let error = near.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    })
    .await;
}

#[tokio::test]
async fn a_frame_that_was_given_up_half_way_is_completed_before_the_next() {
    let mut door = Door::open();
    in_time(async {
        let (mut node, link) = Node::log_in(&mut door).await;
        let (near, far) = stream(&link, &mut node).await;
        let (mut near, mut far) = (Frames::new(near), Frames::new(far));
        let large = "x".repeat(4 << 20);
        {
            let mut sending = pin!(near.send(&large));
            let mut receiving = pin!(far.recv::<String>());
            // The peer takes some and more is granted, but not all of it: then both are dropped.
            for _ in 0..10 {
                poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_ready())).await;
                poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx).is_ready())).await;
                tokio::task::yield_now().await;
            }
        }
        let sending = async { near.send(&"next").await.unwrap() };
        let receiving = async {
            let first: String = far.recv().await.unwrap().unwrap();
            let second: String = far.recv().await.unwrap().unwrap();
            (first, second)
        };
        let (got, ()) = tokio::join!(receiving, sending);
        assert!(got == (large, "next".to_owned()));
    })
    .await;
}
