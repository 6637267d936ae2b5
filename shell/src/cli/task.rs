//! `task …`

use clap::{Args, Parser, Subcommand};
use cluster::task::limits;
use cluster::{EngineKind, Image, Mount, Stdin, TaskName, TaskSpec, TaskState};
use keys::{NodeName, UserName};

use super::{Listing, values};
use crate::Failure;
use crate::command::{Attach, Change, Command, LogStream, Logs, Query, Submit, TaskRef};

#[derive(Subcommand)]
pub(super) enum TaskVerb {
    /// Queue a task and print its id
    #[command(
        after_help = "Examples:\n  task submit -c 4 -m 8G -- python train.py\n  task submit --stdin -- sort < data.txt\n  task submit --batch < specs.txt\n  task submit --batch --each < many.txt"
    )]
    Submit(Submission),
    /// Run a task with its input, output, signals and exit code here
    #[command(
        after_help = "Examples:\n  task run -- echo hello\n  \"task run -- sh -c 'make && ./test'\"\n  task run -c 2 -- python clean.py < x.csv > y.csv"
    )]
    Run(Submission),
    /// Your tasks that have not ended; -a also those that have
    #[command(visible_alias = "ls")]
    List(List),
    /// One or more tasks in detail
    Status {
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
        #[command(flatten)]
        _listing: Listing,
    },
    /// What a task wrote
    Logs(LogsArgs),
    /// End tasks: TERM, then KILL after a grace
    Kill {
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
    },
    /// Freeze tasks; they keep their memory and cores
    Pause {
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
    },
    /// Let paused tasks go on
    Resume {
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
    },
    /// One line for each change of state, until the end
    Watch {
        #[arg(value_name = "TASK")]
        task: String,
    },
    /// Wait for tasks to end; ends with the last one's code
    Wait {
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
        /// Give up after this time, with code 75
        #[arg(long, value_name = "TIME", value_parser = values::duration)]
        timeout: Option<u64>,
    },
    /// What a task waits for, with the numbers
    Why {
        #[arg(value_name = "TASK")]
        task: String,
    },
    /// Live output of a running task; Ctrl-C only detaches
    Attach {
        #[arg(value_name = "TASK")]
        task: String,
    },
}

#[derive(Args)]
pub(super) struct Submission {
    #[command(flatten)]
    spec: SpecArgs,
    /// Run on this node; several: one task for each
    #[arg(short, long = "target", value_name = "NODE", value_parser = values::target)]
    target: Vec<NodeName>,
    /// Read a specification a line from standard input; all are taken, or none
    #[arg(long)]
    batch: bool,
    /// With --batch: each line by itself and as it comes, without a limit, with an answer a line
    #[arg(long, requires = "batch", conflicts_with = "wait")]
    each: bool,
    /// Answer when all have ended, with the last one's code
    #[arg(long)]
    wait: bool,
    /// The command and its words, after --
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// A line of a batch.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub(super) struct SpecLine {
    #[command(flatten)]
    spec: SpecArgs,
    #[arg(short, long = "target", value_parser = values::target)]
    target: Option<NodeName>,
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// What tasks and boxes that stay have in common.
#[derive(Args)]
pub(super) struct BoxArgs {
    /// Cores; 0: no limit
    #[arg(short, long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(limits::CORES)))]
    cores: u32,
    /// Memory, such as 512M or 8G; 0: no limit
    #[arg(short, long, default_value = "0", value_name = "SIZE", value_parser = values::memory)]
    memory: u64,
    /// Image from a registry, or one the node has
    #[arg(long, value_name = "REF", value_parser = values::image, conflicts_with = "container")]
    image: Option<String>,
    /// Environment or image that the node has
    #[arg(long, value_name = "ENV", value_parser = values::image)]
    container: Option<String>,
    /// Variable of the task's environment; repeatable
    #[arg(short, long, value_name = "K=V", value_parser = values::variable)]
    env: Vec<(String, String)>,
    /// Name, unique among live tasks
    #[arg(long, value_name = "NAME")]
    name: Option<TaskName>,
    /// Path of the node, for operators; repeatable
    #[arg(long, value_name = "SRC:DST[:ro]", value_parser = values::mount)]
    mount: Vec<Mount>,
    /// A container with all rights, for operators
    #[arg(long)]
    privileged: bool,
    /// A root file system that cannot be written; /tmp is in memory, 256 MiB
    #[arg(long)]
    read_only: bool,
    /// The same key again gives the same task
    #[arg(long, value_name = "TEXT", value_parser = values::key)]
    key: Option<String>,
    /// docker or process
    #[arg(long, value_name = "ENGINE", value_parser = values::backend)]
    backend: Option<EngineKind>,
}

#[derive(Args)]
struct SpecArgs {
    #[command(flatten)]
    common: BoxArgs,
    /// Directory to start in
    #[arg(short = 'C', long, value_name = "DIR", value_parser = values::path)]
    workdir: Option<String>,
    /// Take standard input to the end before the task is queued
    #[arg(long)]
    stdin: bool,
    /// TERM after this time, then KILL
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    time_limit: Option<u64>,
    /// Start again after a failure, so many times
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(limits::RETRIES)))]
    retries: u32,
    /// Start again when its node is lost
    #[arg(long)]
    retry_on_lost: bool,
    /// -100 to 100, higher is sooner; above 0 for operators
    #[arg(long, default_value_t = 0, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(i32).range(-100..=100))]
    priority: i32,
}

