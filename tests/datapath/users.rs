//! What users send: real `ssh` clients, commands that do not read, and channels that end early.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tunnel::ssh::Received;
use tunnel::ssh::inbox::{CAP, Inbox, WINDOW};

use crate::door::{Door, exit};
use crate::openssh::OpenSsh;
use crate::{in_time, pattern, until};

/// A command of the [`Door`] that waits until the test reads its input.
const HOLD: &str = "hold";

async fn count(inbox: &mut Inbox) -> (usize, Received) {
    let mut length = 0;
    loop {
        match inbox.next().await {
            Received::Data(bytes) => length += bytes.len(),
            end @ (Received::Eof | Received::Closed) => return (length, end),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cat_gives_back_what_it_got() {
    let door = Door::open();
    let ssh = OpenSsh::for_door(&door);
    let sent = pattern(24 << 20);
    std::fs::write(ssh.path("input"), &sent).unwrap();
    for round in 0..3 {
        let mut cat = ssh.ssh(&[], "cat");
        cat.stdin(std::fs::File::open(ssh.path("input")).unwrap());
        let output = in_time(cat.output()).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "round {round}");
        assert!(output.stdout == sent, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_nobody_reads_freezes_no_other_session() {
    let mut door = Door::open();
    let ssh = OpenSsh::for_door(&door);
    let length = 32 << 20;
    let mut hold = ssh.shared(HOLD).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = hold.stdin.take().unwrap();
    let upload = tokio::spawn(async move { stdin.write_all(&pattern(length)).await.unwrap() });
    let (mut inbox, half) = in_time(door.held()).await;
    until(|| inbox.queued() > CAP).await;
    until(|| door.crawl.is_set()).await;

    for _ in 0..3 {
        let status = in_time(ssh.shared("true").status()).await.unwrap();
        assert_eq!(status.code(), Some(0));
    }
    assert!(!upload.is_finished());
    // The window that was open when the queue filled, and what crawled since.
    let most = CAP + 2 * WINDOW as usize;
    assert!(inbox.queued() < most, "{} bytes queued", inbox.queued());

    let (got, end) = in_time(count(&mut inbox)).await;
    assert_eq!((got, end), (length, Received::Eof));
    assert!(!door.crawl.is_set());
    exit(half).await;
    assert_eq!(in_time(hold.wait()).await.unwrap().code(), Some(0));
    upload.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_channel_does_not_keep_its_connection_crawling() {
    let mut door = Door::open();
    let ssh = OpenSsh::for_door(&door);
    let mut hold = ssh.shared(HOLD).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = hold.stdin.take().unwrap();
    let upload = tokio::spawn(async move { stdin.write_all(&pattern(32 << 20)).await });
    let (inbox, half) = in_time(door.held()).await;
    until(|| door.crawl.is_set()).await;

    // The command is gone, its channel still open: the rest of the upload goes nowhere, at full speed.
    drop(inbox);
    in_time(upload).await.unwrap().unwrap();
    assert!(!door.crawl.is_set());
    let sent = pattern(4 << 20);
    std::fs::write(ssh.path("input"), &sent).unwrap();
    let mut cat = ssh.shared("cat");
    cat.stdin(std::fs::File::open(ssh.path("input")).unwrap());
    assert!(in_time(cat.output()).await.unwrap().stdout == sent);
    assert!(!door.crawl.is_set());
    exit(half).await;
    in_time(hold.wait()).await.unwrap();
}

#[tokio::test]
async fn an_inbox_tells_a_client_that_went_from_one_that_finished() {
    let mut door = Door::open();
    let ssh = OpenSsh::for_door(&door);
    let mut hold = ssh.ssh(&[], HOLD).stdin(Stdio::piped()).spawn().unwrap();
    let (mut inbox, _half) = in_time(door.held()).await;
    let closing = inbox.closing();
    hold.stdin
        .as_mut()
        .unwrap()
        .write_all(b"half")
        .await
        .unwrap();
    assert_eq!(in_time(inbox.next()).await, Received::Data("half".into()));
    hold.kill().await.unwrap();
    in_time(closing.closed()).await;
    assert_eq!(in_time(inbox.next()).await, Received::Closed);

    let mut hold = ssh
        .ssh(&[], HOLD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut inbox, half) = in_time(door.held()).await;
    drop(hold.stdin.take());
    assert_eq!(in_time(count(&mut inbox)).await, (0, Received::Eof));
    half.data_bytes("still here".as_bytes()).await.unwrap();
    exit(half).await;
    let mut output = String::new();
    in_time(hold.stdout.take().unwrap().read_to_string(&mut output))
        .await
        .unwrap();
    assert_eq!(output, "still here");
    assert_eq!(in_time(inbox.next()).await, Received::Closed);
}
