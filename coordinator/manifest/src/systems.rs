//! Reads `systems:` and the contracts of their capabilities.

use crate::breaker;
use crate::check::{DeclaredCapability, DeclaredSystem};
use crate::codes;
use crate::fields::{Fields, entries, name, text, wrong_type};
use crate::flow;
use crate::report::{Place, Problem, Report};
use crate::schema::Schemas;
use crate::slot_cost;
use crate::timeouts::limit;
use crate::transport;
use crate::url;
use crate::yaml::{Kind, Node};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use tasker_engine::contract::ErrorContract;
use tasker_engine::flow::{CONCURRENT_MAX, CapabilityLimits};
use tasker_engine::transport::{HttpRoute, Transport};
use tasker_engine::{CapabilityName, Contract, ErrorCode};

/// The systems of a manifest, in its order.
#[derive(Default)]
pub(crate) struct Systems {
    pub list: Vec<System>,
    by_name: HashMap<String, usize>,
    /// Names that were given but refused; nothing more is said about steps that use them.
    refused: HashSet<String>,
}

/// One system and where its parts are written.
pub(crate) struct System {
    pub declared: DeclaredSystem,
    pub place: Place,
    /// Capability to its place in `declared.capabilities`.
    by_capability: HashMap<String, usize>,
    timeouts: Vec<Option<(Duration, Place)>>,
    /// Whether an address is written, also if it was refused.
    has_url: bool,
}

const FIELDS: [&str; 6] = ["base_url", "health_check_url", "transport", "canary", "rate_limit", "capabilities"];

const CAPABILITY_FIELDS: [&str; 12] = [
    "name",
    "description",
    "input",
    "result",
    "errors",
    "timeout",
    "http",
    "breaker",
    "slot_cost",
    "rate_limit",
    "max_concurrent",
    "max_backlog",
];

impl Systems {
    pub fn read(node: &Node, schemas: &mut Schemas, report: &mut Report<'_>) -> Self {
        let mut systems = Self::default();
        for (key, value) in entries(node, "`systems`", report).into_iter().flatten() {
            match name(&key.text, key.place, report) {
                Some(name) => {
                    let system = System::read(name, key.place, value, schemas, report);
                    systems.by_name.insert(key.text.clone(), systems.list.len());
                    systems.list.push(system);
                }
                None => {
                    systems.refused.insert(key.text.clone());
                }
            }
        }
        systems
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub fn was_refused(&self, name: &str) -> bool {
        self.refused.contains(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|system| system.declared.name.as_str())
    }
}

impl System {
    fn read(name: tasker_engine::SystemName, place: Place, node: &Node, schemas: &mut Schemas, report: &mut Report<'_>) -> Self {
        let declared = DeclaredSystem {
            name,
            base_url: None,
            health_check_url: None,
            transport: Transport::Auto,
            canary: None,
            rate: None,
            capabilities: Vec::new(),
        };
        let mut system = Self { declared, place, by_capability: HashMap::new(), timeouts: Vec::new(), has_url: false };
        let Some(fields) = Fields::open(node, "a system", &FIELDS, report) else {
            return system;
        };
        system.has_url = fields.get("base_url").is_some();
        system.declared.base_url = fields.get("base_url").and_then(|node| url::read(node, "`base_url`", report));
        system.declared.health_check_url = fields.get("health_check_url").and_then(|node| url::read(node, "`health_check_url`", report));
        system.declared.transport = fields.get("transport").and_then(|node| transport::read(node, report)).unwrap_or_default();
        system.declared.canary = fields.get("canary").and_then(|node| breaker::canary(node, report));
        system.declared.rate = fields.get("rate_limit").and_then(|node| flow::rate(node, report));
        system.check_transport(&fields, report);
        match fields.get("capabilities") {
            Some(Node { kind: Kind::List(items), .. }) => {
                items.iter().for_each(|item| system.read_capability(item, schemas, report));
            }
            Some(node) => wrong_type(node, "`capabilities`", "a list", report),
            None => {}
        }
        system
    }

    /// Reports what contradicts the way the system is reached.
    fn check_transport(&self, fields: &Fields<'_>, report: &mut Report<'_>) {
        if self.declared.transport != Transport::Http {
            return;
        }
        let place = fields.get("transport").map_or(self.place, |node| node.place);
        if fields.get("base_url").is_none() {
            let message = format!("system `{}` is called over HTTP, but nobody knows where", self.declared.name);
            let problem = Problem::new(&codes::TRANSPORT_WITHOUT_URL, place, message);
            report.add(problem.hint("give it a `base_url`, or leave `transport` out"));
        }
        if let Some(key) = fields.key("canary") {
            let message = format!("system `{}` is called over HTTP, so there are no workers of another version", self.declared.name);
            report.add(Problem::new(&codes::TRANSPORT_CONFLICT, key, message).hint("remove `canary`, or `transport: http`"));
        }
    }

