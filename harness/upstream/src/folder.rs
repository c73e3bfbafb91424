//! The folder of one server.
//!
//! Invariant: it is locked as long as its owner lives; the kernel gives the lock up with the process, so what is not
//! locked belongs to nobody.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::StartError;

/// A folder that ends with its owner.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes a new one below `home`, which has nothing else in it, and removes those that nobody owns any more.
    pub(crate) fn create(home: &Path) -> io::Result<Self> {
        fs::create_dir_all(home)?;
        let home = &home.canonicalize()?;
        // Nobody takes a new folder for a left one before it is locked.
        let all = File::open(home)?;
        all.lock()?;
        for left in fs::read_dir(home)? {
            let left = left?.path();
            // That of another user stays.
            if File::open(&left).is_ok_and(|folder| folder.try_lock().is_ok()) {
                fs::remove_dir_all(&left).ok();
            }
        }
        let path = home.join(Uuid::new_v4().simple().to_string());
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::open(&path)?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, StartError> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|source| self.error(source))?;
        Ok(path)
    }

    pub(crate) fn error(&self, source: io::Error) -> StartError {
        StartError::Folder {
            folder: self.path.clone(),
            source,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner_or_when_nobody_owns_it() {
        let home = tempfile::tempdir().unwrap();
        let left = home.path().join("left");
        fs::create_dir(&left).unwrap();
        let first = Folder::create(home.path()).unwrap();
        assert!(!left.exists());
        let second = Folder::create(home.path()).unwrap();
        assert!(first.path().is_dir() && second.path().is_dir());
        drop(first);
        let names: Vec<_> = fs::read_dir(home.path()).unwrap().collect();
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].as_ref().unwrap().path(), second.path());
    }
}
