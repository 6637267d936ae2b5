//! From a proved key or certificate to who stands there. An offered key proves nothing.

use keys::certificate::check_node;
use keys::{AccountKeyLine, Actor, NodeName};
use russh::keys::{Certificate, PublicKey};

use super::destination::Destination;
use super::enter;
use crate::head::{Head, now};

/// Who proved to be there. Made only after russh verified a signature.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    Person {
        actor: Actor,
        destination: Destination,
    },
    /// `invite-CODE@`: a key without an account yet.
    Newcomer { code: String, key: AccountKeyLine },
    /// `join@`: a runner's new key.
    Joining { key: PublicKey },
    Node {
        node: NodeName,
        /// Of the certificate that proved it: another may have taken its place since.
        serial: u64,
    },
}

/// For a key whose possession was proved.
pub(super) fn by_key(
    head: &Head,
    login: &str,
    destination: Destination,
    key: &PublicKey,
) -> Option<Caller> {
    match destination {
        Destination::Join => Some(Caller::Joining { key: key.clone() }),
        // Only a certificate makes a node.
        Destination::Node => None,
        Destination::Invite(code) => {
            let hash = keys::token::hash(&code);
            let state = head.state();
            state.directory().invitation(&hash, now().0)?;
            Some(Caller::Newcomer {
                code,
                key: AccountKeyLine::of(key).ok()?,
            })
        }
        destination @ (Destination::Shell | Destination::Task(_) | Destination::Vps(_)) => {
            let proof = keys::public_key::fingerprint(key);
            // A bare name is a box only to who may enter it; else it is the shell.
            let named = |login| enter::by_name(head, &proof, login).map(Destination::Vps);
            let destination = if destination == Destination::Shell {
                named(login).unwrap_or(destination)
            } else {
                destination
            };
            let known = head.state().directory().actor(&proof);
            let actor = known.or_else(|| enter::by_own_key(head, &proof, &destination))?;
            Some(Caller::Person { actor, destination })
        }
    }
}

/// For a certificate whose key's possession was proved.
///
/// # Errors
/// Why it is nobody's here, for the operator.
pub(super) fn by_certificate(
    head: &Head,
    login: &str,
    certificate: &Certificate,
) -> Result<Caller, String> {
    if Destination::of(login) != Destination::Node {
        return Err("certificates are for nodes".to_owned());
    }
    let identity = check_node(certificate, head.authority.public_key(), now().0 / 1000)
        .map_err(|why| format!("a node's certificate was refused: {why}"))?;
    let state = head.state();
    let node = state
        .node(&identity.node)
        .filter(|node| node.certificate == identity.serial);
    let node = node.ok_or_else(|| {
        let node = &identity.node;
        format!("the certificate of {node} was replaced, or the node removed")
    })?;
    Ok(Caller::Node {
        node: node.name.clone(),
        serial: identity.serial,
    })
}

/// What a person whose keys were all refused should know.
pub(super) fn refusal(login: &str, offered: &[String]) -> String {
    let keys = match offered {
        [] => "no key was offered".to_owned(),
        [one] => format!("this key signs nobody in here: {one}"),
        many => format!(
            "none of these keys signs anybody in here: {}",
            many.join(", ")
        ),
    };
    let remedy = match Destination::of(login) {
        Destination::Invite(_) => "this invitation is unknown, used or expired: ask for a new one",
        Destination::Join | Destination::Node => "this login is for runners",
        Destination::Shell | Destination::Task(_) | Destination::Vps(_) => {
            "choose another by `ssh -i FILE -o IdentitiesOnly=yes ...`, or ask an operator for an invitation"
        }
    };
    format!("river: {keys}\nriver: {remedy}\n")
}
