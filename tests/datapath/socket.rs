//! The wrapper round a socket, alone.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tunnel::ssh::socket::{Crawl, End, Tune};

use crate::{in_time, pattern};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, server) = tokio::join!(client, listener.accept());
    (client.unwrap(), server.unwrap().0)
}

#[tokio::test]
async fn a_blocked_write_takes_what_the_peer_sends() {
    let (near, mut far) = pair().await;
    let mut near = Tune::new(near, Crawl::default()).unwrap();
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
async fn a_peer_that_sends_without_end_and_reads_nothing_is_cut_off() {
    let (near, mut far) = pair().await;
    let mut near =
        Tune::with_limits(near, Crawl::default(), 1 << 20, Duration::from_secs(600)).unwrap();
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
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert_eq!(ending.get(), End::Failed(ErrorKind::OutOfMemory));
    drop(near);
    in_time(flood).await.unwrap();
}

#[tokio::test]
async fn a_write_that_nobody_takes_fails_in_the_end() {
    let (near, _far) = pair().await;
    let mut near =
        Tune::with_limits(near, Crawl::default(), 1 << 20, Duration::from_millis(50)).unwrap();
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

#[tokio::test]
async fn an_end_in_order_is_told_from_a_reset() {
    let (near, far) = pair().await;
    let mut near = Tune::new(near, Crawl::default()).unwrap();
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
    let mut near = Tune::new(near, Crawl::default()).unwrap();
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
