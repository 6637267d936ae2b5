//! The operator's file with a `Host` line for each box.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use crate::head::Head;
use crate::queries::vps;

/// Renews the file whenever boxes come, go or change their names.
pub async fn keep(head: Arc<Head>, path: PathBuf) {
    let mut watch = head.watch();
    let mut written = None;
    loop {
        let text = {
            let state = watch.borrow_and_update();
            vps::hosts(&state, vps::live(&state))
        };
        if written.as_ref() != Some(&text) {
            if let Err(error) = replace(&path, &text) {
                warn!(path = %path.display(), %error, "cannot write the hosts of boxes");
            }
            written = Some(text);
        }
        if watch.changed().await.is_err() {
            return;
        }
    }
}

fn replace(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)?;
    // It names boxes and no more, and everybody may include it.
    std::fs::set_permissions(&part, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    std::fs::rename(part, path)
}
