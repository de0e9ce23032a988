//! Settings of `tasker server`: defaults, then the file, then the environment, then flags. Unknown keys are refused.

use crate::args::Given;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tasker_egress::{AllowList, Signer};
use tasker_engine::flow::Weight;
use tasker_engine::{Namespace, SystemName};
use tasker_runtime::operations::GatePolicy;

/// Where systems live whose secret names no namespace.
const DEFAULT_NAMESPACE: &str = "default";

/// Every setting, checked.
#[derive(Debug, Clone)]
pub struct Configuration {
    pub database_url: String,
    pub nats_url: Option<String>,
    pub nats_credentials_file: Option<PathBuf>,
    pub nats_listen: SocketAddr,
    pub nats_token: Option<String>,
    pub http_listen: SocketAddr,
    pub subject_prefix: String,
    pub otlp_endpoint: Option<String>,
    /// Where metrics are pushed; none: where traces go; `off`: nowhere.
    pub otlp_metrics_endpoint: Option<String>,
    pub otlp_metrics_period: Duration,
    pub log_level: String,
    pub heartbeat: Duration,
    pub lease: Duration,
    pub drain_timeout: Duration,
    pub active_tasks_max: usize,
    /// How often lists and searches catch up, and tasks that only wait leave the memory; zero: with each commit.
    pub sweep: Duration,
    pub peer_url: Option<String>,
    pub namespace_weights: BTreeMap<Namespace, Weight>,
    pub gate: GatePolicy,
    pub public_url: PublicUrl,
    pub egress_allow: AllowList,
    pub egress_signers: BTreeMap<(Namespace, SystemName), Signer>,
}

/// Where HTTP systems reach this coordinator to finish what they have accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicUrl {
    /// Nowhere: they must answer at once.
    None,
    /// At this URL.
    At(String),
    /// At the address on which the API listens.
    Listener,
}

/// A setting: its name in the file, its variable, its default, and what it means.
struct Setting {
    name: &'static str,
    variable: &'static str,
    default: Option<&'static str>,
    meaning: &'static str,
    secret: bool,
}

const fn setting(name: &'static str, variable: &'static str, default: Option<&'static str>, meaning: &'static str) -> Setting {
    Setting { name, variable, default, meaning, secret: false }
}

const SETTINGS: &[Setting] = &[
    Setting { secret: true, ..setting("database_url", "TASKER_DATABASE_URL", None, "sqlite:PATH or postgres://USER@HOST/DB; required") },
    Setting {
        secret: true,
        ..setting("nats_url", "TASKER_NATS_URL", None, "nats://HOST:PORT, several separated by commas; absent: the embedded listener")
    },
    setting("nats_credentials_file", "TASKER_NATS_CREDENTIALS_FILE", None, "file with NATS credentials"),
    setting("nats_listen", "TASKER_NATS_LISTEN", Some("127.0.0.1:7422"), "address of the embedded listener"),
    setting("nats_token_file", "TASKER_NATS_TOKEN_FILE", None, "file with the token that workers of the embedded listener must give"),
    setting("http_listen", "TASKER_HTTP_LISTEN", Some("127.0.0.1:7420"), "address of the HTTP API"),
    setting("subject_prefix", "TASKER_SUBJECT_PREFIX", Some("tasker"), "first words of every subject"),
    setting("otlp_endpoint", "TASKER_OTLP_ENDPOINT", None, "where traces go, over OTLP/HTTP; absent: nowhere"),
    setting(
        "otlp_metrics_endpoint",
        "TASKER_OTLP_METRICS_ENDPOINT",
        None,
        "where metrics are pushed, over OTLP/HTTP; absent: where traces go; off: nowhere",
    ),
    setting("otlp_metrics_period", "TASKER_OTLP_METRICS_PERIOD", Some("15s"), "how often metrics are pushed, 1s to 10m"),
    setting("log_level", "TASKER_LOG_LEVEL", Some("info"), "error, warn, info, debug, or a filter"),
    setting("heartbeat", "TASKER_HEARTBEAT", Some("1s"), "how often workers beat, 100ms to 60s"),
    setting("lease", "TASKER_LEASE", Some("5s"), "how long a worker may be silent, at least three heartbeats"),
    setting("drain_timeout", "TASKER_DRAIN_TIMEOUT", Some("20s"), "how long a stop waits for open attempts, 0s to 10m"),
    setting("active_tasks_max", "TASKER_ACTIVE_TASKS_MAX", Some("1000000"), "tasks active at once before submissions get 429"),
    setting("sweep", "TASKER_SWEEP", Some("1s"), "how often lists catch up and tasks that wait leave the memory, 0s (each commit) to 60s"),
    setting(
        "namespace_weights",
        "TASKER_NAMESPACE_WEIGHTS",
        None,
        "NAMESPACE=WEIGHT, several with commas: shares of 1 to 100; 1 if not named",
    ),
    setting("gate", "TASKER_GATE", Some("refuse"), "refuse or warn: a worker whose contract does not fit the applied workflows"),
    setting("peer_url", "TASKER_PEER_URL", None, "where other coordinators of the database reach this API; absent: its own address"),
    setting("public_url", "TASKER_PUBLIC_URL", None, "where HTTP systems reach this API for callbacks; absent: they must answer at once"),
    setting("egress.allow", "TASKER_EGRESS_ALLOW", None, "addresses, networks and hosts that may be called besides public ones"),
    setting(
        "egress.secrets",
        "TASKER_EGRESS_SECRETS",
        None,
        "SYSTEM=FILE or NAMESPACE/SYSTEM=FILE: secrets that sign requests to HTTP systems",
    ),
];

