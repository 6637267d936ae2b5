//! What people type: as `gateway/src/console/` and `gateway/src/dispatch.rs` do it, without a channel.

use gateway::state::{Answer, Input, Ticket};
use gateway::{dispatch, permission, queries};
use keys::{Actor, Role};
use shell::command::TaskRef;
use shell::{Attach, Change, Command, Failure, Format, Reply, Request, View};

use crate::story::Story;

/// A reply, or how the tasks ended that were waited for.
type Said = (String, String, u8);

impl Story {
    /// `prompt`: who, and with a terminal its columns: `bob[80]`.
    pub(crate) fn types(&mut self, prompt: &str, line: &str, input: &str) -> Vec<String> {
        let (who, width) = match prompt.split_once('[') {
            Some((who, width)) => (who, width.trim_end_matches(']').parse().unwrap()),
            None => (prompt, 0),
        };
        let mut view = View {
            format: Format::Text,
            quiet: false,
            pty: width > 0,
            width,
            now: self.cluster().now,
        };
        let said = match shell::parse(line) {
            Ok(request) => {
                (view.format, view.quiet) = (request.format, request.quiet);
                let actor = Self::actor(who);
                self.request(actor, request, input, &view)
            }
            Err(failure) => {
                if shell::wants_json(line) {
                    view.format = Format::Json;
                }
                Err(failure)
            }
        };
        let (stdout, stderr, code) = said.unwrap_or_else(|failure| {
            let text = shell::render_failure(&failure, &view);
            (String::new(), text, failure.kind.code())
        });
        let mut lines = prefixed("|", &stdout);
        lines.extend(prefixed("!", &stderr));
        if code > 0 {
            lines.push(format!("= {code}"));
        }
        lines
    }

    fn actor(who: &str) -> Actor {
        Actor {
            account: who.parse().unwrap(),
            role: Role::User,
            proof: format!("SHA256:{who}"),
        }
    }

    /// Somebody who may invite nodes.
    pub(crate) fn operator(&mut self) -> Actor {
        let directory = self.cluster().state.directory();
        let mut accounts = directory.accounts();
        let found = accounts.find(|account| account.role >= Role::Operator);
        let who = found.unwrap().name.to_string();
        Self::actor(&who)
    }

    fn request(
        &mut self,
        actor: Actor,
        request: Request,
        input: &str,
        view: &View,
    ) -> Result<Said, Failure> {
        assert!(!request.watch, "nobody watches here");
        let reply = match request.command {
            Command::Query(query) => {
                let cluster = self.cluster();
                let actor = dispatch::known(&cluster.state, &actor)?;
                let (state, disk) = (&cluster.state, &cluster.disk);
                let answer = queries::answer(state, disk, &actor, &query, cluster.now);
                self.audited(&actor, dispatch::query_label(&query), answer)?
            }
            Command::Change(Change::Submit(mut submit)) => {
                if submit.batch {
                    submit.specs = shell::parse_batch(input)?;
                }
                assert!(!submit.wait, "use task wait");
                assert!(
                    !submit.each,
                    "a turn of its own for each: tests/e2e/batch.rs"
                );
                self.change(actor, Change::Submit(submit))?
            }
            Command::Change(change) => self.change(actor, change)?,
            Command::Attach(attach) => return self.attach(&actor, attach),
        };
        let text = shell::render(&reply, view);
        Ok((text.stdout, text.stderr, 0))
    }

    pub(crate) fn change(&mut self, actor: Actor, change: Change) -> Result<Reply, Failure> {
        self.dice += 1;
        let dice = [self.dice; 32];
        let cluster = self.cluster();
        let actor = dispatch::known(&cluster.state, &actor)?;
        let answer = cluster.give(Input::Change {
            ticket: Ticket(1),
            actor,
            change,
            dice,
        });
        let answer = answer.unwrap()?;
        let Answer::Reply(reply) = answer else {
            panic!("{answer:?}");
        };
        Ok(reply)
    }

    /// Refusals, and of `task wait` what it says once all have ended.
    fn attach(&mut self, actor: &Actor, attach: Attach) -> Result<Said, Failure> {
        let actor = dispatch::known(&self.cluster().state, actor)?;
        let action = permission::attach_action(&attach);
        let (label, tasks): (&str, Vec<TaskRef>) = match attach {
            Attach::Run(submit) => {
                let judged = permission::judge_submit(&actor, &submit);
                self.audited(&actor, "task submit", judged)?;
                panic!("a story has no channel to run a task on: submit it");
            }
            Attach::Task(task) => ("task attach", vec![task]),
            Attach::Connect(connect) => ("vps connect", vec![connect.place]),
            Attach::Datagrams(wanted) => ("forward", vec![wanted.place]),
            Attach::Snapshot(snapshot) => ("vps snapshot", vec![snapshot.vps]),
            Attach::Bootstrap(wanted) => {
                let judged = permission::judge_bootstrap(&actor, &wanted.node);
                self.audited(&actor, "node bootstrap", judged)?;
                panic!("a story has no programs to give away");
            }
            Attach::Doctor { .. } => {
                let judged = permission::judge_doctor(&actor);
                self.audited(&actor, "doctor", judged)?;
                panic!("a story has no links to look at");
            }
            Attach::Logs(logs) => ("task logs", vec![logs.task]),
            Attach::Watch { task } => ("task watch", vec![task]),
            Attach::Wait { tasks, .. } => ("task wait", tasks),
        };
        let (mut text, mut code) = (String::new(), 0);
        for wanted in &tasks {
            let cluster = self.cluster();
            let found = queries::find(&cluster.state, &cluster.disk, &actor, action, wanted);
            let task = self.audited(&actor, label, found)?;
            assert_eq!(label, "task wait", "a story has no channel for output");
            let Some(outcome) = &task.outcome else {
                panic!("{} goes on: nothing to wait for in a story", task.id);
            };
            text.push_str(&shell::render_end(task.id, outcome));
            code = if code == 0 { outcome.code } else { code };
        }
        Ok((String::new(), text, code))
    }

    /// A refused read is in the audit log before it is answered.
    fn audited<T>(
        &mut self,
        actor: &Actor,
        label: &str,
        answer: Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Err(failure) = &answer
            && let Some(object) = dispatch::refused_object(failure)
        {
            self.cluster().give(Input::Audit {
                ticket: Ticket(1),
                account: actor.account.to_string(),
                action: label.to_owned(),
                object: object.to_owned(),
                verdict: failure.sentence.clone(),
            });
        }
        answer
    }
}

fn prefixed(mark: &str, text: &str) -> Vec<String> {
    text.lines().map(|line| format!("{mark} {line}")).collect()
}
