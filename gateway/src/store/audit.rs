//! The audit log is a chain: each row bears the SHA-256 of the row before it and of itself, so that a row that was
//! changed, dropped, swapped or put in later is seen (`river-gateway check`).

use anyhow::{Context, bail};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};

use crate::state::AuditEntry;

pub(super) type Hash = [u8; 32];

/// The newest link of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: i64,
    pub(super) hash: Hash,
}

impl Head {
    /// `number hash`, the hash in hex.
    pub(super) fn text(&self) -> String {
        let hash: String = self.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {hash}", self.number)
    }
}

/// The row of this number; none where there is none, or one of before there was a chain.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn row(db: &Connection, number: i64) -> anyhow::Result<Option<Head>> {
    let hash = db
        .prepare_cached("SELECT hash FROM audit WHERE number = ?1")?
        .query_row([number], |row| row.get::<_, Option<Vec<u8>>>(0))
        .optional()?;
    let hash = hash.flatten().and_then(|hash| hash.try_into().ok());
    Ok(hash.map(|hash| Head { number, hash }))
}

/// # Errors
/// When the store cannot be read.
pub(super) fn head(db: &Connection) -> anyhow::Result<Head> {
    let newest = db
        .query_row(
            "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get::<_, Option<Vec<u8>>>(1)?)),
        )
        .optional()?;
    let Some((number, hash)) = newest else {
        return Ok(Head::default());
    };
    // Rows of before there was a chain have none; it begins after them.
    let hash = hash.map_or(Ok(Hash::default()), |hash| hash.try_into());
    let hash = hash.ok().context("the audit log's last row")?;
    Ok(Head { number, hash })
}

/// # Errors
/// When the store cannot be written.
pub(super) fn append(
    turn: &Transaction<'_>,
    head: &Head,
    entry: &AuditEntry,
) -> anyhow::Result<Head> {
    let at = i64::try_from(entry.at.0)?;
    let next = Head {
        number: head.number + 1,
        hash: link(&head.hash, head.number + 1, at, &texts(entry)),
    };
    turn.prepare_cached(
        "INSERT INTO audit (number, at, account, action, object, verdict, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        next.number,
        at,
        entry.account,
        entry.action,
        entry.object,
        entry.verdict,
        next.hash
    ])?;
    Ok(next)
}

fn texts(entry: &AuditEntry) -> [&str; 4] {
    [&entry.account, &entry.action, &entry.object, &entry.verdict]
}

/// Lengths before texts: no two rows read the same.
fn link(before: &Hash, number: i64, at: i64, texts: &[&str; 4]) -> Hash {
    let mut sum = Sha256::new();
    sum.update(before);
    sum.update(number.to_be_bytes());
    sum.update(at.to_be_bytes());
    for text in texts {
        sum.update((text.len() as u64).to_be_bytes());
        sum.update(text);
    }
    sum.finalize().into()
}

/// Follows the chain from its begin; how many rows it has.
///
/// # Errors
/// The number of the first row that does not follow from the one before.
pub(super) fn verify(db: &Connection) -> anyhow::Result<u64> {
    let mut statement = db.prepare(
        "SELECT number, at, account, action, object, verdict, hash FROM audit ORDER BY number",
    )?;
    let mut rows = statement.query([])?;
    let (mut count, mut head) = (0, Head::default());
    let mut chained = false;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        if number != head.number + 1 {
            bail!("the audit log has no row {}", head.number + 1);
        }
        let text = |column| row.get_ref(column)?.as_str().map_err(anyhow::Error::from);
        let texts = [text(2)?, text(3)?, text(4)?, text(5)?];
        let hash = match row.get::<_, Option<Vec<u8>>>(6)? {
            None if !chained => Hash::default(),
            None => bail!("row {number} of the audit log has lost its hash"),
            Some(hash) => {
                chained = true;
                let wanted = link(&head.hash, number, row.get(1)?, &texts);
                if hash != wanted {
                    bail!("row {number} of the audit log is not as it was written");
                }
                wanted
            }
        };
        head = Head { number, hash };
        count += 1;
    }
    Ok(count)
}
