//! Whom the command runs as, looked up in the box's own files (passwd(5), group(5)).

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::wire::guest::GuestUser;

/// Most bytes read of /etc/passwd and /etc/group.
const LONGEST: u64 = 4 << 20;

/// A user, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) name: Option<String>,
    pub(super) home: Option<String>,
    pub(super) shell: Option<String>,
}

/// `None`: stay who we are.
pub(super) fn find(wanted: &GuestUser) -> Result<Option<User>, String> {
    match wanted {
        GuestUser::Same => Ok(None),
        GuestUser::Ids { uid, gid } => Ok(Some(User {
            uid: *uid,
            gid: *gid,
            groups: vec![*gid],
            name: None,
            home: None,
            shell: None,
        })),
        GuestUser::Image(text) => {
            image_user(text, &read("/etc/passwd"), &read("/etc/group")).map(Some)
        }
    }
}

fn read(path: &str) -> String {
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(LONGEST).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn image_user(text: &str, passwd: &str, group: &str) -> Result<User, String> {
    let (user, wanted_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entries = || {
        passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .filter(|e| e.len() >= 6)
    };
    let number = user.parse::<u32>().ok();
    let entry = entries().find(|e| match number {
        Some(number) => e[2].parse() == Ok(number),
        None => e[0] == user,
    });
    let uid = match (number, &entry) {
        (Some(number), _) => number,
        (None, Some(entry)) => entry[2]
            .parse()
            .map_err(|_| format!("the image's /etc/passwd is damaged at {user}"))?,
        (None, None) => return Err(format!("the image's user {user} is not in its /etc/passwd")),
    };
    let own_gid = entry
        .as_ref()
        .and_then(|entry| entry[3].parse().ok())
        .unwrap_or_default();
    let groups = || {
        group
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .filter(|e| e.len() >= 3)
    };
    let gid = match wanted_group {
        None => own_gid,
        Some(name) => match name.parse() {
            Ok(number) => number,
            Err(_) => groups()
                .find(|e| e[0] == name)
                .and_then(|e| e[2].parse().ok())
                .ok_or_else(|| format!("the image's group {name} is not in its /etc/group"))?,
        },
    };
    let name = entry.as_ref().map(|entry| entry[0].to_owned());
    let mut all = vec![gid];
    if let (Some(name), None) = (&name, wanted_group) {
        let member = |e: &Vec<&str>| {
            e.get(3)
                .is_some_and(|list| list.split(',').any(|m| m == name))
        };
        all.extend(
            groups()
                .filter(member)
                .filter_map(|e| e[2].parse::<u32>().ok()),
        );
    }
    Ok(User {
        uid,
        gid,
        groups: all,
        name,
        home: entry.as_ref().map(|entry| entry[5].to_owned()),
        shell: entry
            .and_then(|entry| entry.get(6).map(|shell| (*shell).to_owned()))
            .filter(|shell| !shell.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:100::/srv/app:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\nvideo:x:44:app,other\n";

    #[test]
    fn an_image_user_is_found_as_docker_finds_it() {
        let app = image_user("app", PASSWD, GROUP).unwrap();
        assert_eq!((app.uid, app.gid, app.groups), (1000, 100, vec![100, 44]));
        assert_eq!(app.home.as_deref(), Some("/srv/app"));
        assert_eq!(image_user("", PASSWD, GROUP).unwrap().uid, 0);
        let other = image_user("7:video", "", GROUP).unwrap();
        assert_eq!((other.uid, other.gid), (7, 44));
        assert!(
            image_user("nobody", PASSWD, GROUP)
                .unwrap_err()
                .contains("nobody")
        );
        assert!(image_user("app:none", PASSWD, GROUP).is_err());
    }
}