/// A value and where it comes from.
type Layers = BTreeMap<&'static str, (String, String)>;

impl Configuration {
    /// Reads all layers and checks the result.
    pub fn load(given: &Given) -> anyhow::Result<Self> {
        Self::from_layers(&layers(given)?)
    }

    fn from_layers(layers: &Layers) -> anyhow::Result<Self> {
        let text = |name: &str| layers.get(name).map(|(value, _)| value.clone());
        let required = |name: &str| text(name).with_context(|| missing(name));
        let file = text("nats_token_file").map(PathBuf::from);
        let nats_token = match file {
            None => None,
            Some(file) => {
                let read = std::fs::read_to_string(&file);
                Some(read.with_context(|| format!("[config.file_unreadable]: nats_token_file {}", file.display()))?.trim().to_owned())
            }
        };
        let configuration = Self {
            database_url: required("database_url")?,
            nats_url: text("nats_url"),
            nats_credentials_file: text("nats_credentials_file").map(PathBuf::from),
            nats_listen: parse(layers, "nats_listen", "an address such as 127.0.0.1:7422", |text| text.parse().ok())?,
            nats_token,
            http_listen: parse(layers, "http_listen", "an address such as 127.0.0.1:7420", |text| text.parse().ok())?,
            subject_prefix: required("subject_prefix")?,
            otlp_endpoint: text("otlp_endpoint"),
            otlp_metrics_endpoint: text("otlp_metrics_endpoint"),
            otlp_metrics_period: parse(layers, "otlp_metrics_period", "a duration such as 15s", tasker_manifest::parse_duration)?,
            log_level: required("log_level")?,
            heartbeat: parse(layers, "heartbeat", "a duration such as 1s", tasker_manifest::parse_duration)?,
            lease: parse(layers, "lease", "a duration such as 5s", tasker_manifest::parse_duration)?,
            drain_timeout: parse(layers, "drain_timeout", "a duration such as 20s", tasker_manifest::parse_duration)?,
            sweep: parse(layers, "sweep", "a duration such as 1s", tasker_manifest::parse_duration)?,
            active_tasks_max: parse(layers, "active_tasks_max", "a number from 1 to 10000000", |text| {
                text.parse().ok().filter(|number| (1..=10_000_000).contains(number))
            })?,
            namespace_weights: weights(text("namespace_weights").as_deref().unwrap_or_default())?,
            gate: parse(layers, "gate", "`refuse` or `warn`", |text| text.parse().ok())?,
            peer_url: text("peer_url"),
            public_url: text("public_url").map_or(PublicUrl::None, PublicUrl::At),
            egress_allow: allow_list(text("egress.allow").as_deref().unwrap_or_default())?,
            egress_signers: signers(text("egress.secrets").as_deref().unwrap_or_default())?,
        };
        configuration.check_ranges()?;
        Ok(configuration)
    }

