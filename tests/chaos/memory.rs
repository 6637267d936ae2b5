//! I6: the most memory that gateway and runners had, also those that were killed meanwhile.

use harness::process::status;

/// Of a gateway, in bytes, whatever happens to it, with 10,000 tasks in its store.
const GATEWAY: u64 = 96 << 20;
/// Of a runner.
const RUNNER: u64 = 64 << 20;

/// In bytes; 0 for what has ended.
pub(crate) fn peak(pid: u32) -> u64 {
    status(pid, "VmHWM:").unwrap_or(0)
}

/// The largest of all lives of a program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak(u64);

impl Peak {
    /// It is about to be killed, or is looked at.
    pub(crate) fn note(&mut self, pid: u32) {
        self.0 = self.0.max(peak(pid));
    }

    fn mebibytes(self) -> u64 {
        self.0 >> 20
    }
}

/// In words, what they had at most.
pub(crate) fn judge(gateway: Peak, runners: impl Iterator<Item = Peak>) -> String {
    let runner = runners.max_by_key(|peak| peak.0).unwrap_or_default();
    let (gateway_mib, runner_mib) = (gateway.mebibytes(), runner.mebibytes());
    assert!(gateway.0 > 0 && runner.0 > 0, "I6: nobody was looked at");
    assert!(
        gateway.0 <= GATEWAY,
        "I6: the gateway had {gateway_mib} MiB"
    );
    assert!(runner.0 <= RUNNER, "I6: a runner had {runner_mib} MiB");
    format!("memory {gateway_mib} and {runner_mib} MiB")
}
