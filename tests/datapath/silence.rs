//! A wire that carries nothing any more, and tells nobody: both ends of a link must notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;
use tunnel::ssh::dial;

use crate::door::{Door, Event};
use crate::in_time;
use crate::link::config;

/// Between a runner and its gateway: carries bytes until it is cut, and then keeps both sockets open.
struct Wire {
    address: String,
    cut: Arc<Notify>,
}

impl Wire {
    async fn to(door: &Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap().to_string(),
            cut: Arc::default(),
        };
        let (cut, gateway) = (wire.cut.clone(), door.address);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(gateway).await.unwrap();
                let cut = cut.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => return,
                        () = cut.notified() => {}
                    }
                    std::future::pending::<()>().await;
                    drop((near, far));
                });
            }
        });
        wire
    }
}

#[tokio::test]
async fn both_ends_of_a_link_notice_within_45_seconds_that_nothing_arrives_any_more() {
    let mut door = Door::open();
    let wire = Wire::to(&door).await;
    let config = tunnel::ssh::DialConfig {
        gateway: wire.address.clone(),
        ..config(&door)
    };
    let link = in_time(dial(&config)).await.unwrap();
    let mut connections = Vec::new();
    while connections.len() < 3 {
        if let Event::Link(connection) = in_time(door.events.recv()).await.unwrap() {
            connections.push(connection);
        }
    }
    // Keepalives keep a quiet link alive; then silence.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let closed = link.closed();
    tokio::pin!(closed);
    assert!(
        tokio::time::timeout(Duration::from_secs(60), &mut closed)
            .await
            .is_err(),
        "a quiet link was given up"
    );
    wire.cut.notify_waiters();
    let begun = Instant::now();
    closed.await;
    let runner = begun.elapsed();
    for connection in &connections {
        connection.closed().await;
    }
    let gateway = begun.elapsed();
    for noticed in [runner, gateway] {
        assert!(noticed <= Duration::from_secs(46), "{noticed:?}");
        assert!(noticed >= Duration::from_secs(29), "{noticed:?}");
    }
}
