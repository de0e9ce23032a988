//! Logs: JSON lines on standard error, or plain text when a person reads them. Everywhere the same fields.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

/// Starts logging. A filter that cannot be read is an error before anything has started.
pub fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("[config.malformed]: log level `{filter}`: {error}; give error, warn, info or debug"))?;
    let registry = tracing_subscriber::registry().with(filter);
    if std::io::stderr().is_terminal() {
        let text = tracing_subscriber::fmt::layer().compact().with_target(false).with_writer(std::io::stderr);
        registry.with(text).init();
    } else {
        let json = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
        registry.with(json.with_writer(std::io::stderr)).init();
    }
    Ok(())
}
