//! Every refusal and failure: one sentence with object, reason and remedy, and an exit code.

use std::fmt;

use keys::Denial;

/// Which exit code it ends with (`product.md` §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1: the operation failed.
    Failed,
    /// 2: the line or its values are wrong.
    Usage,
    /// 3
    NotFound,
    /// 4
    Denied,
    /// 75: try again.
    Busy,
    /// 125: river's own failure inside `run`, `wait` and `logs -f`.
    River,
}

impl Kind {
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Denied => 4,
            Self::Busy => 75,
            Self::River => 125,
        }
    }
}

/// What went wrong, for a person. Foreign text in it is escaped when it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// Object and reason, no full stop: `task-17: no such task`.
    pub sentence: String,
    /// What to do or type instead.
    pub hint: Option<String>,
}

impl Failure {
    #[must_use]
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
            hint: None,
        }
    }

    #[must_use]
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::new(Kind::Usage, sentence)
    }

    #[must_use]
    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, sentence)
    }

    /// `object` is what was asked for, as the person would say it: `task-17`, `a mount`.
    #[must_use]
    pub fn denied(object: impl fmt::Display, denial: &Denial) -> Self {
        Self::new(
            Kind::Denied,
            format!("{object}: permission denied, {denial}"),
        )
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of this line of a batch.
    #[must_use]
    pub fn of_line(self, number: u64) -> Self {
        Self {
            sentence: format!("line {number}: {}", self.sentence),
            ..self
        }
    }
}