    fn check_ranges(&self) -> anyhow::Result<()> {
        if !(Duration::from_millis(100)..=Duration::from_secs(60)).contains(&self.heartbeat) {
            bail!("[config.out_of_range]: heartbeat is {:?}; give 100ms to 60s", self.heartbeat);
        }
        if self.lease < self.heartbeat * 3 {
            bail!(
                "[config.out_of_range]: lease is {:?}, less than three heartbeats of {:?}: one lost beat would lose a worker",
                self.lease,
                self.heartbeat
            );
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(600)).contains(&self.otlp_metrics_period) {
            bail!("[config.out_of_range]: otlp_metrics_period is {:?}; give 1s to 10m", self.otlp_metrics_period);
        }
        if self.sweep > Duration::from_secs(60) {
            bail!("[config.out_of_range]: sweep is {:?}; give at most 60s", self.sweep);
        }
        if self.drain_timeout > Duration::from_secs(600) {
            bail!("[config.out_of_range]: drain_timeout is {:?}; give at most 10m", self.drain_timeout);
        }
        if let Some(url) = &self.peer_url {
            tasker_egress::egress::check_public_url(url).map_err(|_| {
                anyhow::anyhow!("[config.out_of_range]: peer_url `{url}` is no http or https URL; give one such as http://tasker-1:7420")
            })?;
        }
        if let PublicUrl::At(url) = &self.public_url {
            tasker_egress::egress::check_public_url(url).map_err(|invalid| anyhow::anyhow!("[config.out_of_range]: {invalid}"))?;
        }
        tasker_wire::worker::Subjects::new(&self.subject_prefix).map_err(|invalid| anyhow::anyhow!("[config.out_of_range]: {invalid}"))?;
        let exposed = self.nats_url.is_none() && !self.nats_listen.ip().is_loopback() && self.nats_token.is_none();
        if exposed {
            bail!(
                "[config.unsafe]: the embedded listener would be open to everybody on {}; set nats_token_file, or listen on 127.0.0.1",
                self.nats_listen
            );
        }
        Ok(())
    }
}

fn missing(name: &str) -> String {
    let setting = SETTINGS.iter().find(|known| known.name == name);
    let (variable, meaning) = setting.map_or(("", ""), |known| (known.variable, known.meaning));
    format!("[config.missing]: {name} is not set ({meaning}); give --{}, {variable}, or `{name}` in the file", name.replace('_', "-"))
}

fn parse<T>(layers: &Layers, name: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
    let (value, source) = layers.get(name).with_context(|| missing(name))?;
    read(value).with_context(|| format!("[config.malformed]: {name} is `{value}` ({source}); give {expected}"))
}

/// The entries of a list: separated by commas, and nothing else.
fn list(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect()
}

fn allow_list(text: &str) -> anyhow::Result<AllowList> {
    AllowList::parse(&list(text)).map_err(|invalid| anyhow::anyhow!("[config.out_of_range]: egress.allow: {invalid}"))
}

fn weights(text: &str) -> anyhow::Result<BTreeMap<Namespace, Weight>> {
    let mut weights = BTreeMap::new();
    for entry in list(text) {
        let malformed =
            || format!("[config.malformed]: namespace_weights: `{entry}`; give NAMESPACE=WEIGHT with a weight from 1 to {}", Weight::MAX);
        let (name, weight) = entry.split_once('=').with_context(malformed)?;
        let namespace = Namespace::new(name.trim()).with_context(malformed)?;
        let weight = weight.trim().parse().ok().and_then(Weight::new).with_context(malformed)?;
        if weights.insert(namespace, weight).is_some() {
            bail!("[config.malformed]: namespace_weights names `{}` twice", name.trim());
        }
    }
    Ok(weights)
}

