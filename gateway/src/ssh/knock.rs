//! Tries to sign in: counted, answered, and slower for who fails again and again.

use std::sync::Arc;
use std::time::Duration;

use keys::public_key::fingerprint;
use russh::keys::{Certificate, PublicKey};
use russh::server::Auth;
use russh::{MethodKind, MethodSet};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::info;
use tunnel::ssh::Terms;

use super::auth::{self, Caller};
use super::destination::Destination;
use super::door::{Place, Pulse};
use super::leash::{Cut, Leash};
use super::recall::Recall;
use super::visit::Handler;

/// Tries of one connection, of whatever kind. russh ends one after 20 rejections, and counts no key that
/// was worth signing with.
const TRIES: u32 = 32;
/// Refused tries that cost nothing: whoever has some keys tries one after the other.
const FREE: u64 = 3;
/// What each later one takes.
const LATER: Duration = Duration::from_secs(1);

/// What a connection's callbacks know of its way in.
pub(super) struct Standing {
    /// Told when somebody is known.
    pub(super) proved: Arc<Notify>,
    /// Knows who it is from then on.
    pub(super) recall: Recall,
    terms: Terms,
    pulse: Pulse,
    cut: Cut,
    /// What the pulse counts from.
    since: Instant,
    /// What a refused try takes at least.
    slowness: Duration,
    tries: u32,
}

impl Standing {
    pub(super) fn at_the_door(place: &Place, terms: Terms) -> Self {
        Self {
            proved: Arc::default(),
            recall: Recall::default(),
            terms,
            pulse: place.pulse.clone(),
            cut: place.cut.clone(),
            since: place.opened(),
            slowness: place.slowness(),
            tries: 0,
        }
    }

    /// Of a connection inside another that is known.
    pub(super) fn inside() -> Self {
        Self {
            proved: Arc::default(),
            recall: Recall::default(),
            terms: Terms::stranger(),
            pulse: Pulse::default(),
            cut: Leash::new().1,
            since: Instant::now(),
            slowness: Duration::ZERO,
            tries: 0,
        }
    }

    /// How long it lets this side wait, and what came of it.
    pub(super) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// One more; too many are the end.
    fn tries(&mut self) -> Result<(), russh::Error> {
        self.tries += 1;
        if self.tries > TRIES {
            return Err(russh::Error::Disconnect);
        }
        Ok(())
    }

    /// A key was refused: waits as long as that takes, but not longer than the connection lasts.
    async fn fails(&mut self) -> Result<(), russh::Error> {
        self.pulse.fails(self.since.elapsed());
        let wait = delay(self.pulse.refused(), self.slowness);
        if wait.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.cut.cut() => Err(russh::Error::Disconnect),
        }
    }

    /// Is it the connection of a person or a runner, who may stay?
    fn becomes(&self, caller: &Caller) {
        match caller {
            Caller::Person { .. } => {
                self.terms.be_person();
                self.proved.notify_one();
            }
            Caller::Node { .. } => {
                self.terms.be_link();
                self.proved.notify_one();
            }
            Caller::Newcomer { .. } => {
                self.terms.be_person();
                self.pulse.is_known();
            }
            // Anybody has a key to join with: until the token is seen it is a stranger's.
            Caller::Joining { .. } => {}
        }
    }
}

/// How long the answer to this refused try takes.
fn delay(refused: u64, slowness: Duration) -> Duration {
    if refused > FREE {
        slowness.max(LATER)
    } else {
        slowness
    }
}

impl Handler {
    /// Asks for what there is, or tries what there is not.
    pub(super) async fn tries_nothing(&mut self, free: bool) -> Result<Auth, russh::Error> {
        self.standing.tries()?;
        if !free {
            self.standing.fails().await?;
        }
        Ok(refused())
    }

    /// Pure, but for the count: an offered key is not proved to be theirs.
    pub(super) async fn offers(
        &mut self,
        login: &str,
        key: &PublicKey,
    ) -> Result<Auth, russh::Error> {
        self.standing.tries()?;
        let first = self.remember(key);
        // "Worth signing", no more: nobody should touch a token for a key that is unknown here.
        // A node's certificate is judged when it is proved; it is offered as its plain key.
        let to = self.destination(login);
        let (is_node, joins) = (to == Destination::Node, to == Destination::Join);
        if is_node || auth::by_key(&self.head, login, to, key).is_some() {
            if !first {
                // What was signed meanwhile was no good: russh does not tell.
                self.standing.fails().await?;
            } else if !is_node && !joins {
                self.standing.pulse.is_known();
            }
            return Ok(Auth::Accept);
        }
        self.standing.fails().await?;
        Ok(refused())
    }

