//! Names of boxes stand in `Host` lines: none may lead away from where it led before.

use cluster::Vps;

use super::*;
use crate::queries::vps::{hosts, live};

/// A gateway that people reach as `gw.example.org`, and a box of a time when all names would do.
fn with_old_box(name: &str) -> State {
    let mut old = state();
    let spec = TaskSpec {
        vps: Some(Vps { keys: Vec::new() }),
        ..TaskSpec::of(Vec::new())
    };
    change(&mut old, "bob", Role::User, submit(spec)).unwrap();
    let tasks = old.tasks().map(|task| {
        let name = name.parse().unwrap();
        Arc::new(Task {
            name,
            ..(**task).clone()
        })
    });
    let settings = Settings {
        address: ("gw.example.org".to_owned(), 22),
        ..Settings::default()
    };
    let (directory, nodes) = ((*old.directory).clone(), old.nodes().cloned().collect());
    let tasks = tasks.collect();
    State::load(
        settings,
        old.counters,
        directory,
        nodes,
        tasks,
        Timestamp(0),
    )
}

#[test]
fn an_old_box_with_a_name_of_the_gateway_or_of_a_host_has_its_number_alone() {
    for name in [
        "river",
        "River",
        "localhost",
        "gateway",
        "gw",
        "gw.example.org",
        "github.com",
    ] {
        let state = with_old_box(name);
        let lines = hosts(&state, live(&state));
        assert_eq!(lines, "Host vps-1\n  User vps-1\n", "{name}");
    }
    let state = with_old_box("lab");
    let lines = hosts(&state, live(&state));
    assert_eq!(lines, "Host lab vps-1\n  User vps-1\n");
}

#[test]
fn no_box_gets_the_name_of_the_gateway() {
    let mut state = with_old_box("lab");
    for name in ["gw", "GW", "river", "gw.example.org"] {
        let rename = Change::VpsRename {
            vps: shell::command::TaskRef::vps("lab"),
            name: name.parse().unwrap(),
        };
        let refused = change(&mut state, "bob", Role::User, rename).unwrap_err();
        assert!(
            refused.sentence.starts_with(&format!("{name}: ")),
            "{refused:?}"
        );
    }
}
