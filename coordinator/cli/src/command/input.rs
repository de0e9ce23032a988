//! What is read from files, from standard input, and from the command line itself.

use crate::console::Console;
use crate::failure::Failure;
use crate::text;
use serde_json::value::RawValue;
use std::io::Read;
use std::path::Path;

/// More than any server accepts as a manifest or an input; stops `--input @/dev/zero`.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What `-` is called in messages.
pub(crate) const STDIN: &str = "<stdin>";

/// The name of a file in messages.
pub(crate) fn name_of(path: &str) -> String {
    if path == "-" { STDIN.to_owned() } else { text::clean(path) }
}

/// Reads a whole text file, or standard input for `-`.
///
/// # Errors
/// Says what cannot be read and why.
pub(crate) fn read_text(path: &str, console: &mut Console) -> Result<String, Failure> {
    let refused = |cause: String| Failure::Input { path: name_of(path), cause, help: None };
    let mut bytes = Vec::new();
    let read = if path == "-" {
        console.input().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|cause| refused(cause.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(format!("larger than {} MiB", FILE_BYTES_MAX / 1024 / 1024)));
    }
    String::from_utf8(bytes).map_err(|cause| refused(format!("not UTF-8 text: byte {} does not fit", cause.utf8_error().valid_up_to())))
}

/// Reads the value of `--input`: JSON as it stands, `@file`, or `-` for standard input. Digits and order of fields stay as they are.
///
/// # Errors
/// Says where the JSON breaks off, and what may have been meant.
pub(crate) fn read_json(given: &str, console: &mut Console) -> Result<Box<RawValue>, Failure> {
    read_json_of("--input", given, console)
}

/// Reads the value of any option that takes JSON, as [`read_json`] does; `option` is what messages call it.
///
/// # Errors
/// Says where the JSON breaks off, and what may have been meant.
pub(crate) fn read_json_of(option: &str, given: &str, console: &mut Console) -> Result<Box<RawValue>, Failure> {
    let path = if given == "-" { Some("-") } else { given.strip_prefix('@') };
    if let Some(path) = path {
        let content = read_text(path, console)?;
        return RawValue::from_string(content.trim().to_owned()).map_err(|cause| Failure::Input {
            path: name_of(path),
            cause: format!("not JSON: {cause}"),
            help: None,
        });
    }
    RawValue::from_string(given.trim().to_owned()).map_err(|cause| {
        let help = if Path::new(given).is_file() {
            format!("to send the content of that file: {option} @{given}")
        } else {
            format!("{option} takes JSON such as '{{\"name\":\"Ada\"}}', @FILE, or - for standard input")
        };
        Failure::Usage { said: format!("{option} is not JSON: {cause}"), help }
    })
}

/// The JSON of an option that may be absent, for a request's body.
///
/// # Errors
/// As [`read_json_of`].
pub(crate) fn read_optional(option: &str, given: Option<&str>, console: &mut Console) -> Result<Option<Box<RawValue>>, Failure> {
    given.map(|given| read_json_of(option, given, console)).transpose()
}

/// Reads `key=value` from the command line.
///
/// # Errors
/// Says what a label looks like.
pub(crate) fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("a label looks like tenant=acme".to_owned()),
    }
}
