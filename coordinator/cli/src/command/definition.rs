//! Finds the definition that a command is about: a manifest in a file, or one that was applied.

use super::input;
use super::workflow::{parsed, rendered};
use crate::answers::WorkflowDetail;
use crate::client::Client;
use crate::console::Console;
use crate::failure::Failure;
use crate::global::Global;
use std::path::Path;
use tasker_manifest::{Manifest, Severity, check};

/// Reads and checks a manifest from a file or standard input.
///
/// # Errors
/// The file cannot be read, or the manifest has errors, which are shown.
pub(super) fn from_file(path: &str, global: &Global, console: &mut Console) -> Result<Manifest, Failure> {
    let source = input::read_text(path, console)?;
    from_source(&source, &input::name_of(path), global, console)
}

/// Checks a manifest. Warnings are left to `tasker workflow lint`.
///
/// # Errors
/// The manifest has errors, which are shown.
pub(super) fn from_source(source: &str, file: &str, global: &Global, console: &mut Console) -> Result<Manifest, Failure> {
    let checked = check(source, file, &parsed(&global.namespace)?);
    checked.manifest.ok_or_else(|| {
        let errors: Vec<_> = checked.diagnostics.into_iter().filter(|found| found.severity == Severity::Error).collect();
        console.complain(rendered(&errors).trim_end());
        Failure::Input { path: file.to_owned(), cause: "the manifest has errors".to_owned(), help: None }
    })
}

/// Reads a workflow that was applied, in one version or the current one.
///
/// # Errors
/// The server does not know it, or gives a manifest that this program does not understand.
pub(super) async fn from_server(
    name: &str,
    version: Option<&str>,
    client: &Client,
    global: &Global,
    console: &mut Console,
) -> Result<Manifest, Failure> {
    let answer = client.get(&["workflows", name]).query_if("version", version).send().await?;
    let detail: WorkflowDetail = answer.read()?;
    from_source(&detail.source, name, global, console)
}

/// Whether what was typed is a file rather than the name of a workflow.
pub(super) fn is_file(given: &str) -> bool {
    given == "-" || given.contains(['/', '.', '\\']) || Path::new(given).is_file()
}
