//! What the deploy gate says: where a manifest and the live fleet, or a worker and the applied workflows, do not fit.

use tasker_engine::TaskId;
use tasker_registry::gate::Finding;

/// One place that does not, or may not, fit, with the work it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incompatibility {
    /// Workflow, step, field and reason.
    pub finding: Finding,
    /// With what the step was compared.
    pub with: ComparedWith,
    /// Tasks in flight that still have the step before them.
    pub tasks: usize,
    /// The first of them, at most [`Incompatibility::TASKS_SHOWN`].
    pub shown: Vec<TaskId>,
}

/// Whose contract a step was compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComparedWith {
    /// What live workers announced.
    Workers {
        /// The build of one of them, as it announced it; may be empty.
        build: String,
    },
    /// What a worker announced last; none lives now.
    LastWorker,
    /// What the manifest itself declares, which others rely on.
    Manifest,
}

impl Incompatibility {
    /// The most tasks that are named; all are counted.
    pub const TASKS_SHOWN: usize = 5;
}

impl std::fmt::Display for Incompatibility {
    /// For people, in one line: the finding, whose contract it is, and the tasks in flight.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { finding, with, tasks, shown } = self;
        write!(f, "{finding}")?;
        match with {
            ComparedWith::Workers { build } if build.is_empty() => write!(f, " (live workers of `{}`)", finding.system)?,
            ComparedWith::Workers { build } => write!(f, " (workers of `{}`, build {build})", finding.system)?,
            ComparedWith::LastWorker => write!(f, " (as the last worker of `{}` announced it)", finding.system)?,
            ComparedWith::Manifest => write!(f, " (as the manifest declares `{}`)", finding.system)?,
        }
        if *tasks > 0 {
            let shown: Vec<String> = shown.iter().map(TaskId::to_string).collect();
            let more = if *tasks > shown.len() { ", …" } else { "" };
            write!(f, "; {tasks} task(s) in flight: {}{more}", shown.join(", "))?;
        }
        Ok(())
    }
}

/// An order to apply in spite of the gate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Force {
    /// Who gives it, as they say; for the log.
    pub by: String,
}

/// What becomes of a worker whose contract does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GatePolicy {
    /// It is refused.
    #[default]
    Refuse,
    /// It is admitted, and the log says what does not fit.
    Warn,
}

impl std::str::FromStr for GatePolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "warn" => Ok(Self::Warn),
            other => Err(format!("`{other}` is neither `refuse` nor `warn`")),
        }
    }
}
