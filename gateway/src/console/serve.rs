//! From a line to what is done about it.

use std::sync::Arc;

use cluster::Task;
use keys::{AccountKeyLine, Actor, UserName, token};
use shell::command::{Connect, Datagrams, Disk, Format};
use shell::{Attach, Change, Command, Failure, Kind, Query, Rendered, Reply, Request, View};

use super::caller::Caller;
use super::input::Keyboard;
use super::{Session, batch, bootstrap, connect, logs, prompt, restore, run, snapshot, wait};
use crate::head::{Head, dice};
use crate::memory::Share;
use crate::state::{Answer, Input};
use crate::{dispatch, doctor};
use tunnel::fault::{self, Point};

/// One session of somebody known. `line`: the command; without one, the prompt or the welcome.
pub async fn serve(head: Arc<Head>, actor: Actor, line: Option<Vec<u8>>, session: Session) {
    if let Some(whole) = line.as_deref().and_then(Whole::of) {
        return match whole {
            Whole::Terminal(wanted) => connect::connect(head, actor, wanted, session).await,
            Whole::Datagrams(wanted) => connect::datagrams(head, actor, wanted, session).await,
        };
    }
    let (mut caller, inbox) = Caller::new(session);
    if head.ending.is_leaving() {
        let code = caller.restarts("nothing was done").await;
        return caller.exit(code).await;
    }
    let work = async {
        match line {
            Some(line) => {
                let keyboard = Keyboard::Channel(inbox);
                Box::pin(command(&head, &actor, &line, &mut caller, keyboard)).await
            }
            None if caller.terminal.is_some() => {
                Box::pin(prompt::prompt(&head, &actor, &mut caller, inbox)).await
            }
            None => {
                drop(inbox);
                welcome(&head, &actor, &caller).await
            }
        }
    };
    let code = tokio::select! {
        code = work => Some(code),
        () = head.ending.closing() => None,
    };
    let code = match code {
        Some(code) => code,
        None => {
            caller
                .restarts("look what was done before you type it again")
                .await
        }
    };
    caller.exit(code).await;
}

/// What takes the whole channel.
enum Whole {
    Terminal(Connect),
    Datagrams(Datagrams),
}

impl Whole {
    fn of(line: &[u8]) -> Option<Self> {
        let request = shell::parse(std::str::from_utf8(line).ok()?).ok()?;
        match request.command {
            Command::Attach(Attach::Connect(wanted)) => Some(Self::Terminal(wanted)),
            Command::Attach(Attach::Datagrams(wanted)) => Some(Self::Datagrams(wanted)),
            Command::Attach(_) | Command::Change(_) | Command::Query(_) => None,
        }
    }
}

async fn welcome(head: &Arc<Head>, actor: &Actor, caller: &Caller) -> u8 {
    let view = caller.view(Format::Text, false);
    let reply = dispatch::query(head, actor, Query::Welcome).await;
    answer(caller, reply, &view).await
}

/// One line of a person, to its exit code.
pub(super) async fn command(
    head: &Arc<Head>,
    actor: &Actor,
    line: &[u8],
    caller: &mut Caller,
    keyboard: Keyboard,
) -> u8 {
    fault::pass(Point::P1);
    let plain = caller.view(Format::Text, false);
    let Ok(line) = std::str::from_utf8(line) else {
        let failure = Failure::usage("this line is not UTF-8")
            .hint("send other bytes by --stdin, or encode them");
        return caller.fail(&failure, &plain).await;
    };
    let request = match shell::parse(line) {
        Ok(request) => request,
        Err(failure) => {
            // The words may be half read; the wish for JSON is plain to see.
            let view = if shell::wants_json(line) {
                caller.view(Format::Json, false)
            } else {
                plain
            };
            return caller.fail(&failure, &view).await;
        }
    };
    let view = caller.view(request.format, request.quiet);
    let Request { command, watch, .. } = request;
    match command {
        Command::Query(query) if watch => {
            wait::listing(head, actor, query, caller, keyboard, &view).await
        }
        Command::Query(query) => shown(head, actor, caller, query, view).await,
        Command::Change(Change::Submit(submit)) => {
            batch::submit(head, actor, submit, caller, keyboard, &view).await
        }
        Command::Change(change) => {
            answer(
                caller,
                dispatch::change(head, actor, change)
                    .await
                    .map(|reply| complete(head, reply)),
                &view,
            )
            .await
        }
        Command::Attach(attach) => attached(head, actor, attach, caller, keyboard, &view).await,
    }
}

/// A join token for people carries the host key that the runner must see.
pub(super) fn complete(head: &Head, reply: Reply) -> Reply {
    let Reply::NodeInvited {
        node,
        token: secret,
        expires,
    } = reply
    else {
        return reply;
    };
    let token = token::JoinTokenText {
        secret,
        host_key: head.host_key.clone(),
    }
    .to_string();
    Reply::NodeInvited {
        node,
        token,
        expires,
    }
}

