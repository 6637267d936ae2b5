//! The wrapper round a socket, alone.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tunnel::ssh::socket::{Crawl, End};
use tunnel::ssh::{Terms, Tune};

use crate::{in_time, pattern};

/// Held so much at most, and a peer that says nothing for 50 ms is gone.
fn strict(held: usize) -> Terms {
    Terms::new(held, Some(Duration::from_millis(50)))
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, server) = tokio::join!(client, listener.accept());
    (client.unwrap(), server.unwrap().0)
}

#[tokio::test]
async fn a_blocked_write_takes_what_the_peer_sends() {
    let (near, mut far) = pair().await;
    let mut near = Tune::new(near, Crawl::default(), Terms::link()).unwrap();
    let sent = pattern(32 << 20);
    in_time(async {
        // Both write first and read afterwards: only one side's memory can resolve that.
        let there = async {
            far.write_all(&sent).await.unwrap();
            let mut got = vec![0; sent.len()];
            far.read_exact(&mut got).await.unwrap();
            got
        };
        let here = async {
            near.write_all(&sent).await.unwrap();
            let mut got = vec![0; sent.len()];
            near.read_exact(&mut got).await.unwrap();
            got
        };
        let (there, here) = tokio::join!(there, here);
        assert!(there == sent && here == sent);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_sends_without_end_and_reads_nothing_is_held_back_and_then_cut_off() {
    let (near, mut far) = pair().await;
    let mut near = Tune::new(near, Crawl::default(), strict(1 << 20)).unwrap();
    let ending = near.ending();
    let flood = tokio::spawn(async move { while far.write_all(&[0; 4096]).await.is_ok() {} });
    let error = in_time(async {
        loop {
            if let Err(error) = near.write_all(&[0; 4096]).await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(ending.get(), End::Failed(ErrorKind::TimedOut));
    let mut held = Vec::new();
    // What was read is there; then the end.
    let end = in_time(near.read_to_end(&mut held)).await.unwrap_err();
    assert_eq!(end.kind(), ErrorKind::TimedOut);
    assert!(
        held.len() < (1 << 20) + (128 << 10),
        "{} bytes were held",
        held.len()
    );
    drop(near);
    in_time(flood).await.unwrap();
}

#[tokio::test]
async fn a_write_that_nobody_takes_fails_in_the_end() {
    let (near, _far) = pair().await;
    let mut near = Tune::new(near, Crawl::default(), strict(1 << 20)).unwrap();
    let ending = near.ending();
    let error = in_time(async {
        loop {
            if let Err(error) = near.write_all(&[0; 4096]).await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(ending.get(), End::Failed(ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_gone_after_45_seconds_if_it_is_a_runner_and_90_if_a_person() {
    for (be, seconds) in [(Terms::be_link as fn(&Terms), 45), (Terms::be_person, 90)] {
        let (near, mut far) = pair().await;
        let terms = Terms::stranger();
        let mut near = Tune::new(near, Crawl::default(), terms.clone()).unwrap();
        far.write_all(b"x").await.unwrap();
        near.read_u8().await.unwrap();
        be(&terms);
        let begun = Instant::now();
        tokio::time::sleep(Duration::from_secs(seconds - 1)).await;
        // A sign of life, and its time begins anew.
        far.write_all(b"x").await.unwrap();
        near.read_u8().await.unwrap();
        let error = near.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 2 * seconds - 1);
        drop(far);
    }
}

#[tokio::test]
async fn an_end_in_order_is_told_from_a_reset() {
    let (near, far) = pair().await;
    let mut near = Tune::new(near, Crawl::default(), Terms::link()).unwrap();
    let ending = near.ending();
    assert_eq!(ending.get(), End::Open);
    drop(far);
    assert_eq!(
        in_time(near.read_u8()).await.unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    drop(near);
    assert_eq!(ending.get(), End::EndOfFile);

    let (near, far) = pair().await;
    let mut near = Tune::new(near, Crawl::default(), Terms::link()).unwrap();
    let ending = near.ending();
    far.set_zero_linger().unwrap();
    drop(far);
    assert_eq!(
        in_time(near.read_u8()).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    drop(near);
    assert_eq!(ending.get(), End::Failed(ErrorKind::ConnectionReset));
}
