//! Systems, capabilities and workers.

use crate::instant::{Instant, millis};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tasker_engine::breaker_policy::BreakerPolicy;
use tasker_runtime::operations::{BreakerView, CapabilityView, SystemHealth, SystemView, WorkerView};
use utoipa::ToSchema;

/// A system with its live workers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SystemDetail {
    name: String,
    base_url: Option<String>,
    health_check_url: Option<String>,
    capabilities: Vec<CapabilityLine>,
    workers: Vec<WorkerDetail>,
    /// The build that gets a share of the tasks, if a manifest declares one.
    canary: Option<CanaryDetail>,
    /// Builds whose workers get nothing new, because an operator said so.
    drained_versions: Vec<String>,
    /// `auto`, `bus` or `http`: how its steps reach it.
    transport: &'static str,
    /// What its health check says; null if it has none.
    health: Option<HealthDetail>,
}

/// What a system's health check says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SystemHealth)]
struct HealthDetail {
    /// `unknown`, `healthy` or `unhealthy`. An unhealthy system gets no steps over HTTP.
    state: &'static str,
    /// Since when; null if nothing is known.
    since: Option<Instant>,
    /// When it was asked last.
    checked_at: Option<Instant>,
    /// What the last question found wrong, if anything.
    problem: Option<String>,
}

impl HealthDetail {
    fn of(health: SystemHealth) -> Self {
        Self {
            state: health.state.as_str(),
            since: health.since.map(Instant),
            checked_at: health.checked_at.map(Instant),
            problem: health.problem,
        }
    }
}

/// A build that is tried on a share of the tasks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Canary)]
struct CanaryDetail {
    /// Which builds: comparisons such as `>=2.0.0`.
    version: String,
    /// How many percent of the tasks go there.
    share: u8,
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
        let health = view.system.health_check_url.is_some().then(|| HealthDetail::of(view.health));
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
            canary: view.canary.map(|canary| CanaryDetail { version: canary.version().to_string(), share: canary.share() }),
            drained_versions: view.drained_versions,
            transport: view.transport.as_str(),
            health,
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
    /// What holds its steps back when it fails; null if no manifest declares one and no operator demanded anything.
    breaker: Option<BreakerDetail>,
}

/// A capability's breaker as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Breaker)]
struct BreakerDetail {
    /// `closed`, `half_open` or `open`.
    state: &'static str,
    /// Since when.
    since: Instant,
    /// How many failures count now; 0 unless it is closed.
    failures: u32,
    /// When the next probe may start; null unless it is open by itself.
    next_probe_at: Option<Instant>,
    /// What an operator demands: `auto` is nothing, `open` and `close` hold until somebody says `auto` or the coordinator starts anew.
    #[serde(rename = "override")]
    operator: &'static str,
    /// How often it has opened by itself since the coordinator started.
    opened: u64,
    /// What it follows; null if it is there for an operator's demand only.
    policy: Option<PolicyDetail>,
}

/// When a breaker opens, and what closes it again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreakerPolicy)]
struct PolicyDetail {
    /// So many failures within the window open it.
    failures: u32,
    window_ms: u64,
    /// How long it stays open the first time; doubled each time a probe fails, up to sixteen times as long.
    open_for_ms: u64,
    /// How many attempts must succeed before it closes.
    probes: u32,
}

impl BreakerDetail {
    fn of(view: BreakerView) -> Self {
        let policy = |policy: BreakerPolicy| PolicyDetail {
            failures: policy.failures(),
            window_ms: millis(policy.window()),
            open_for_ms: millis(policy.open_for()),
            probes: policy.probes(),
        };
        Self {
            state: view.state.as_str(),
            since: Instant(view.since),
            failures: view.failures,
            next_probe_at: view.next_probe_at.map(Instant),
            operator: view.operator.as_str(),
            opened: view.opened,
            policy: view.policy.map(policy),
        }
    }
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
            breaker: view.breaker.map(BreakerDetail::of),
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
    /// Where and on what it says it runs; routes go by them.
    labels: BTreeMap<String, String>,
    /// Whether it takes work.
    state: &'static str,
    /// Why it is given nothing new although it would take some: `worker` or `version` was drained by an operator.
    withheld: Option<&'static str>,
    capabilities: Vec<String>,
    /// How many slots it has: attempts that it runs at once, if each takes one.
    slots: u32,
    /// Capabilities of which an attempt takes more than one slot, and how many.
    slot_costs: BTreeMap<String, u32>,
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
            labels: view.labels,
            state: view.state.as_str(),
            withheld: view.withheld.map(|withheld| withheld.as_str()),
            capabilities: view.capabilities.iter().map(ToString::to_string).collect(),
            slots: view.slots,
            slot_costs: view.slot_costs.iter().map(|(capability, cost)| (capability.to_string(), *cost)).collect(),
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