/// Reads the files with the secrets of HTTP systems.
fn signers(text: &str) -> anyhow::Result<BTreeMap<(Namespace, SystemName), Signer>> {
    let mut signers = BTreeMap::new();
    for entry in list(text) {
        let malformed = || format!("[config.malformed]: egress.secrets: `{entry}`; give SYSTEM=FILE or NAMESPACE/SYSTEM=FILE");
        let (name, file) = entry.split_once('=').with_context(malformed)?;
        let (namespace, system) = name.trim().split_once('/').unwrap_or((DEFAULT_NAMESPACE, name.trim()));
        let key = (Namespace::new(namespace).with_context(malformed)?, SystemName::new(system).with_context(malformed)?);
        let file = file.trim();
        let read = std::fs::read_to_string(file).with_context(|| format!("[config.file_unreadable]: egress.secrets of {name}: {file}"))?;
        let signer =
            Signer::parse(&read).map_err(|invalid| anyhow::anyhow!("[config.malformed]: egress.secrets of {name}: {file}: {invalid}"))?;
        if signers.insert(key, signer).is_some() {
            bail!("[config.malformed]: egress.secrets names {name} twice; two secrets of one system are two lines of one file");
        }
    }
    Ok(signers)
}

/// The file's keys and values, as text.
#[derive(Deserialize)]
struct File(BTreeMap<String, toml::Value>);

fn layers(given: &Given) -> anyhow::Result<Layers> {
    let mut layers = Layers::new();
    for setting in SETTINGS {
        if let Some(default) = setting.default {
            layers.insert(setting.name, (default.to_owned(), "default".to_owned()));
        }
    }
    if let Some(path) = &given.config {
        let text = std::fs::read_to_string(path).with_context(|| format!("[config.file_unreadable]: {}", path.display()))?;
        let File(entries) = toml::from_str(&text).with_context(|| format!("[config.malformed]: {}", path.display()))?;
        for (name, value) in flat(entries) {
            let Some(setting) = SETTINGS.iter().find(|known| known.name == name) else {
                let known: Vec<&str> = SETTINGS.iter().map(|known| known.name).collect();
                bail!("[config.unknown_key]: `{name}` in {}; known are {}", path.display(), known.join(", "));
            };
            let text = written(&value).with_context(|| {
                let what = format!("`{name}` in {} is a {}", path.display(), value.type_str());
                format!("[config.malformed]: {what}; give a text, or for several a list of texts or a table of texts without commas")
            })?;
            layers.insert(setting.name, (text, format!("file {}", path.display())));
        }
    }
    for setting in SETTINGS {
        if let Some(value) = std::env::var_os(setting.variable) {
            let value = value.to_str().with_context(|| format!("[config.malformed]: {} is not UTF-8", setting.variable))?;
            layers.insert(setting.name, (value.to_owned(), format!("environment {}", setting.variable)));
        }
    }
    let flags = [
        ("database_url", &given.database_url),
        ("nats_url", &given.nats_url),
        ("nats_listen", &given.nats_listen),
        ("http_listen", &given.http_listen),
        ("subject_prefix", &given.subject_prefix),
        ("otlp_endpoint", &given.otlp_endpoint),
        ("gate", &given.gate),
        ("log_level", &given.log_level),
    ];
    for (name, value) in flags {
        if let Some(value) = value {
            layers.insert(name, (value.clone(), format!("flag --{}", name.replace('_', "-"))));
        }
    }
    Ok(layers)
}

/// Settings of a section get its name before theirs: `allow` under `[egress]` is `egress.allow`.
fn flat(entries: BTreeMap<String, toml::Value>) -> Vec<(String, toml::Value)> {
    let is_section = |name: &str| SETTINGS.iter().any(|known| known.name.split_once('.').is_some_and(|(section, _)| section == name));
    let mut all = Vec::new();
    for (name, value) in entries {
        match value {
            toml::Value::Table(section) if is_section(&name) => {
                all.extend(section.into_iter().map(|(inner, value)| (format!("{name}.{inner}"), value)));
            }
            value => all.push((name, value)),
        }
    }
    all
}

