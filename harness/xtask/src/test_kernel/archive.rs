//! A cpio archive as the kernel reads it: Documentation/driver-api/early-userspace/buffer-format.rst.
//!
//! Owns the format, `newc`, and that every file's folders come before it.

use std::collections::BTreeSet;
use std::io::{self, Write};

/// S_IFDIR, S_IFREG and S_IFLNK of inode(7), each with its permissions.
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive that is being written.
pub(super) struct Archive<W> {
    out: W,
    folders: BTreeSet<String>,
    count: u32,
    position: usize,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            folders: BTreeSet::new(),
            count: 0,
            position: 0,
        }
    }

    /// Adds an empty folder, with those that it is in.
    pub(super) fn folder(&mut self, path: &str) -> io::Result<()> {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            if !path.is_empty() && self.folders.insert(path[..end].to_owned()) {
                self.entry(&path[..end], FOLDER, &[])?;
            }
        }
        Ok(())
    }

    /// Adds a file that anybody may execute.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.below_its_folder(path, FILE, content)
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.below_its_folder(path, LINK, target.as_bytes())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()
    }

    fn below_its_folder(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let path = path.trim_start_matches('/');
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder)?;
        }
        self.entry(path, mode, content)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.count += 1;
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        // Inode, mode, owner, group, links, time, size, device and special device (two numbers each), length of the
        // name, checksum.
        let fields = [self.count, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = "070701".to_owned();
        for field in fields {
            header += &format!("{field:08x}");
        }
        self.write(header.as_bytes())?;
        self.write(name.as_bytes())?;
        self.write(&[0])?;
        self.pad()?;
        self.write(content)?;
        self.pad()
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.position += octets.len();
        self.out.write_all(octets)
    }

    fn pad(&mut self) -> io::Result<()> {
        let rest = self.position.next_multiple_of(4) - self.position;
        self.write(&[0; 3][..rest])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_their_files() {
        let mut octets = Vec::new();
        let mut archive = Archive::new(&mut octets);
        archive.file("/a/b/one", b"1").unwrap();
        archive.file("a/b/two", b"22").unwrap();
        archive.link("a/three", "b/two").unwrap();
        archive.finish().unwrap();
        assert_eq!(octets.len() % 4, 0);
        let names: Vec<&str> = octets
            .split(|octet| *octet == 0)
            .filter_map(|part| std::str::from_utf8(part).ok())
            .filter_map(|part| part.find("070701").map(|at| &part[at + 110..]))
            .collect();
        assert_eq!(names, ["a", "a/b", "a/b/one", "a/b/two", "a/three", "TRAILER!!!"]);
    }
}