async fn attached(
    head: &Arc<Head>,
    actor: &Actor,
    attach: Attach,
    caller: &mut Caller,
    keyboard: Keyboard,
    view: &View,
) -> u8 {
    match attach {
        Attach::Run(submit) => run::run(head, actor, submit, caller, keyboard, view).await,
        Attach::Task(task) => run::attach(head, actor, &task, caller, keyboard, view).await,
        Attach::Logs(wanted) => logs::logs(head, actor, &wanted, caller, keyboard, view).await,
        Attach::Wait { tasks, timeout_ms } => {
            wait::wait(head, actor, (&tasks, timeout_ms), caller, keyboard, view).await
        }
        Attach::Snapshot(wanted) => {
            let reply = match wanted.disk {
                Disk::Return { name } => restore::restart(head, actor, wanted.vps, name).await,
                Disk::List | Disk::Create { .. } | Disk::Restore { .. } | Disk::Delete { .. } => {
                    snapshot::snapshot(head, actor, wanted).await
                }
            };
            answer(caller, reply, view).await
        }
        Attach::Connect(wanted) => {
            let failure = Failure::usage("a terminal in a box cannot be opened from in here")
                .hint(format!("type `ssh -t river connect {}`", wanted.place.text));
            caller.fail(&failure, view).await
        }
        Attach::Datagrams(wanted) => {
            let failure = connect::by_hand(&wanted);
            caller.fail(&failure, view).await
        }
        Attach::Doctor { node } => {
            let reply = doctor::doctor(head, actor, node).await;
            let bad = reply.as_ref().is_ok_and(doctor::is_bad);
            let code = answer(caller, reply, view).await;
            code.max(u8::from(bad))
        }
        Attach::Bootstrap(wanted) => bootstrap::bootstrap(head, actor, wanted, caller, view).await,
        Attach::Watch { task } => wait::watch(head, actor, &task, caller, keyboard, view).await,
    }
}

/// What was asked for, as it is shown; a text that is long has its room until the share is dropped.
pub(super) async fn rendered(
    head: &Arc<Head>,
    actor: &Actor,
    query: Query,
    view: View,
) -> Result<(Rendered, Share), Failure> {
    let made = move |reply| shell::render(&reply, &view);
    let text = dispatch::query_as(head, actor, query, made).await?;
    let mut share = head.memory.share(&actor.account);
    share.grow(text.stdout.len())?;
    Ok((text, share))
}

async fn shown(head: &Arc<Head>, actor: &Actor, caller: &Caller, query: Query, view: View) -> u8 {
    match rendered(head, actor, query, view).await {
        Ok((text, _share)) => {
            let _ = caller.print(text.stdout).await;
            let _ = caller.say(&text.stderr).await;
            0
        }
        Err(failure) => caller.fail(&failure, &view).await,
    }
}

/// Shows a reply or a failure.
pub(super) async fn answer(caller: &Caller, reply: Result<Reply, Failure>, view: &View) -> u8 {
    match reply {
        Ok(reply) => {
            let text = shell::render(&reply, view);
            let submitted = matches!(reply, Reply::Submitted { .. });
            // Whoever does not read keeps its text, and nothing else.
            drop(reply);
            let _ = caller.print(text.stdout).await;
            let _ = caller.say(&text.stderr).await;
            if submitted {
                fault::pass(Point::P4);
            }
            0
        }
        Err(failure) => caller.fail(&failure, view).await,
    }
}

/// `invite-CODE@`: the key that signed in becomes an account. The line may name it.
pub async fn enrol(
    head: Arc<Head>,
    code: String,
    key: AccountKeyLine,
    line: Option<Vec<u8>>,
    session: Session,
) {
    let (caller, inbox) = Caller::new(session);
    drop(inbox);
    let view = caller.view(Format::Text, false);
    let code = match enrolled(&head, &code, key, line).await {
        Ok(text) => {
            let _ = caller.print(&text).await;
            0
        }
        Err(failure) => caller.fail(&failure, &view).await,
    };
    caller.exit(code).await;
}

async fn enrolled(
    head: &Head,
    code: &str,
    key: AccountKeyLine,
    line: Option<Vec<u8>>,
) -> Result<String, Failure> {
    let words = String::from_utf8(line.unwrap_or_default()).map_err(|_| {
        Failure::usage("this name is not UTF-8").hint("a name is of a-z, 0-9 and -")
    })?;
    let name: Option<UserName> = match words.trim() {
        "" => None,
        name => Some(name.parse().map_err(|bad: keys::BadName| {
            Failure::usage(format!("{name}: {bad}")).hint("such as: ssh invite-…@river alice")
        })?),
    };
    let hash = token::hash(code);
    let answer = head
        .ask(|ticket| Input::Enrol {
            ticket,
            hash,
            key,
            name,
            dice: dice(),
        })
        .await?;
    let Answer::Enrolled(account) = answer else {
        return Err(
            Failure::new(Kind::Failed, "the gateway answered something else")
                .hint("tell the operator"),
        );
    };
    Ok(format!(
        "welcome, {}: this key now signs you in as {}\n\nnext:\n  ssh river\n  ssh river task run -- echo hello\n  \
         ssh river help\n",
        account.name, account.role
    ))
}

/// Submitted tasks, for those who wait for them.
pub(super) fn tasks(reply: &Reply) -> Vec<Arc<Task>> {
    let (Reply::Submitted { tasks, .. } | Reply::Opened { tasks, .. }) = reply else {
        return Vec::new();
    };
    tasks.clone()
}
