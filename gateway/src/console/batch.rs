//! `task submit`, with spooled input, as a batch (all or none), and with `--wait`.

use std::sync::Arc;

use cluster::{Spool, Stdin, TaskSpec};
use keys::Actor;
use keys::token;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};
use shell::command::{Format, Submit};
use shell::{Change, Failure, Kind, Reply, View};
use tunnel::ssh::Received;

use super::caller::Caller;
use super::each;
use super::input::Keyboard;
use super::serve::{answer, tasks};
use super::wait;
use crate::dispatch;
use crate::head::{Head, dice};
use crate::memory::Share;
use crate::seats::Holder;

/// Most bytes of a batch.
const LONGEST_BATCH: usize = 64 << 20;
/// Most bytes of a box's keys.
const LONGEST_KEYS: usize = 512 << 10;

pub(super) async fn submit(
    head: &Arc<Head>,
    actor: &Actor,
    submit: Submit,
    caller: &mut Caller,
    mut keyboard: Keyboard,
    view: &View,
) -> u8 {
    let waits = submit.wait;
    let terminal = caller.terminal.is_some();
    if submit.batch && submit.each {
        return match no_terminal("--batch", terminal) {
            Ok(()) => each::each(head, actor, caller, keyboard, view).await,
            Err(failure) => caller.fail(&failure, view).await,
        };
    }
    let reply = submitted(head, actor, submit, &mut keyboard, terminal).await;
    let waiting = reply.as_ref().map(tasks).unwrap_or_default();
    // For programs there is one object, at the end of all.
    let known = match &reply {
        Ok(Reply::Submitted { known, .. }) if waits && view.format == Format::Json => {
            Some(known.clone())
        }
        _ => None,
    };
    if known.is_none() {
        let code = answer(caller, reply, view).await;
        if !waits || code != 0 {
            return code;
        }
    }
    let code = wait::wait_all(head, (&waiting, None), caller, keyboard, view).await;
    if let Some(known) = known {
        let tasks = wait::latest_of(head, &waiting).await;
        let _ = answer(caller, Ok(Reply::Submitted { tasks, known }), view).await;
    }
    code
}

/// Takes what comes on standard input first; it is durable before the tasks are acknowledged.
pub(super) async fn submitted(
    head: &Arc<Head>,
    actor: &Actor,
    mut submit: Submit,
    keyboard: &mut Keyboard,
    terminal: bool,
) -> Result<Reply, Failure> {
    let mut share = head.memory.share(&actor.account);
    if submit.batch {
        no_terminal("--batch", terminal)?;
        submit.specs = specs(keyboard, &mut share).await?;
    }
    if submit.keys {
        no_terminal("--public-key-file -", terminal)?;
        let lines = text(keyboard, LONGEST_KEYS, &mut share).await?;
        let lines = lines.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<String> = keys.map(ToOwned::to_owned).collect();
        for vps in submit.specs.iter_mut().filter_map(|spec| spec.vps.as_mut()) {
            vps.keys.extend(keys.clone());
        }
    }
    let made = submit.make_key.then(own_key).transpose()?;
    if let Some((_, public)) = &made {
        for vps in submit.specs.iter_mut().filter_map(|spec| spec.vps.as_mut()) {
            vps.keys.push(public.clone());
        }
    }
    if submit.specs.iter().any(|spec| spec.stdin == Stdin::Spooled) {
        no_terminal("--stdin", terminal)?;
        // Judged before a byte is stored, and again by the driver.
        dispatch::may_submit(head, actor, &submit).await?;
        submit.spool = Some(spooled(head, actor, keyboard).await?);
    }
    let spool = submit.spool.clone();
    let reply = dispatch::change(head, actor, Change::Submit(submit)).await;
    if let (Err(_), Some(spool)) = (&reply, spool) {
        head.spools.remove(&spool.file);
    }
    match (reply, made) {
        // One that was there before has the keys that it was made with.
        (Ok(Reply::Submitted { tasks, known }), Some((private, _))) if known.is_empty() => {
            Ok(Reply::Opened { tasks, private })
        }
        (reply, _) => reply,
    }
}

/// A fresh key pair, both halves as OpenSSH writes them; the private one is kept nowhere.
fn own_key() -> Result<(String, String), Failure> {
    let made = || {
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)?;
        let private = key.to_openssh(LineEnding::LF)?.to_string();
        Ok::<_, russh::keys::Error>((private, key.public_key().to_openssh()?))
    };
    made().map_err(|error| {
        Failure::new(Kind::Failed, format!("no key could be made: {error}"))
            .hint("make one by `ssh-keygen -t ed25519`, and give --public-key-string")
    })
}

/// What a terminal sends is keys, and they have no end.
fn no_terminal(flag: &str, terminal: bool) -> Result<(), Failure> {
    if terminal {
        let sentence = format!("{flag}: standard input is a terminal here");
        return Err(Failure::usage(sentence).hint("leave out -t: ssh river task ... < FILE"));
    }
    Ok(())
}

/// All of standard input, as text.
async fn text(
    keyboard: &mut Keyboard,
    longest: usize,
    share: &mut Share,
) -> Result<String, Failure> {
    let mut text = Vec::new();
    loop {
        match keyboard.next().await {
            Received::Data(bytes) => text.extend_from_slice(&bytes),
            Received::Eof => break,
            Received::Closed => return Err(cut()),
        }
        if text.len() > longest {
            let sentence = format!("this input is above {} KiB", longest >> 10);
            return Err(Failure::usage(sentence).hint("send it in parts"));
        }
        share.grow(text.len())?;
    }
    String::from_utf8(text)
        .map_err(|_| Failure::usage("this input is not UTF-8").hint("send it as UTF-8"))
}

async fn specs(keyboard: &mut Keyboard, share: &mut Share) -> Result<Vec<TaskSpec>, Failure> {
    shell::parse_batch(&text(keyboard, LONGEST_BATCH, share).await?)
}

async fn spooled(head: &Head, actor: &Actor, keyboard: &mut Keyboard) -> Result<Spool, Failure> {
    // An open file, as a connection is.
    let seat = head.seats.take(&Holder::Account(actor.account.clone()));
    let _seat = seat.map_err(|_| {
        let sentence = format!(
            "{}: as many inputs and connections are open as may be",
            actor.account
        );
        Failure::new(Kind::Busy, sentence)
            .hint("nothing was submitted: end some of them, and try again")
    })?;
    let failed = |error: anyhow::Error| {
        let file = error.downcast_ref::<std::io::Error>();
        if file.is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull) {
            let sentence = "the disk of the gateway is full, the input was not kept";
            return Failure::new(Kind::Busy, sentence)
                .hint("an operator must make room; then try again");
        }
        Failure::new(Kind::Failed, format!("the input cannot be kept: {error:#}"))
            .hint("nothing was submitted")
    };
    let mut writer = head
        .spools
        .create(token::mint(&dice()))
        .await
        .map_err(failed)?;
    loop {
        let written = match keyboard.next().await {
            Received::Data(bytes) => writer.write(&bytes).await,
            Received::Eof => return writer.finish().await.map_err(failed),
            Received::Closed => Err(anyhow::anyhow!("it was cut")),
        };
        if let Err(error) = written {
            writer.abandon().await;
            return Err(failed(error));
        }
    }
}

fn cut() -> Failure {
    Failure::new(Kind::Failed, "the input was cut").hint("nothing was submitted")
}