#[derive(Args)]
pub(super) struct List {
    /// Ended ones too
    #[arg(short, long)]
    all: bool,
    /// Of everybody, for operators
    #[arg(short = 'A', long)]
    everyone: bool,
    /// In this state only
    #[arg(long, value_name = "STATE", value_parser = values::state)]
    state: Option<TaskState>,
    /// On this node only
    #[arg(short = 't', long, value_name = "NODE")]
    node: Option<NodeName>,
    /// Of this account only
    #[arg(long, value_name = "NAME")]
    owner: Option<UserName>,
    /// With names that begin so
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// How many at most
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    _listing: Listing,
}

#[derive(Args)]
pub(super) struct LogsArgs {
    #[arg(value_name = "TASK")]
    task: String,
    /// The last lines only
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u64>,
    /// Standard error only, on standard output
    #[arg(long)]
    stderr: bool,
    /// Go on until the task ends; ends with its code
    #[arg(short, long)]
    follow: bool,
}

impl BoxArgs {
    /// As asked for, within its limits.
    pub(super) fn spec(
        self,
        command: Vec<String>,
        target: Option<NodeName>,
    ) -> Result<TaskSpec, Failure> {
        if command.iter().any(|word| word.contains('\0')) || command.len() > limits::WORDS {
            let sentence = format!(
                "a command has at most {} words, and no NUL in them",
                limits::WORDS
            );
            return Err(Failure::usage(sentence).hint("put long lists into a file or --stdin"));
        }
        if self.env.len() > limits::ENV || self.mount.len() > limits::MOUNTS {
            let sentence = format!(
                "at most {} variables and {} mounts",
                limits::ENV,
                limits::MOUNTS
            );
            return Err(Failure::usage(sentence).hint("put them into a file of the image"));
        }
        let image = match (self.image, self.container) {
            (Some(image), _) => Image::Reference(image),
            (None, Some(environment)) => Image::Environment(environment),
            (None, None) => Image::Default,
        };
        Ok(TaskSpec {
            name: self.name,
            target,
            cores: self.cores,
            memory: self.memory,
            image,
            env: self.env.into_iter().collect(),
            mounts: self.mount,
            privileged: self.privileged,
            read_only: self.read_only,
            key: self.key,
            backend: self.backend,
            ..TaskSpec::of(command)
        })
    }
}

impl SpecArgs {
    fn spec(
        self,
        command: Vec<String>,
        target: Option<NodeName>,
        stdin: Stdin,
    ) -> Result<TaskSpec, Failure> {
        if command.first().is_none_or(String::is_empty) {
            return Err(Failure::usage("the command is missing")
                .hint("put it after --, such as: task run -- echo hello"));
        }
        Ok(TaskSpec {
            workdir: self.workdir,
            stdin,
            time_limit_ms: self.time_limit,
            retries: self.retries,
            retry_on_lost: self.retry_on_lost,
            priority: self.priority,
            ..self.common.spec(command, target)?
        })
    }
}