/// A value of the file as the environment would write it: lists and tables with commas between; none if it is something else.
fn written(value: &toml::Value) -> Option<String> {
    let plain = |value: &toml::Value| value.as_str().filter(|text| !text.contains(',')).map(str::to_owned);
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(entries) => Some(entries.iter().map(plain).collect::<Option<Vec<_>>>()?.join(",")),
        toml::Value::Table(entries) => {
            let text = |value: &toml::Value| value.as_integer().map(|number| number.to_string()).or_else(|| plain(value));
            let entry = |(name, value): (&String, &toml::Value)| Some(format!("{name}={}", text(value)?));
            Some(entries.iter().map(entry).collect::<Option<Vec<_>>>()?.join(","))
        }
        toml::Value::Float(_) | toml::Value::Boolean(_) | toml::Value::Datetime(_) => None,
    }
}

/// `tasker config check`.
pub fn check(given: &Given) -> anyhow::Result<ExitCode> {
    Configuration::load(given)?;
    out!("the configuration is acceptable");
    Ok(ExitCode::SUCCESS)
}

/// `tasker config show`.
pub fn show(given: &Given, output: tasker_cli::Format) -> anyhow::Result<ExitCode> {
    let layers = layers(given)?;
    if !matches!(output, tasker_cli::Format::Table) {
        let settings = SETTINGS.iter().map(|setting| {
            let (value, source) = layers.get(setting.name).map_or((None, "default"), |(value, source)| (Some(value), source.as_str()));
            let value = value.map(|value| if setting.secret { redact(value) } else { value.clone() });
            (setting.name.to_owned(), json!({ "value": value, "source": source, "meaning": setting.meaning }))
        });
        // JSON is YAML, too.
        out!("{:#}", serde_json::Value::Object(settings.collect()));
        return Ok(ExitCode::SUCCESS);
    }
    for setting in SETTINGS {
        let (value, source) = match layers.get(setting.name) {
            Some((value, source)) => (if setting.secret { redact(value) } else { value.clone() }, source.as_str()),
            None => ("(not set)".to_owned(), "default"),
        };
        out!("{:<22} {value:<44} # {source}; {}", setting.name, setting.meaning);
    }
    Ok(ExitCode::SUCCESS)
}

