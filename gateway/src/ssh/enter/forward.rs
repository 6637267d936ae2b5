//! A channel of the client and a stream into the box, joined byte for byte.

use std::time::Duration;

use bytes::Bytes;
use russh::server::Msg;
use russh::{ChannelOpenFailure, ChannelWriteHalf, server};
use tracing::debug;
use tunnel::pieces::gather;
use tunnel::ssh::{Closing, Inbox, Received, StreamWriter};
use tunnel::wire::session::{self, Request};

use super::super::requests::because;
use super::{Opened, Place, STEP};

/// How long what a client sent before it closed may wait for the box to take another piece.
pub(super) const DRAIN: Duration = Duration::from_secs(30);

/// A connection that the client asks for (`-L`, `-D`, `-W`): confirmed once it is made, inside the box.
pub(in crate::ssh) async fn connect(
    place: Place,
    to: session::Place,
    (inbox, half): (Inbox, ChannelWriteHalf<Msg>),
    open: server::ChannelOpenHandle,
) {
    match place.open(&Request::Connect(to), false).await {
        Ok(opened) => {
            open.accept().await;
            let closing = inbox.closing();
            splice(inbox, &half, opened).await;
            if !closing.is_closed() {
                let _ = half.close().await;
            }
        }
        Err(failure) => {
            debug!(%failure.sentence, "a forward");
            // A client shows the words: `open failed: connect failed: vps-1 is paused`.
            let words = shell::Safe(&failure.sentence).to_string();
            let why = because(&ChannelOpenFailure::ConnectFailed, words);
            open.reject(why).await;
        }
    }
}

/// Until both ways have ended. A client that closed hears no more, but what it had sent still arrives. The
/// channel stays open.
pub(in crate::ssh) async fn splice(inbox: Inbox, half: &ChannelWriteHalf<Msg>, opened: Opened) {
    let (outward, inward) = ways(inbox, half, opened);
    let outward = async {
        if outward.await {
            let _ = half.eof().await;
        }
    };
    tokio::join!(outward, inward);
}

/// As [`splice`], for a program that is over when it says no more. Its client is not told that: an exit code has
/// to come first.
pub(super) async fn serve(inbox: Inbox, half: &ChannelWriteHalf<Msg>, opened: Opened) {
    let (outward, inward) = ways(inbox, half, opened);
    tokio::pin!(outward);
    tokio::pin!(inward);
    tokio::select! {
        over = &mut outward => if !over {
            inward.await;
        },
        _ = &mut inward => drop(outward.await),
    }
}

/// As [`serve`], for a box that goes on for as long as its client does: `true` when it did not.
pub(super) async fn until_left(inbox: Inbox, half: &ChannelWriteHalf<Msg>, opened: Opened) -> bool {
    let (outward, inward) = ways(inbox, half, opened);
    tokio::pin!(outward);
    tokio::select! {
        over = &mut outward => over,
        took = inward => !took && outward.await,
    }
}

/// Towards the client, `true` when all is said and `false` when it closed before that; and into the box, `true`
/// when that took all that the client said.
fn ways(
    mut inbox: Inbox,
    half: &ChannelWriteHalf<Msg>,
    opened: Opened,
) -> (
    impl Future<Output = bool>,
    impl Future<Output = bool> + use<>,
) {
    let Opened {
        mut reader,
        mut writer,
        frames,
    } = opened;
    let closing = inbox.closing();
    let speak = async move {
        let rest = frames.into_rest();
        if !rest.is_empty() && half.data_bytes(rest).await.is_err() {
            return;
        }
        while let Ok(pieces) = reader.next_pieces(STEP).await {
            if pieces.is_empty() {
                return;
            }
            for piece in gather(pieces) {
                if half.data_bytes(piece).await.is_err() {
                    return;
                }
            }
        }
    };
    let closed = closing.clone();
    let outward = async move {
        tokio::select! {
            biased;
            () = closed.closed() => false,
            () = speak => true,
        }
    };
    let inward = async move {
        loop {
            match inbox.next_pieces(STEP).await {
                Received::Data(pieces) => tokio::select! {
                    sent = send(&mut writer, pieces) => if sent.is_err() {
                        return false;
                    },
                    () = closed_for(DRAIN, &closing) => return false,
                },
                Received::Eof => return writer.finish().await.is_ok(),
                Received::Closed => return true,
            }
        }
    };
    (outward, inward)
}

async fn send(writer: &mut StreamWriter, pieces: Vec<Bytes>) -> std::io::Result<()> {
    for piece in gather(pieces) {
        writer.send(piece).await?;
    }
    Ok(())
}

/// The client has closed, and so much time has passed since it did, or since this was asked.
pub(super) async fn closed_for(time: Duration, closing: &Closing) {
    closing.closed().await;
    tokio::time::sleep(time).await;
}
