//! Which of the feasible nodes is best: the tightest fit, so that large tasks find room elsewhere.

use cluster::Resources;

use super::NodeView;

/// What would be left on the node: fewer free cores first, then less memory. Ties go by name, for
/// the nodes come sorted.
pub(super) fn leftover(node: &NodeView, request: Resources) -> (usize, u64) {
    (
        node.cores.len().saturating_sub(request.cores as usize),
        node.memory.saturating_sub(request.memory),
    )
}
