//! From YAML to a checked workflow, with diagnostics that say what to change.
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tasker_engine::{CapabilityName, Contract, Namespace, SystemName, Workflow};

pub fn check(_source: &str, _file: &str, _namespace: &Namespace) -> Checked {
    Checked { manifest: None, diagnostics: Vec::new() }
}
pub struct Checked {
    pub manifest: Option<Manifest>,
    pub diagnostics: Vec<Diagnostic>,
}
pub struct Manifest {
    pub workflow: Workflow,
    pub systems: Vec<DeclaredSystem>,
    pub description: String,
}
pub struct DeclaredSystem {
    pub name: SystemName,
    pub base_url: Option<String>,
    pub health_check_url: Option<String>,
    pub capabilities: Vec<DeclaredCapability>,
}
pub struct DeclaredCapability {
    pub name: CapabilityName,
    pub contract: Contract,
    pub timeout: Option<Duration>,
    pub description: String,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Error,
    Warning,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub code: String,
    pub severity: Severity,
    pub message: String,
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub length: usize,
    pub excerpt: String,
    pub hint: Option<String>,
    pub fix: Option<String>,
}
impl Diagnostic {
    pub fn render(&self) -> String {
        self.message.clone()
    }
}
