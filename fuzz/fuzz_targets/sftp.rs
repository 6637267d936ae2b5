//! Requests for files, in a folder that is thrown away.
#![no_main]

use std::cell::RefCell;

use tempfile::TempDir;

thread_local! {
    /// The present folder, and how often it was used.
    static FOLDER: RefCell<Option<(TempDir, u32)>> = const { RefCell::new(None) };
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    FOLDER.with_borrow_mut(|folder| {
        let used = folder.as_ref().map_or(u32::MAX, |(_, used)| *used);
        if used > 500 {
            let fresh = tempfile::tempdir().expect("a folder");
            std::env::set_current_dir(fresh.path()).expect("that folder");
            *folder = Some((fresh, 0));
        }
        if let Some((_, used)) = folder {
            *used += 1;
        }
    });
    tunnel::properties::sftp(bytes, true);
});
