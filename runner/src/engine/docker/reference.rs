//! Names of images as Docker reads them, and whether an image bears the one that was asked for. Pure.
//!
//! Docker finds an image by any beginning of its id too, and on a node lie images that are somebody's: disks of
//! boxes. So a tenant's word counts as a name alone, and never as one of river's own.
//! The rules are those of `reference.ParseNormalizedNamed` and `FamiliarString` (github.com/distribution/reference).

/// Snapshots of boxes: found by what restores them, and by nobody's word.
pub(super) const SNAPSHOTS: &str = "river-snapshots";
/// Images that nodes make for themselves: a registry's would be taken for them.
const OWN: &str = "river";
/// Docker's own registry, which names leave out.
const HUB: &str = "docker.io";
/// Letters of an id in full.
const ID: usize = 64;

/// An image's name in Docker's short form: `debian:12`, `registry:5000/team/x:latest`, `debian@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    repository: String,
    /// With its `:` or `@`.
    version: String,
}

impl Name {
    /// `None`: it is no image's name, or could be read as an id.
    pub(super) fn of(text: &str) -> Option<Self> {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        let last = named.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match named[last..].split_once(':') {
            Some((name, tag)) => (&named[..last + name.len()], tag),
            None => (named, "latest"),
        };
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        if !path.split('/').all(plain) || tag.is_empty() || digest.is_some_and(str::is_empty) {
            return None;
        }
        let repository = familiar(path);
        let hex = |text: &str| text.len() == ID && text.bytes().all(|b| b.is_ascii_hexdigit());
        // `sha256:1f…` finds an id by its beginning, and a name of 64 hexadecimal digits is one.
        if repository == "sha256" || hex(&repository) {
            return None;
        }
        let version = match digest {
            // Docker looks at the digest alone then.
            Some(digest) => format!("@{digest}"),
            None => format!(":{tag}"),
        };
        Some(Self {
            repository,
            version,
        })
    }

    /// Whether a tenant may have an image of this name that the node has.
    pub(super) fn may_be_used(&self) -> bool {
        !self.is_below(SNAPSHOTS)
    }

    /// Whether a registry is asked for it.
    pub(super) fn may_be_pulled(&self) -> bool {
        !self.is_below(SNAPSHOTS) && !self.is_below(OWN)
    }

    fn is_below(&self, place: &str) -> bool {
        let below = self.repository.strip_prefix(place);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Is it among the tags and digests of an image?
    pub(super) fn is_among<'a>(&self, mut names: impl Iterator<Item = &'a String>) -> bool {
        names.any(|name| Self::of(name).as_ref() == Some(self))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.repository, self.version)
    }
}

/// A repository without what Docker adds.
fn familiar(path: &str) -> String {
    let rest = match path.split_once('/') {
        Some((domain, rest)) if domain == HUB || domain == "index.docker.io" => rest,
        Some((domain, _)) if is_domain(domain) => return path.to_owned(),
        Some(_) | None => path,
    };
    // Only one's own parts are `library`'s: `library/a/b` is a name of its own.
    let own = rest.strip_prefix("library/");
    let own = own.filter(|name| !name.contains('/'));
    own.unwrap_or(rest).to_owned()
}

fn is_domain(part: &str) -> bool {
    let capital = part.bytes().any(|b| b.is_ascii_uppercase());
    part.contains(['.', ':']) || part == "localhost" || capital
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &str) -> Option<String> {
        Name::of(text).map(|name| name.to_string())
    }

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "1f".repeat(32));
        let at = |name: &str| format!("{name}@{digest}");
        for (text, expected) in [
            ("debian", "debian:latest"),
            ("debian:12", "debian:12"),
            ("docker.io/debian:12", "debian:12"),
            ("docker.io/library/debian", "debian:latest"),
            ("index.docker.io/library/debian:12", "debian:12"),
            ("library/debian", "debian:latest"),
            ("team/x", "team/x:latest"),
            ("docker.io/team/x:1", "team/x:1"),
            ("library/team/x", "library/team/x:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("registry.example/team/x:1", "registry.example/team/x:1"),
            ("quay.io/library/x", "quay.io/library/x:latest"),
        ] {
            assert_eq!(short(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(short(&at("debian")), Some(at("debian")));
        assert_eq!(
            short(&at("docker.io/library/debian:12")),
            Some(at("debian"))
        );
        assert_eq!(short(&at("localhost:1/x")), Some(at("localhost:1/x")));
    }

    #[test]
    fn what_could_be_an_id_or_a_path_is_no_name() {
        let id = "1f".repeat(32);
        for text in [
            id.as_str(),
            &format!("sha256:{id}"),
            "sha256:1f0c",
            "docker.io/library/sha256:1f0c",
            "a/../../containers/x",
            "a//b",
            "a/",
            "a:",
            "a@",
        ] {
            assert_eq!(short(text), None, "{text}");
        }
        // A beginning of an id is a name without its tag.
        assert_eq!(short("1f0c").as_deref(), Some("1f0c:latest"));
    }

    #[test]
    fn rivers_own_names_are_found_by_no_spelling() {
        for text in [
            "river-snapshots/0a1b2c-42:stop-1",
            "docker.io/river-snapshots/0a1b2c-42:stop-1",
            "index.docker.io/river-snapshots/0a1b2c-42:stop-1",
            "river-snapshots:x",
            "library/river-snapshots",
        ] {
            let name = Name::of(text).unwrap();
            assert!(!name.may_be_used() && !name.may_be_pulled(), "{text}");
        }
        for text in ["river/base", "docker.io/river/base:latest", "river"] {
            let name = Name::of(text).unwrap();
            assert!(name.may_be_used() && !name.may_be_pulled(), "{text}");
        }
        for text in ["debian", "riverside/x", "registry.example/river/base"] {
            let name = Name::of(text).unwrap();
            assert!(name.may_be_used() && name.may_be_pulled(), "{text}");
        }
    }

    #[test]
    fn an_image_is_what_its_names_say() {
        let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let image = names(&["docker.io/library/debian:12", "x@sha256:ab"]);
        let bears = |text: &str| Name::of(text).unwrap().is_among(image.iter());
        assert!(bears("debian:12") && bears("docker.io/debian:12") && bears("x@sha256:ab"));
        assert!(!bears("debian") && !bears("debian@sha256:ab") && !bears("1f0c"));
    }
}
