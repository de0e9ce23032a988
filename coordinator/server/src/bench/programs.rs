//! Where the programs are that a run may need besides this one.

use super::given::Language;
use anyhow::bail;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian puts the programs of the versions of PostgreSQL it has.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// How a worker in some language is started, besides its environment.
pub struct WorkerProgram {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// The URL of the TypeScript SDK, for `import`.
    pub sdk: Option<String>,
}

/// The directory with the newest PostgreSQL's programs.
pub fn postgres() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN_POSTGRES).into_iter().flatten().flatten();
    let numbered = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))));
    let is_there = |bin: &Path| bin.join("initdb").exists() && bin.join("postgres").exists();
    if let Some((_, bin)) = numbered.filter(|(_, bin)| is_there(bin)).max() {
        return Ok(bin);
    }
    match path().find(|bin| is_there(bin)) {
        Some(bin) => Ok(bin),
        None => bail!(
            "[bench.program_missing]: PostgreSQL's server is neither under {DEBIAN_POSTGRES} nor on PATH; install the package `postgresql`, or give a URL: --database postgres://…"
        ),
    }
}

pub fn nats_server() -> anyhow::Result<PathBuf> {
    match on_path_or_above("nats-server", ".venv/bin/nats-server") {
        Some(program) => Ok(program),
        None => bail!(
            "[bench.program_missing]: `nats-server` is neither on PATH nor in .venv/bin here or above; install it, give a URL: --nats nats://…, or use --nats embedded"
        ),
    }
}

/// What runs a worker of another language; `script` is written for it.
pub fn worker(language: Language, directory: &Path) -> anyhow::Result<WorkerProgram> {
    let write = |name: &str, text: &str| -> anyhow::Result<Vec<String>> {
        let script = directory.join(name);
        std::fs::write(&script, text)?;
        Ok(vec![script.display().to_string()])
    };
    match language {
        Language::Rust => Ok(WorkerProgram { program: std::env::current_exe()?, arguments: vec!["bench-worker".to_owned()], sdk: None }),
        Language::Python => {
            let candidates = [above(".venv/bin/python"), on_path("python3"), on_path("python")];
            match candidates.into_iter().flatten().find(|program| can(program, &["-c", "import tasker_worker"])) {
                Some(program) => Ok(WorkerProgram { program, arguments: write("noop.py", include_str!("workers/noop.py"))?, sdk: None }),
                None => bail!(
                    "[bench.program_missing]: no Python that can import `tasker_worker`: looked at .venv/bin/python here and above, and at python3 on PATH; run `make setup`, or activate an environment with the package"
                ),
            }
        }
        Language::Typescript => {
            let Some(program) = on_path("node").filter(|program| can(program, &["--version"])) else {
                bail!("[bench.program_missing]: `node` is not on PATH; install Node.js 20 or newer")
            };
            let Some(sdk) = above("worker-sdk/typescript/dist/src/index.js") else {
                bail!(
                    "[bench.program_missing]: worker-sdk/typescript/dist/src/index.js is neither here nor above; run in the repository, after `make setup` or `npm run build`"
                )
            };
            let sdk = Some(format!("file://{}", sdk.display()));
            Ok(WorkerProgram { program, arguments: write("noop.mjs", include_str!("workers/noop.mjs"))?, sdk })
        }
    }
}

/// Whether a program can do something, said by its exit code.
fn can(program: &Path, arguments: &[&str]) -> bool {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

fn path() -> impl Iterator<Item = PathBuf> {
    let text = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&text).collect::<Vec<_>>().into_iter()
}

fn on_path(name: &str) -> Option<PathBuf> {
    path().map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// A file in this directory or one above it.
fn above(name: &str) -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|directory| directory.join(name)).find(|program| program.exists())
}

fn on_path_or_above(name: &str, relative: &str) -> Option<PathBuf> {
    on_path(name).or_else(|| above(relative))
}