/// A URL without its password.
fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.split_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:[redacted]@{host}"),
            // A user alone may be a token.
            None if scheme == "nats" || scheme == "tls" => format!("{scheme}://[redacted]@{host}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&'static str, &str)]) -> anyhow::Result<Configuration> {
        let mut layers: Layers =
            SETTINGS.iter().filter_map(|known| Some((known.name, (known.default?.to_owned(), "default".to_owned())))).collect();
        layers.insert("database_url", ("sqlite:x.db".into(), "test".into()));
        for (name, value) in pairs {
            layers.insert(name, ((*value).to_owned(), "test".into()));
        }
        Configuration::from_layers(&layers)
    }

    #[test]
    fn the_defaults_are_acceptable_and_each_bad_value_says_what_to_give() {
        assert!(with(&[]).is_ok());
        let table = [
            ("heartbeat", "1", "config.malformed"),
            ("heartbeat", "10ms", "config.out_of_range"),
            ("lease", "2s", "config.out_of_range"),
            ("http_listen", "here", "config.malformed"),
            ("subject_prefix", "a.*", "config.out_of_range"),
            ("nats_listen", "0.0.0.0:7422", "config.unsafe"),
            ("active_tasks_max", "0", "config.malformed"),
            ("gate", "open", "config.malformed"),
            ("namespace_weights", "billing", "config.malformed"),
            ("namespace_weights", "billing=0", "config.malformed"),
            ("namespace_weights", "billing=1,billing=2", "config.malformed"),
            ("otlp_metrics_period", "10ms", "config.out_of_range"),
            ("peer_url", "tasker-1:7420", "config.out_of_range"),
            ("public_url", "tasker.example.com", "config.out_of_range"),
            ("egress.allow", "10.0.0.1/8", "config.out_of_range"),
            ("egress.allow", "127.0.0.1, http://x", "config.out_of_range"),
            ("egress.secrets", "payments", "config.malformed"),
            ("egress.secrets", "pay ments=/x", "config.malformed"),
            ("egress.secrets", "payments=/does/not/exist", "config.file_unreadable"),
        ];
        for (name, value, code) in table {
            let error = with(&[(name, value)]).expect_err(name).to_string();
            assert!(error.contains(code), "{name}={value}: {error}");
        }
    }

    #[test]
    fn what_may_be_called_is_a_list_and_secrets_are_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let (good, bad) = (directory.path().join("good"), directory.path().join("bad"));
        std::fs::write(&good, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("writes");
        std::fs::write(&bad, "hunter2").expect("writes");
        let secrets = format!("payments={}, production/payments={}", good.display(), good.display());
        let read =
            with(&[("egress.allow", "127.0.0.1/32, 10.0.0.0/8,inventory.internal"), ("egress.secrets", &secrets)]).expect("acceptable");
        assert!(read.egress_allow.check("inventory.internal", [192, 168, 0, 1].into()).is_ok());
        assert!(read.egress_allow.check("other.internal", [192, 168, 0, 1].into()).is_err());
        let names: Vec<String> = read.egress_signers.keys().map(|(namespace, system)| format!("{namespace}/{system}")).collect();
        assert_eq!(names, ["default/payments", "production/payments"]);
        let error = with(&[("egress.secrets", &format!("payments={}", bad.display()))]).expect_err("no secret").to_string();
        assert!(error.contains("config.malformed") && !error.contains("hunter2"), "{error}");
        let twice = format!("payments={0},default/payments={0}", good.display());
        assert!(with(&[("egress.secrets", &twice)]).expect_err("twice").to_string().contains("twice"));
    }

    #[test]
    fn namespaces_have_shares() {
        let File(entries) = toml::from_str("namespace_weights = { billing = 3, \"web-shop\" = 100 }").expect("TOML");
        let read = with(&[("namespace_weights", &written(&entries["namespace_weights"]).expect("a table"))]).expect("acceptable");
        let shares: Vec<(&str, u8)> = read.namespace_weights.iter().map(|(name, weight)| (name.as_str(), weight.get())).collect();
        assert_eq!(shares, [("billing", 3), ("web-shop", 100)]);
    }

    #[test]
    fn sections_lists_and_tables_of_the_file_become_settings() {
        let File(entries) = toml::from_str(
            "lease = \"9s\"\n[egress]\nallow = [\"10.0.0.0/8\", \"a.internal\"]\n[egress.secrets]\npayments = \"/x\"\n\"p/q\" = \"/y\"",
        )
        .expect("TOML");
        let read: BTreeMap<String, Option<String>> = flat(entries).into_iter().map(|(name, value)| (name, written(&value))).collect();
        let expected = [("egress.allow", "10.0.0.0/8,a.internal"), ("egress.secrets", "p/q=/y,payments=/x"), ("lease", "9s")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).into());
        for value in ["[1]", "[\"a,b\"]", "true", "{ a = true }", "1.5"] {
            let File(entries) = toml::from_str(&format!("x = {value}")).expect("TOML");
            assert_eq!(written(&entries["x"]), None, "{value}");
        }
    }

    #[test]
    fn passwords_and_tokens_are_not_shown() {
        assert_eq!(redact("postgres://tasker:secret@db/tasker"), "postgres://tasker:[redacted]@db/tasker");
        assert_eq!(redact("nats://token@bus:4222"), "nats://[redacted]@bus:4222");
        assert_eq!(redact("sqlite:tasker.db"), "sqlite:tasker.db");
    }
}
