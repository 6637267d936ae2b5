//! `river-gateway`: flags, configuration, store, driver, listener.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use gateway::config::{Config, TEMPLATE};
use gateway::driver;
use gateway::flags::{ConfigVerb, Flags, Init, Verb};
use gateway::head::{Head, Parts, dice, now};
use gateway::ssh::keyring::{Keyring, write_private};
use gateway::state::{Effect, Settings, State};
use gateway::store::{HistoryReader, OutputStore, SpoolStore, Store};
use gateway::{boxes_file, ending, invite, listen, private, runners, sandbox, ssh, store};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags = Flags::parse();
    // What is wrong with it is said below, in words for people.
    let config = flags
        .config
        .as_deref()
        .and_then(|path| Config::read(path).ok());
    let form = config.map(|config| config.log).unwrap_or_default();
    // The door tells of strangers in few words; russh would tell of each packet.
    tunnel::log::start("river-gateway", form, "info,russh=off", None);
    std::panic::set_hook(Box::new(told));
    match run(flags) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A mistake in this program ends one task: one connection, at most. What it says may be a peer's words.
fn told(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let words = panic.payload();
    let words = words.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        place = place.unwrap_or_default(),
        words = shell::Safe(words.unwrap_or_default()).to_string(),
        "a mistake in this program: please report it"
    );
}

/// As many files as the system allows, and how many that is: each connection is one.
fn open_files() -> anyhow::Result<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(usize::try_from(hard).unwrap_or(usize::MAX))
}

