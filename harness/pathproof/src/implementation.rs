//! Where the operator under test is.

use std::io;
use std::path::{Path, PathBuf};

/// The bundled operator's binary.
const BUNDLED: &str = "sdwan-operator";

/// There is no operator to test.
#[derive(Debug, thiserror::Error)]
pub enum ImplementationError {
    /// The file given is not there.
    #[error("find operator `{}`", path.display())]
    Given {
        /// The file given.
        path: PathBuf,
        /// The file system's answer.
        #[source]
        source: io::Error,
    },
    /// The bundled one was not built.
    #[error(
        "find the bundled operator at `{}`: build it with `cargo build --package {BUNDLED}`, or name another with --operator",
        path.display()
    )]
    Bundled {
        /// Where it should be.
        path: PathBuf,
    },
    /// The place of this program is unknown.
    #[error("find the folder of this program")]
    Itself(#[source] io::Error),
}

/// The operator given, or the bundled one, which stands beside this program.
///
/// # Errors
/// [`ImplementationError`] when there is no such file.
pub fn find(given: Option<&Path>) -> Result<PathBuf, ImplementationError> {
    if let Some(path) = given {
        let found = path.canonicalize();
        return found.map_err(|source| ImplementationError::Given {
            path: path.to_owned(),
            source,
        });
    }
    let itself = std::env::current_exe().map_err(ImplementationError::Itself)?;
    let path = itself.with_file_name(BUNDLED);
    if path.is_file() {
        Ok(path)
    } else {
        Err(ImplementationError::Bundled { path })
    }
}