    fn read_capability(&mut self, node: &Node, schemas: &mut Schemas, report: &mut Report<'_>) {
        let (named, fields) = match &node.kind {
            Kind::Map(_) => {
                let Some(fields) = Fields::open(node, "a capability", &CAPABILITY_FIELDS, report) else { return };
                (fields.required("name", "name it: `name: inventory.reserve`", report), Some(fields))
            }
            Kind::Text(_) => (Some(node), None),
            _ => return wrong_type(node, "a capability", "a name, or a mapping with `name`", report),
        };
        let mut contract = Contract::default();
        let (mut timeout, mut description, mut breaker, mut slot_cost) = (None, String::new(), None, None);
        let mut limits = CapabilityLimits::default();
        if let Some(fields) = &fields {
            description = fields.description(report);
            contract.input = fields.get("input").and_then(|node| schemas.read(node, "the input schema", report));
            contract.result = fields.get("result").and_then(|node| schemas.read(node, "the result schema", report));
            contract.errors = fields.get("errors").map(|node| errors(node, schemas, report)).unwrap_or_default();
            timeout = limit(fields.get("timeout"), "`timeout`", report);
            breaker = fields.get("breaker").and_then(|node| breaker::read(node, report));
            slot_cost = fields.get("slot_cost").and_then(|node| slot_cost::read(node, report));
            self.check_slot_cost(fields, report);
            limits = CapabilityLimits {
                rate: fields.get("rate_limit").and_then(|node| flow::rate(node, report)),
                max_concurrent: flow::most(fields, "max_concurrent", CONCURRENT_MAX, report),
                max_backlog: flow::most(fields, "max_backlog", flow::BACKLOG_MAX, report),
            };
        }
        let Some(named) = named else { return };
        let Some(written) = text(named, "a capability's name", report) else { return };
        let Some(name) = name::<CapabilityName>(written, named.place, report) else { return };
        if self.by_capability.contains_key(written) {
            let message = format!("system `{}` declares `{name}` twice", self.declared.name);
            report.add(Problem::new(&codes::DUPLICATE_CAPABILITY, named.place, message).hint("keep one of the two"));
            return;
        }
        let http = fields.as_ref().and_then(|fields| self.binding(fields, &name, report));
        if let (Some(route), Some(input)) = (&http, fields.as_ref().and_then(|fields| fields.get("input"))) {
            transport::check_query(route, input, report);
        }
        self.by_capability.insert(written.to_owned(), self.declared.capabilities.len());
        let plain_timeout = timeout.map(|(duration, _)| duration);
        self.declared.capabilities.push(DeclaredCapability {
            name,
            contract,
            timeout: plain_timeout,
            description,
            http,
            breaker,
            slot_cost,
            limits,
        });
        self.timeouts.push(timeout);
    }

    /// A call over HTTP takes no slot.
    fn check_slot_cost(&self, fields: &Fields<'_>, report: &mut Report<'_>) {
        let Some(place) = fields.key("slot_cost").filter(|_| self.declared.transport == Transport::Http) else { return };
        let message = format!("system `{}` is called over HTTP, so there are no slots of workers to take", self.declared.name);
        report.add(Problem::new(&codes::TRANSPORT_CONFLICT, place, message).hint("remove `slot_cost`, or `transport: http`"));
    }

    /// How a capability is asked over HTTP, if it says so; refused where that can never happen.
    fn binding(&self, fields: &Fields<'_>, capability: &CapabilityName, report: &mut Report<'_>) -> Option<HttpRoute> {
        let binding = transport::binding(fields.get("http")?, capability, report);
        let place = fields.key("http").unwrap_or(fields.mark());
        let name = &self.declared.name;
        if self.declared.transport == Transport::Bus {
            let message = format!("system `{name}` is reached over the bus alone, so `http` would never be used");
            report.add(Problem::new(&codes::TRANSPORT_CONFLICT, place, message).hint("remove `http`, or the system's `transport: bus`"));
        } else if !self.has_url {
            let message = format!("system `{name}` has no `base_url`, so `http` would never be used");
            report.add(Problem::new(&codes::TRANSPORT_WITHOUT_URL, place, message).hint("give the system a `base_url`, or remove `http`"));
        }
        binding
    }

    /// The place of a capability among those that are declared.
    pub fn find(&self, capability: &str) -> Option<usize> {
        self.by_capability.get(capability).copied()
    }

    /// A declared capability and its default running limit.
    pub fn capability(&self, place: usize) -> (&DeclaredCapability, Option<(Duration, Place)>) {
        (&self.declared.capabilities[place], self.timeouts[place])
    }
}

/// Reads `errors:`, a mapping of codes to what they carry, or a list of bare codes.
fn errors(node: &Node, schemas: &mut Schemas, report: &mut Report<'_>) -> BTreeMap<ErrorCode, ErrorContract> {
    let mut errors = BTreeMap::new();
    let count = match &node.kind {
        Kind::List(items) => {
            for item in items {
                let Some(code) = text(item, "an error code", report).and_then(|text| name::<ErrorCode>(text, item.place, report)) else {
                    continue;
                };
                if errors.contains_key(&code) {
                    let problem = Problem::new(&codes::DUPLICATE_ERROR, item.place, format!("`{code}` is listed twice"));
                    report.add(problem.hint("remove one of the two"));
                }
                errors.insert(code, ErrorContract::default());
            }
            items.len()
        }
        Kind::Map(entries) => {
            for (key, value) in entries {
                let code = name::<ErrorCode>(&key.text, key.place, report);
                let contract = error_contract(value, schemas, report);
                errors.extend(code.zip(contract));
            }
            entries.len()
        }
        _ => {
            wrong_type(node, "`errors`", "a mapping of error codes, or a list of them", report);
            0
        }
    };
    if count > Contract::ERRORS_MAX {
        let message = format!("the capability declares {count} errors; at most {} are accepted", Contract::ERRORS_MAX);
        let problem = Problem::new(&codes::TOO_MANY_ERRORS, node.mark(), message);
        report.add(problem.hint("a code is for what callers handle differently; put the rest into `details`"));
    }
    errors
}

fn error_contract(node: &Node, schemas: &mut Schemas, report: &mut Report<'_>) -> Option<ErrorContract> {
    let fields = Fields::open(node, "an error", &["description", "details"], report)?;
    let description = fields.description(report);
    let details = fields.get("details").and_then(|node| schemas.read(node, "the schema of the details", report));
    Some(ErrorContract { details, description })
}
