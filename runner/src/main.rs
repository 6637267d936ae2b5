//! `river-runner`: flags, configuration, identity, engine, agent.

use std::io::Read;
use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use cluster::EngineKind;
use runner::agent::{Agent, Dialer, Event, dial_for_ever};
use runner::config::{Config, SERVICE, TEMPLATE};
use runner::engine::docker::{Docker, Settings};
use runner::engine::process::Process;
use runner::engine::{Engine, EngineError};
use runner::flags::{ConfigVerb, Flags, Init, Verb};
use runner::guest::{GuestEvent, Guests};
use runner::start::Starter;
use runner::turns::Turns;
use runner::{confine, disk, facts, identity, installed, overfull};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events that wait for the agent at most.
const QUEUE: usize = 256;
/// Threads beside the agent's: one, so that nobody hears a guest before its start was written down.
const WORKERS: usize = 1;
/// Longest token file.
const LONGEST_TOKEN: u64 = 1024;

fn main() -> ExitCode {
    let flags = Flags::parse();
    // What is wrong with it is said below, in words for people.
    let config = Config::read(&flags.config).ok();
    let node = config
        .as_ref()
        .and_then(|config| identity::node(&config.gateway, &config.state_dir).ok());
    let form = config.map(|config| config.log).unwrap_or_default();
    let node = node.map(|node| node.to_string());
    tunnel::log::start("river-runner", form, "info,russh=error", node);
    // The journal waits for the disk on this thread: link and guests live on another meanwhile.
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(flags)) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what was asked for goes to standard output"
)]
async fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    match flags.verb.unwrap_or(Verb::Serve) {
        Verb::Init { what: Init::Config } => print!("{TEMPLATE}"),
        Verb::Init {
            what: Init::Service,
        } => print!("{SERVICE}"),
        Verb::Config {
            what: ConfigVerb::Check { file },
        } => match Config::read(&file) {
            Ok(_) => println!("{}: good", file.display()),
            Err(error) => {
                println!("{error:#}");
                return Ok(ExitCode::from(2));
            }
        },
        Verb::Join { token_file } => {
            let config = Config::read(&flags.config)?;
            let token = read_token(&token_file)?;
            let machine = facts::machine_id(&config)?;
            let node = identity::join(&config.gateway, &config.state_dir, &token, &machine).await?;
            println!("this machine is node {node} now: start river-runner");
        }
        Verb::Node => {
            let config = Config::read(&flags.config)?;
            println!("{}", identity::node(&config.gateway, &config.state_dir)?);
        }
        Verb::Serve => {
            let config = Config::read(&flags.config)?;
            let ended = match config.engine {
                EngineKind::Docker => {
                    let engine = Arc::new(Docker::new(docker(&config)?));
                    let folder = config.state_dir.join("a");
                    if let Err(error) = confine::confine(&folder) {
                        warn!(%error, "what boxes write is not nosuid, nodev and noexec");
                    }
                    let ended = serve(engine, config).await;
                    confine::release(&folder);
                    ended
                }
                EngineKind::Process => {
                    warn!("the process engine isolates nothing");
                    let folder = config.state_dir.join("a");
                    serve(Arc::new(Process::new(folder, config.first_uid)), config).await
                }
                EngineKind::Fake => {
                    anyhow::bail!("engine = \"fake\" is for tests inside the program")
                }
            };
            ended?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_token(path: &std::path::Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin()
            .take(LONGEST_TOKEN)
            .read_to_string(&mut text)?;
    } else {
        let file =
            std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        file.take(LONGEST_TOKEN).read_to_string(&mut text)?;
    }
    Ok(text)
}

fn docker(config: &Config) -> anyhow::Result<Settings> {
    Ok(Settings {
        socket: config.docker_socket.clone(),
        machine_id: facts::machine_id(config)?,
        default_image: config.default_image.clone(),
        busybox: config.busybox.clone(),
        network: config.network.clone(),
        mounts: config.mounts.clone(),
        own: vec![config.state_dir.clone()],
    })
}

async fn serve<E: Engine>(engine: Arc<E>, config: Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.guest.is_file(),
        "{} is missing: the guest's program",
        config.guest.display()
    );
    let dial = identity::load(&config.gateway, &config.state_dir)?;
    let version = loop {
        match engine.version().await {
            Ok(version) => break version,
            Err(error) => {
                warn!(%error, "waiting for the engine");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let guest = installed::keep(&config.state_dir, &config.guest)?;
    match engine.guests().await {
        Ok(used) => installed::sweep(&config.state_dir, &guest, &used),
        Err(error) => warn!(%error, "older guests' programs stay for now"),
    }
    let (events, receiver) = mpsc::channel(QUEUE);
    let (from_guests, guests_said) = mpsc::channel(QUEUE);
    let guests = Guests::new(from_guests, Arc::clone(&engine) as _);
    let starter = Arc::new(Starter {
        engine: Arc::clone(&engine),
        guests,
        link: Arc::new(RwLock::new(None)),
        guest,
        output_cap: config.output_cap_mib << 20,
        grace_ms: config.grace * 1000,
        keep_stops: config.keep_stops,
        turns: Turns::default(),
    });
    let (observations, newest) = watch::channel(None);
    let boot = facts::boot_id(&config)?;
    let agent = Agent::adopt(
        &config.state_dir,
        &boot,
        starter,
        events.clone(),
        observations,
    )
    .await?;
    let dialer = Dialer {
        config: dial,
        facts: facts::gather(&config, version)?,
        seen: agent.seen(),
    };
    tokio::spawn(overfull::watch(
        config.state_dir.join("a"),
        overfull::most(config.output_cap_mib << 20),
        newest.clone(),
        events.clone(),
    ));
    tokio::spawn(disk::watch(
        config.state_dir.clone(),
        Arc::clone(&engine),
        events.clone(),
    ));
    tokio::spawn(hear_guests(guests_said, events.clone()));
    tokio::spawn(watch_engine(engine, events.clone()));
    tokio::spawn(dial_for_ever(dialer, events, newest));
    tokio::select! {
        ended = agent.run(receiver) => ended,
        () = asked_to_end() => Ok(()),
    }
}

async fn hear_guests(mut said: mpsc::Receiver<GuestEvent>, to_agent: mpsc::Sender<Event>) {
    while let Some(said) = said.recv().await {
        if to_agent.send(Event::Guest(said)).await.is_err() {
            return;
        }
    }
}

/// How long an engine may take to say what it has; then it stands still, which is as good as down.
const ANSWER: Duration = Duration::from_secs(20);

async fn watch_engine<E: Engine>(engine: Arc<E>, to_agent: mpsc::Sender<Event>) {
    loop {
        engine.changed().await;
        let listed = tokio::time::timeout(ANSWER, engine.list()).await;
        let listed = listed.unwrap_or_else(|_| {
            let why = format!("it does not answer within {} s", ANSWER.as_secs());
            Err(EngineError::Engine(why))
        });
        if to_agent.send(Event::Listed(listed)).await.is_err() {
            return;
        }
    }
}

async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    info!("river-runner ends; its tasks go on");
}