impl SpecLine {
    pub(super) fn spec(self) -> Result<TaskSpec, Failure> {
        if self.spec.stdin {
            return Err(Failure::usage("--stdin: a batch is standard input itself")
                .hint("submit a task with input by itself"));
        }
        self.spec.spec(self.command, self.target, Stdin::Empty)
    }
}

impl Submission {
    /// `otherwise`: where input comes from without `--stdin`.
    fn submit(self, otherwise: Stdin) -> Result<Submit, Failure> {
        let stdin = if self.spec.stdin {
            Stdin::Spooled
        } else {
            otherwise
        };
        let wait = self.wait;
        if self.batch {
            if self.spec.stdin || !self.command.is_empty() || otherwise == Stdin::Live {
                return Err(
                    Failure::usage("--batch reads whole specifications, one a line")
                        .hint("task submit --batch < specs.txt"),
                );
            }
            return Ok(Submit {
                wait,
                batch: true,
                each: self.each,
                ..Submit::default()
            });
        }
        if stdin == Stdin::Live && (self.spec.retries > 0 || self.spec.retry_on_lost) {
            return Err(
                Failure::usage("--retries: live input cannot be sent a second time")
                    .hint("add --stdin: it is taken to the end first"),
            );
        }
        if self.target.len() > 1
            && (self.spec.common.name.is_some() || self.spec.common.key.is_some())
        {
            return Err(
                Failure::usage("--name and --key are for one task, and these are several")
                    .hint("leave them out, or give one -t"),
            );
        }
        if self.target.len() > 1 && otherwise == Stdin::Live {
            return Err(Failure::usage("-t: `task run` runs one task")
                .hint("use `task submit` for several"));
        }
        let first = self
            .spec
            .spec(self.command, self.target.first().cloned(), stdin)?;
        let others = self.target.into_iter().skip(1).map(|target| TaskSpec {
            target: Some(target),
            ..first.clone()
        });
        let mut specs: Vec<TaskSpec> = others.collect();
        specs.insert(0, first);
        Ok(Submit {
            specs,
            wait,
            ..Submit::default()
        })
    }
}

fn refs(tasks: Vec<String>) -> Vec<TaskRef> {
    tasks.into_iter().map(TaskRef::task).collect()
}

impl TaskVerb {
    pub(super) fn command(self) -> Result<Command, Failure> {
        Ok(match self {
            Self::Submit(submission) => {
                Command::Change(Change::Submit(submission.submit(Stdin::Empty)?))
            }
            Self::Run(submission) => Command::Attach(Attach::Run(submission.submit(Stdin::Live)?)),
            Self::List(list) => Command::Query(Query::TaskList {
                vps: false,
                all: list.everyone,
                ended: list.all,
                state: list.state,
                node: list.node,
                owner: list.owner,
                name: list.name,
                limit: list.limit,
            }),
            Self::Status { tasks, .. } => Command::Query(Query::TaskStatus { tasks: refs(tasks) }),
            Self::Logs(logs) => Command::Attach(Attach::Logs(Logs {
                task: TaskRef::task(logs.task),
                lines: logs.lines,
                stream: if logs.stderr {
                    LogStream::Stderr
                } else {
                    LogStream::Both
                },
                follow: logs.follow,
            })),
            Self::Kill { tasks } => Command::Change(Change::TaskKill { tasks: refs(tasks) }),
            Self::Pause { tasks } => Command::Change(Change::TaskPause { tasks: refs(tasks) }),
            Self::Resume { tasks } => Command::Change(Change::TaskResume { tasks: refs(tasks) }),
            Self::Watch { task } => Command::Attach(Attach::Watch {
                task: TaskRef::task(task),
            }),
            Self::Wait { tasks, timeout } => Command::Attach(Attach::Wait {
                tasks: refs(tasks),
                timeout_ms: timeout,
            }),
            Self::Why { task } => Command::Query(Query::TaskWhy {
                task: TaskRef::task(task),
            }),
            Self::Attach { task } => Command::Attach(Attach::Task(TaskRef::task(task))),
        })
    }
}