#[expect(
    clippy::print_stdout,
    reason = "what was asked for goes to standard output"
)]
fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    let config = || {
        flags
            .config
            .as_deref()
            .map_or_else(|| Ok(Config::default()), Config::read)
    };
    match flags.verb.unwrap_or(Verb::Serve) {
        Verb::Init { what: Init::Config } => print!("{TEMPLATE}"),
        Verb::Init {
            what: Init::Service,
        } => print!("{}", config()?.service()),
        Verb::Config {
            what: ConfigVerb::Check { file },
        } => match Config::read(&file) {
            Ok(_) => println!("{}: good", file.display()),
            Err(error) => {
                println!("{error:#}");
                return Ok(ExitCode::from(2));
            }
        },
        Verb::Backup { to } => store::backup(&config()?.state_dir, &to)?,
        Verb::Restore { from } => {
            let restored = store::restore(&config()?.state_dir, &from, now())?;
            print!("{}", restored.told(&from));
        }
        Verb::Invite => {
            let config = config()?;
            private::take(&config.state_dir)?;
            print!("{}", invite::invite(&config.state_dir, &config)?);
        }
        Verb::Check => {
            let findings = store::check(&config()?.state_dir)?;
            print!("{}", findings.told());
            if !findings.wrong.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Verb::Serve => {
            let files = open_files()?;
            let config = config()?;
            private::take(&config.state_dir)?;
            // Counted before: what tells of them cannot be opened later.
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            sandbox::enter(&config.folders())?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build()?;
            let done = runtime.block_on(serve(config, files));
            // What still reads or checks a disk is not waited for: nothing of it was told to anybody.
            runtime.shutdown_background();
            done?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, files: usize) -> anyhow::Result<()> {
    let dir = config.state_dir.clone();
    let (mut store, loaded) = Store::open(&dir, config.keep_ended)?;
    let keyring = Keyring::open(&dir)?;
    if loaded.went_back {
        warn!(
            task = loaded.counters.task,
            "the store was put back from a copy: numbers go on beyond those that were given since"
        );
    }
    let settings = Settings {
        lost_after: Duration::from_secs(config.lost_after),
        keep_ended: config.keep_ended,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        address: (config.host(), config.listen.port()),
        config: config.show(),
        ..Settings::default()
    };
    let mut state = State::load(
        settings,
        loaded.counters,
        loaded.directory,
        loaded.nodes,
        loaded.tasks,
        now(),
    );
    // Before anybody can connect, so that whoever can finds it.
    first_invitation(&mut state, &mut store, &dir, &config, &keyring)?;
    let listener = TcpListener::from_std(listen::listen(config.listen)?)?;
    let outputs = OutputStore::open(&dir)?;
    let spools = SpoolStore::open(&dir)?;
    spools.sweep(&state.spools().map(str::to_owned).collect::<HashSet<_>>());
    let (inputs, receiver) = mpsc::channel(driver::QUEUE);
    let (snapshot, seen) = watch::channel(Arc::new(state.clone()));
    let parts = Parts {
        history: HistoryReader::open(&dir)?,
        outputs: outputs.clone(),
        spools,
        authority: keyring.authority,
        host_key: keys::public_key::fingerprint(keyring.host.public_key()),
        server: Arc::new(tunnel::ssh::server_config(vec![keyring.host])),
        login_grace: Duration::from_secs(config.login_grace),
        programs: config.programs(),
        files,
        state_dir: dir.clone(),
    };
    let head = Head::new(inputs, seen, parts);
    info!(listen = %config.listen, epoch = loaded.counters.epoch, audit = store.audit_head(), "river-gateway serves");
    let retirement =
        driver::Retirement::after(Duration::from_secs(config.keep_tasks_days * 86_400));
    tokio::spawn(expire(
        outputs,
        Duration::from_secs(config.keep_output_days * 86_400),
    ));
    tokio::spawn(runners::collect(Arc::clone(&head)));
    if !config.ssh_config_file.as_os_str().is_empty() {
        let path = config.ssh_config_file;
        tokio::spawn(boxes_file::keep(Arc::clone(&head), path));
    }
    let driving = driver::drive(
        Arc::clone(&head),
        state,
        (store, retirement),
        receiver,
        snapshot,
    );
    until_the_end(head, tokio::spawn(driving), listener, dir).await
}

/// Ends in order when asked to, or by what cannot be gone on with.
async fn until_the_end(
    head: Arc<Head>,
    mut driving: JoinHandle<anyhow::Result<()>>,
    listener: TcpListener,
    dir: PathBuf,
) -> anyhow::Result<()> {
    let mut asked = Asked::new()?;
    tokio::select! {
        ended = &mut driving => return ended?,
        damaged = look_through(dir) => return Err(damaged),
        ended = ssh::serve(Arc::clone(&head), listener) => return ended,
        () = asked.heard() => info!("river-gateway ends; what runs on the nodes goes on"),
    }
    // The port is free from here on.
    tokio::select! {
        ended = &mut driving => ended?,
        () = ending::end(&head) => Ok(()),
        () = asked.heard() => Ok(()),
    }
}

/// While nobody has an account, a one-time invitation lies in the state folder.
fn first_invitation(
    state: &mut State,
    store: &mut Store,
    dir: &Path,
    config: &Config,
    keyring: &Keyring,
) -> anyhow::Result<()> {
    let path = dir.join("invitation");
    let Some((code, effects)) = state.first_invitation(&dice(), now()) else {
        let _ = std::fs::remove_file(&path);
        return Ok(());
    };
    let records: Vec<_> = effects
        .into_iter()
        .filter_map(|effect| {
            if let Effect::Save(record) = effect {
                Some(record)
            } else {
                None
            }
        })
        .collect();
    store.commit(&records, &[])?;
    let text = invite::told(&code, config, keyring)?;
    write_private(&path, &text)?;
    warn!(
        "nobody has an account yet: {} makes the first, for one day",
        path.display()
    );
    Ok(())
}

/// Returns only when the database is damaged.
async fn look_through(dir: PathBuf) -> anyhow::Error {
    match tokio::task::spawn_blocking(move || store::look_through(&dir)).await {
        Ok(Err(damaged)) => damaged,
        Ok(Ok(())) | Err(_) => std::future::pending().await,
    }
}

async fn expire(outputs: OutputStore, age: Duration) {
    loop {
        let (store, hour) = (outputs.clone(), Duration::from_secs(3600));
        let _ = tokio::task::spawn_blocking(move || store.expire(age)).await;
        tokio::time::sleep(hour).await;
    }
}

/// Signals that ask for the end; a second one asks for it at once.
struct Asked {
    term: Signal,
    int: Signal,
}

impl Asked {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
