//! Atomic replacement of several files.
//!
//! New files are written into a directory beside the others, the stage, and flushed. Renaming that directory to
//! [`COMMITTED`] commits them: the files are then moved to their places, by the next command if this one is killed. Any
//! other stage that is not in use is removed.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::signals::{self, Held};
use crate::{Result, fail, key};

/// The prefix of stage names. The shell script that preceded this program added six letters or digits.
const STAGE: &str = ".wizard.";
/// The stage whose files are being moved to their places.
const COMMITTED: &str = ".wizard.commit";

/// A directory for new files. Removed on drop.
pub(crate) struct Stage {
    path: PathBuf,
    /// The name of its parent directory in messages.
    shown: String,
    /// Locked while a process uses the stage.
    _lock: File,
    _held: Held,
}

impl Stage {
    /// Creates one in `parent`. Signals are held until it is dropped, and after a rename until the program ends.
    pub(crate) fn new(parent: &Path, shown: &str) -> Result<Self> {
        let held = signals::hold();
        signals::check()?;
        let cannot = |error: io::Error| {
            crate::Stop::Failed(format!(
                "cannot write to '{shown}': {error}; nothing was changed; check its permissions and the free space"
            ))
        };
        loop {
            let name = key::random::<8>()?.map(|byte| format!("{byte:02x}")).concat();
            let path = parent.join(format!("{STAGE}{name}"));
            directory(&path).map_err(cannot)?;
            // Before it is locked, another process may remove it as abandoned.
            let Ok(lock) = File::open(&path) else { continue };
            if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) || !path.exists() {
                continue;
            }
            return Ok(Self {
                path,
                shown: shown.to_owned(),
                _lock: lock,
                _held: held,
            });
        }
    }

    /// Writes a file for the path `name` of the directory.
    pub(crate) fn add(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let write = || {
            for parent in Path::new(name).ancestors().skip(1).collect::<Vec<_>>().iter().rev() {
                self.add_directory(parent)?;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(content)?;
            file.sync_all()
        };
        write().or_else(|error| {
            let shown = &self.shown;
            fail!("cannot write '{shown}/{name}': {error}; nothing was changed; check the free space")
        })
    }

    /// Creates a directory for the path `name`, if it does not exist.
    pub(crate) fn add_directory(&self, name: &Path) -> io::Result<()> {
        let path = self.path.join(name);
        if path.is_dir() { Ok(()) } else { directory(&path) }
    }

    /// Renames the stage to `path`, which must not exist or be an empty directory.
    pub(crate) fn become_directory(self, path: &Path) -> Result<()> {
        self.rename("", path)
    }

    /// Moves its file `name` to `path`.
    pub(crate) fn put(self, name: &str, path: &Path) -> Result<()> {
        self.rename(name, path)
    }

    fn rename(&self, name: &str, path: &Path) -> Result<()> {
        signals::check()?;
        if let Err(error) = flush(&self.path).and_then(|()| fs::rename(self.path.join(name), path)) {
            fail!("cannot write '{}': {error}; nothing was changed", path.display());
        }
        signals::hold_to_the_end();
        // The file is in place; an error of the flush is not worth a failure.
        let _ = path.parent().map(sync);
        Ok(())
    }

    /// Moves all files to their places in `directory`, which is the stage's parent.
    pub(crate) fn commit(self, directory: &Path) -> Result<()> {
        self.rename("", &directory.join(COMMITTED))?;
        finish(directory, &self.shown)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether a command was killed after its commit and before its end.
pub(crate) fn is_unfinished(directory: &Path) -> bool {
    directory.join(COMMITTED).exists()
}

/// Moves the remaining files of a committed stage to their places.
pub(crate) fn finish(directory: &Path, shown: &str) -> Result<()> {
    let stage = directory.join(COMMITTED);
    if !stage.exists() {
        return Ok(());
    }
    let _held = signals::hold();
    let mut names = Vec::new();
    let moved = list(&stage, Path::new(""), &mut names).and_then(|()| {
        // In the order of their dependencies: old copies first, the database last.
        names.sort_by_key(|name| (rank(name), name.clone()));
        names.iter().try_for_each(|name| {
            let path = directory.join(name);
            let parent = path.parent().unwrap_or(directory);
            if !parent.is_dir() {
                self::directory(parent)?;
            }
            fs::rename(stage.join(name), &path)?;
            sync(parent)
        })
    });
    if let Err(error) = moved.and_then(|()| fs::remove_dir_all(&stage)) {
        let stage = format!("{shown}/{COMMITTED}");
        fail!(
            "not all files could be moved ({error}); the next command tries again; files missing from '{shown}' are still in {stage}"
        );
    }
    let _ = sync(directory);
    Ok(())
}

fn rank(name: &Path) -> u8 {
    match name.parent().and_then(Path::to_str) {
        Some("old") => 0,
        Some("ca/issued") => 1,
        Some("ca") => 4,
        _ if name.extension().is_some_and(|end| end == "key") => 2,
        _ => 3,
    }
}

fn list(stage: &Path, below: &Path, names: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(stage.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(stage, &name, names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

/// Removes stages in `directory` that killed commands left behind: those that no process has locked. Outside a PKI only
/// names that this program gives are removed.
pub(crate) fn remove_abandoned(directory: &Path, is_pki: bool) {
    let owner = |path: &Path| fs::symlink_metadata(path).map(|data| data.uid()).ok();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let ours = name
            .to_str()
            .and_then(|name| name.strip_prefix(STAGE))
            .is_some_and(|name| {
                let hex = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
                hex || (is_pki
                    && name.len() == 6
                    && name != "commit"
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            });
        if ours
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && owner(&path) == owner(Path::new("/proc/self"))
            && let Ok(lock) = File::open(&path)
            && !matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
        {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Flushes a directory and those below it.
fn flush(path: &Path) -> io::Result<()> {
    sync(path)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            flush(&entry.path())?;
        }
    }
    Ok(())
}

/// Flushes a directory.
fn sync(path: &Path) -> io::Result<()> {
    // "" is the working directory.
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)?.sync_all()
}