    pub(super) async fn proves_key(
        &mut self,
        login: &str,
        key: &PublicKey,
    ) -> Result<Auth, russh::Error> {
        self.remember(key);
        let caller = auth::by_key(&self.head, login, self.destination(login), key);
        self.accept(caller, login).await
    }

    pub(super) async fn proves_certificate(
        &mut self,
        login: &str,
        certificate: &Certificate,
    ) -> Result<Auth, russh::Error> {
        // A node has a connection of its own, not one inside another's.
        let outside = self.destination(login) == Destination::Node;
        let caller = match auth::by_certificate(&self.head, login, certificate) {
            Ok(caller) => Some(caller).filter(|_| outside),
            Err(why) => {
                self.standing.pulse.because(why);
                None
            }
        };
        self.accept(caller, login).await
    }

    /// No question: only a place where every client shows text before it gives up.
    pub(super) fn asks_why(&mut self, login: &str) -> Result<Auth, russh::Error> {
        self.standing.tries()?;
        if self.told {
            // Told once: a client would ask three times.
            return Ok(Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(&[MethodKind::PublicKey][..])),
                partial_success: false,
            });
        }
        self.told = true;
        Ok(Auth::Partial {
            name: "".into(),
            instructions: auth::refusal(login, &self.offered).into(),
            prompts: (&[][..]).into(),
        })
    }

    /// `false`: it was offered before.
    fn remember(&mut self, key: &PublicKey) -> bool {
        let print = fingerprint(key);
        let first = !self.offered.contains(&print);
        if first {
            self.offered.push(print);
        }
        first
    }

    async fn accept(&mut self, caller: Option<Caller>, login: &str) -> Result<Auth, russh::Error> {
        let Some(caller) = caller else {
            self.standing.fails().await?;
            return Ok(refused());
        };
        match &caller {
            Caller::Person { actor, .. } => {
                info!(source = %self.source, account = %actor.account, "signed in")
            }
            Caller::Node { node, .. } => info!(source = %self.source, %node, "runner signed in"),
            // The login name is a secret here.
            Caller::Newcomer { .. } => info!(source = %self.source, "an invitation is used"),
            Caller::Joining { .. } => info!(source = %self.source, login, "a runner joins"),
        }
        if let Caller::Person { actor, destination } = &caller {
            self.standing.recall.is(actor, destination, &self.head);
        }
        self.standing.becomes(&caller);
        self.caller = Some(caller);
        Ok(Auth::Accept)
    }
}

/// The next try may be another key, or the question that tells why.
fn refused() -> Auth {
    let methods = MethodSet::from(&[MethodKind::PublicKey, MethodKind::KeyboardInteractive][..]);
    Auth::Reject {
        proceed_with_methods: Some(methods),
        partial_success: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_wrong_keys_cost_nothing_and_an_address_that_fails_on_and_on_waits_from_the_first() {
        let slow = Duration::from_secs(4);
        assert_eq!(delay(1, Duration::ZERO), Duration::ZERO);
        assert_eq!(delay(FREE, Duration::ZERO), Duration::ZERO);
        assert_eq!(delay(FREE + 1, Duration::ZERO), LATER);
        assert_eq!(delay(1, slow), slow);
        assert_eq!(delay(20, slow), slow);
    }

    #[tokio::test]
    async fn thirty_two_tries_are_the_end_and_a_cut_ends_a_wait() {
        let mut standing = Standing::inside();
        assert!((0..TRIES).all(|_| standing.tries().is_ok()));
        assert!(standing.tries().is_err());

        let (leash, cut) = Leash::new();
        let mut standing = Standing {
            cut,
            slowness: Duration::from_secs(3600),
            ..Standing::inside()
        };
        let (failed, ()) = tokio::join!(standing.fails(), async { leash.cut() });
        assert!(failed.is_err());
        assert_eq!(standing.pulse.refused(), 1);
    }

    #[test]
    fn a_runner_is_given_up_after_45_seconds_of_silence_and_a_person_after_90() {
        let standing = Standing::inside();
        let node = "n1".parse().unwrap();
        standing.becomes(&Caller::Node { node, serial: 1 });
        assert_eq!(standing.terms.silence(), Some(Duration::from_secs(45)));
        let code = "secret".to_owned();
        let line =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        let key = keys::AccountKeyLine::parse(line).unwrap();
        standing.becomes(&Caller::Newcomer { code, key });
        assert_eq!(standing.terms.silence(), Some(Duration::from_secs(90)));
    }
}
