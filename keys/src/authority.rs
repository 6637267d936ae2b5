//! The gateway's authority: signs node certificates (OpenSSH PROTOCOL.certkeys).

use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::ssh_key::{Certificate, Error, LineEnding};
use russh::keys::{PrivateKey, PublicKey};

use crate::NodeName;

/// A key that signs, and nothing else.
#[derive(Clone)]
pub struct Authority(PrivateKey);

impl Authority {
    /// From 32 random bytes.
    ///
    /// # Errors
    /// Never in practice; the key library says so.
    pub fn create(seed: &[u8; 32]) -> Result<Self, Error> {
        let pair = KeypairData::from(Ed25519Keypair::from_seed(seed));
        Ok(Self(PrivateKey::new(pair, "river authority")?))
    }

    /// # Errors
    /// When the text is no OpenSSH private key.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        PrivateKey::from_openssh(pem).map(Self)
    }

    /// # Errors
    /// Never in practice; the key library says so.
    pub fn to_pem(&self) -> Result<String, Error> {
        Ok(self.0.to_openssh(LineEnding::LF)?.to_string())
    }

    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    /// Signs a node's key. The certificate's only principal is the node's name; its key id is
    /// `node NAME machine ID`. Times are seconds since the Unix epoch.
    ///
    /// # Errors
    /// When the times are upside down, or the key library fails.
    pub fn sign_node(
        &self,
        key: &PublicKey,
        node: &NodeName,
        machine_id: &str,
        serial: u64,
        nonce: [u8; 32],
        (from, until): (u64, u64),
    ) -> Result<Certificate, Error> {
        let mut builder = Builder::new(nonce, key.key_data().clone(), from, until)?;
        builder
            .serial(serial)?
            .cert_type(CertType::User)?
            .key_id(format!("node {node} machine {machine_id}"))?
            .valid_principal(node.to_string())?;
        builder.sign(&self.0)
    }
}
