//! `join@`: a one-time token becomes a node certificate.

use std::sync::Arc;
use std::time::Duration;

use keys::token;
use russh::keys::PublicKey;
use shell::{Failure, Kind};
use tracing::{info, warn};
use tunnel::ssh::{Frames, Stream};
use tunnel::wire::OURS;
use tunnel::wire::message::{Join, Joined};
use tunnel::wire::version;

use crate::head::{Head, dice, now};
use crate::state::{Answer, Input};

/// How long a joining runner may take.
const LIMIT: Duration = Duration::from_secs(15);
/// Certificates last ten years: removing the node ends one at once, for its serial must be the node's.
const LIFETIME_S: u64 = 10 * 366 * 24 * 3600;

/// Serves one joining runner whose key proved itself. `true`: it is a node now.
pub async fn serve(head: Arc<Head>, key: PublicKey, stream: Stream) -> bool {
    let mut frames = Frames::hostile(stream);
    let Ok(Ok(Some(join))) = tokio::time::timeout(LIMIT, frames.recv::<Join>()).await else {
        return false;
    };
    let answer = match enrol(&head, &key, join).await {
        Ok(joined) => joined,
        Err(failure) => {
            warn!(why = failure.sentence, "a join was refused");
            let hint = failure
                .hint
                .map(|hint| format!("; {hint}"))
                .unwrap_or_default();
            Joined::Refused(format!("{}{hint}", failure.sentence))
        }
    };
    let _ = frames.send(&answer).await;
    let (_, mut writer) = frames.split();
    let _ = writer.finish().await;
    matches!(answer, Joined::Welcome { .. })
}

async fn enrol(head: &Head, key: &PublicKey, join: Join) -> Result<Joined, Failure> {
    let state = head.state();
    let ours = (state.settings().version.as_str(), OURS);
    version::judge(("that joins", join.versions()), ours)
        .map_err(|why| Failure::new(Kind::Failed, why))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if join.machine_id.is_empty()
        || join.machine_id.len() > 128
        || !join.machine_id.chars().all(plain)
    {
        return Err(
            Failure::usage("its machine id is 1 to 128 of letters, digits, and -_.:")
                .hint("set machine_id"),
        );
    }
    let (hash, machine_id) = (token::hash(&join.token), join.machine_id.clone());
    let answer = head
        .ask(|ticket| Input::Join {
            ticket,
            hash,
            machine_id,
        })
        .await?;
    let Answer::Joined { node, serial } = answer else {
        return Err(
            Failure::new(Kind::Failed, "the gateway answered something else")
                .hint("tell the operator"),
        );
    };
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            Kind::Failed,
            format!("the certificate cannot be made: {error}"),
        )
        .hint("tell the operator")
    };
    let from = now().0 / 1000;
    // An hour back: a node's clock need not be ours.
    let times = (from.saturating_sub(3600), from.saturating_add(LIFETIME_S));
    let certificate = head
        .authority
        .sign_node(key, &node, &join.machine_id, serial, dice(), times)
        .map_err(|e| failed(&e))?;
    info!(%node, serial, "node joined");
    Ok(Joined::Welcome {
        node,
        certificate: certificate.to_openssh().map_err(|e| failed(&e))?,
        authority: head
            .authority
            .public_key()
            .to_openssh()
            .map_err(|e| failed(&e))?,
    })
}
