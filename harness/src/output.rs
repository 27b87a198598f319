//! Files are there whole or not at all: every one is written beside its place and then
//! put there, all of them only after the last has been written. A full disk leaves what
//! was there before.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use thiserror::Error;

/// Why the output cannot be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The folder cannot be made.
    #[error("cannot make the folder {folder}: {source}; choose another one with --out")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(
        "cannot write {path}: {source}; nothing was changed there. Make room, or choose another folder with --out"
    )]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes all files (name and content) into a folder, or none of them.
///
/// # Errors
/// The first one that cannot be written.
pub fn write(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<Vec<PathBuf>, OutputError> {
    make(folder)?;
    let mut ready = Vec::with_capacity(files.len());
    for (name, content) in files {
        let path = folder.join(name);
        let refuse = |source| OutputError::File { path: path.clone(), source };
        let beside = path.parent().unwrap_or(folder);
        make(beside)?;
        let mut file = NamedTempFile::new_in(beside).map_err(refuse)?;
        file.write_all(content).and_then(|()| file.flush()).map_err(refuse)?;
        file.as_file().sync_all().map_err(refuse)?;
        permit_reading(file.as_file()).map_err(refuse)?;
        ready.push((path, file));
    }
    let mut written = Vec::with_capacity(files.len());
    for (path, file) in ready {
        file.persist(&path)
            .map_err(|error| OutputError::File { path: path.clone(), source: error.error })?;
        written.push(path);
    }
    Ok(written)
}

/// Makes a folder, and those above it.
///
/// # Errors
/// The system refuses.
pub fn make(folder: &Path) -> Result<(), OutputError> {
    fs::create_dir_all(folder)
        .map_err(|source| OutputError::Folder { folder: folder.to_owned(), source })
}

/// Temporary files are for their owner's eyes only; a report is not.
#[cfg(unix)]
fn permit_reading(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn permit_reading(_: &fs::File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &str) -> (String, Vec<u8>) {
        (name.to_owned(), content.as_bytes().to_vec())
    }

    #[test]
    fn all_files_are_written_or_none_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write(folder.path(), &[file("a", "old")]).expect("there is room");
        // `a` is a file, so nothing can be written below it.
        let error = write(folder.path(), &[file("a", "new"), file("a/b", "never")])
            .expect_err("a file is no folder");
        assert!(error.to_string().contains("a"), "{error}");
        let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
        assert_eq!(left.len(), 1);
        assert_eq!(fs::read_to_string(folder.path().join("a")).expect("readable"), "old");
    }
}
