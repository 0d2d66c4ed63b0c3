//! What stops a chore before its steps run. A step that fails is reported by the runner instead.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum XtaskError {
    #[error("cannot run `{command}`: {source}; is it installed and on PATH?")]
    Spawn { command: String, source: std::io::Error },
    #[error("`{command}` failed: {stderr}")]
    Metadata { command: String, stderr: String },
    #[error("`cargo metadata` printed something unexpected: {0}")]
    MetadataFormat(String),
    #[error("there is no package `{name}` in this workspace; there are: {known}")]
    UnknownPackage { name: String, known: String },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}
