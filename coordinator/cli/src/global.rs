//! Options that every command understands.

use crate::text;
use clap::{Args, ValueEnum};
use reqwest::Url;

/// Options that every command understands; flatten them into the program's parser.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Address of the Tasker server
    #[arg(long, global = true, env = "TASKER_SERVER", value_name = "URL", default_value = "http://127.0.0.1:7420", value_parser = parse_server, hide_env_values = true)]
    pub server: Url,

    /// Namespace to work in
    #[arg(short, long, global = true, env = "TASKER_NAMESPACE", value_name = "NAME", default_value = "default", value_parser = parse_namespace, hide_env_values = true)]
    pub namespace: String,

    /// How to print data
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub output: Format,

    /// Print without colours (also if NO_COLOR is set, or the output is no terminal)
    #[arg(long, global = true)]
    pub no_color: bool,

    /// Print data and errors only: no progress, no remarks
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: tables and text
    Table,
    /// The server's answer as JSON
    Json,
    /// The server's answer as YAML
    Yaml,
    /// One JSON document per line: each item of a list, each event
    Jsonl,
}

/// # Errors
/// Says what an address looks like.
fn parse_server(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|cause| format!("{cause}; an address looks like http://127.0.0.1:7420"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("an address looks like http://127.0.0.1:7420 or https://tasker.example.com/sub/path".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an address has no `?` or `#`".to_owned());
    }
    Ok(url)
}

/// The rule is the server's; checked here because a wrong namespace would only look like an empty one.
///
/// # Errors
/// Says what a namespace looks like.
fn parse_namespace(text: &str) -> Result<String, String> {
    let token = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if (1..=64).contains(&text.len()) && token {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not a namespace: 1 to 64 letters, digits, `_` or `-`", text::shorten(&text::clean(text), 80)))
    }
}
