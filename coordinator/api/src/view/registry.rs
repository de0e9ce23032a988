//! Systems, capabilities and workers.

use crate::instant::{Instant, millis};
use serde::Serialize;
use serde_json::Value;
use tasker_runtime::operations::{CapabilityView, SystemView, WorkerView};
use utoipa::ToSchema;

/// A system with its live workers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SystemDetail {
    name: String,
    base_url: Option<String>,
    health_check_url: Option<String>,
    capabilities: Vec<CapabilityLine>,
    workers: Vec<WorkerDetail>,
}

/// A capability within its system.
#[derive(Debug, Serialize, ToSchema)]
struct CapabilityLine {
    name: String,
    description: String,
    /// `manifest` or `worker`: who declared it last.
    source: &'static str,
    /// The digest of its contract.
    digest: String,
}

impl SystemDetail {
    pub(crate) fn of(view: SystemView) -> Self {
        Self {
            name: view.name.to_string(),
            base_url: view.system.base_url,
            health_check_url: view.system.health_check_url,
            capabilities: view
                .system
                .capabilities
                .into_iter()
                .map(|(name, capability)| CapabilityLine {
                    name: name.to_string(),
                    description: capability.description,
                    source: capability.source.as_str(),
                    digest: capability.digest.to_string(),
                })
                .collect(),
            workers: view.workers.into_iter().map(WorkerDetail::of).collect(),
        }
    }
}

/// A capability with its contract and what is waiting for it. What only a declaration can tell is null if nobody declared it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CapabilityDetail {
    system: String,
    name: String,
    description: Option<String>,
    /// JSON Schemas: `input` and `result` or null, `errors` by code.
    contract: Option<Value>,
    /// The digest of the contract.
    digest: Option<String>,
    /// `manifest` or `worker`: who declared it last.
    source: Option<&'static str>,
    declared_at: Option<Instant>,
    /// The running timeout its author asks for.
    timeout_ms: Option<u64>,
    /// How many live workers offer it.
    workers: usize,
    /// How many steps wait for it.
    waiting: usize,
    /// Since when the oldest of them waits.
    oldest_waiting: Option<Instant>,
}

impl CapabilityDetail {
    pub(crate) fn of(view: CapabilityView) -> Self {
        let declared = view.capability.as_ref();
        Self {
            system: view.system.to_string(),
            name: view.name.to_string(),
            description: declared.map(|capability| capability.description.clone()),
            contract: declared.map(|capability| capability.contract.to_json()),
            digest: declared.map(|capability| capability.digest.to_string()),
            source: declared.map(|capability| capability.source.as_str()),
            declared_at: declared.map(|capability| Instant(capability.declared_at)),
            timeout_ms: declared.and_then(|capability| capability.timeout).map(millis),
            workers: view.workers,
            waiting: view.waiting,
            oldest_waiting: view.oldest_waiting.map(Instant),
        }
    }
}

/// A live worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerDetail {
    session: String,
    system: String,
    /// The build of the system.
    system_version: String,
    sdk: SdkDetail,
    host: String,
    process_id: u32,
    /// Whether it takes work.
    state: &'static str,
    capabilities: Vec<String>,
    /// How many attempts it runs at once.
    slots: u32,
    /// How many it runs now.
    running: usize,
    joined_at: Instant,
    /// How long it has been silent.
    silent_ms: u64,
}

/// The library a worker uses; empty texts if it did not say.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sdk)]
struct SdkDetail {
    name: String,
    version: String,
    language: String,
}

impl WorkerDetail {
    pub(crate) fn of(view: WorkerView) -> Self {
        Self {
            session: view.session,
            system: view.system.to_string(),
            system_version: view.system_version,
            sdk: SdkDetail { name: view.sdk.name, version: view.sdk.version, language: view.sdk.language },
            host: view.host,
            process_id: view.process_id,
            state: view.state.as_str(),
            capabilities: view.capabilities.iter().map(ToString::to_string).collect(),
            slots: view.slots,
            running: view.running,
            joined_at: Instant(view.joined_at),
            silent_ms: millis(view.silent_for),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn a_system_shows_its_capabilities_and_workers() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&SystemDetail::of(sample::system())).expect("writes"));
    }

    #[test]
    fn a_capability_that_nobody_declared_has_no_contract() {
        let [declared, undeclared] = sample::capabilities();
        insta::assert_snapshot!(serde_json::to_string_pretty(&CapabilityDetail::of(declared)).expect("writes"));
        insta::assert_snapshot!(serde_json::to_string_pretty(&CapabilityDetail::of(undeclared)).expect("writes"));
    }
}
