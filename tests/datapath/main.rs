//! Does the data path hold? Real SSH on loopback, with small buffers, stalled readers and cut connections.
#![expect(clippy::unwrap_used, reason = "a test program")]

mod door;
mod link;
mod newer;
mod openssh;
mod silence;
mod socket;
mod streams;
mod users;

use std::time::Duration;

/// Fails a test that hangs. Nothing here should take a tenth of it.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), work)
        .await
        .expect("it hangs")
}

/// Waits until the condition holds.
async fn until(mut condition: impl FnMut() -> bool) {
    in_time(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// So many bytes in which each place tells where it is.
fn pattern(length: usize) -> bytes::Bytes {
    (0..length.div_ceil(4))
        .flat_map(|n| {
            u32::try_from(n)
                .unwrap()
                .wrapping_mul(2_654_435_761)
                .to_be_bytes()
        })
        .take(length)
        .collect()
}
