//! Waiting for a condition, with an end.

use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// How long a condition may take that has nothing to do with time: generous, because the machine may be building something else.
pub const SOON: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `look` has found something.
///
/// # Errors
/// Nothing after `within`: says what was waited for, and what the last look said.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let last = look().await;
        match last {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if Instant::now() > deadline => bail!("{what}: not after {within:?}"),
            Err(error) if Instant::now() > deadline => return Err(error).with_context(|| format!("{what}: not after {within:?}")),
            Ok(None) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Looks until `holds` does.
///
/// # Errors
/// As [`until`].
pub async fn until_true(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    until(what, within, async || Ok(holds().await?.then_some(()))).await
}
